#include "store/content_sweep.h"

namespace bai::store {

void ContentSweep::mark(std::span<const Launch> launches, std::uint32_t limit) {
  begun_ = true;
  for (const auto& launch : launches) {
    used_.insert(launch.script);
    used_.insert(launch.environment);
    job_ = launch.job;
  }
  marking_ = launches.size() >= limit;
}

std::vector<Hash256> ContentSweep::unused(std::span<const Hash256> contents, std::uint32_t limit) {
  std::vector<Hash256> out;
  for (const auto& hash : contents)
    if (!used_.contains(hash)) out.push_back(hash);
  if (contents.size() >= limit)
    hash_ = contents.back().view();
  else
    *this = {};  // the next round
  return out;
}

}  // namespace bai::store
