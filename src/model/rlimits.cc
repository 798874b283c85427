#include "model/rlimits.h"

#include "base/text.h"

namespace bai {

Result<RlimitSet> parse_rlimits(std::string_view text) {
  if (iequals(text, "ALL") || text.empty()) return kAllRlimits;
  if (iequals(text, "NONE")) return RlimitSet{0};
  RlimitSet out = 0;
  for (auto word : split_list(text)) {
    if (istarts_with(word, "RLIMIT_")) word.remove_prefix(7);
    RlimitSet bit = 0;
    for (std::size_t i = 0; i < std::size(kRlimitNames); ++i)
      if (iequals(word, kRlimitNames[i].name)) bit = 1u << i;
    if (bit == 0)
      return Error{"bad_value", quote(word) + " is no resource limit", "",
                   "ALL, NONE, or of AS, CORE, CPU, DATA, FSIZE, MEMLOCK, NOFILE, NPROC, RSS, STACK"};
    out |= bit;
  }
  return out;
}

std::string show_rlimits(RlimitSet set) {
  if (set == kAllRlimits) return "ALL";
  std::string out;
  for (std::size_t i = 0; i < std::size(kRlimitNames); ++i)
    if (set & (1u << i)) out += (out.empty() ? "" : ",") + std::string(kRlimitNames[i].name);
  return out.empty() ? "NONE" : out;
}

}  // namespace bai
