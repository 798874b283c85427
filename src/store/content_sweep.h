// ContentSweep: which contents (scripts, environments) no launch names any more. Mark and sweep over many small steps, beside the commits:
// an index over the launches would cost every submission and every departure two writes for what is asked every ten minutes.
//
// A round reads all launches by job and notes what they name, then all contents by hash; a content that was not noted, nor named by a
// commit since the round began, may go. Holds 32 bytes for each content in use while a round lasts. One thread, the store's.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/hash.h"

namespace bai::store {

class ContentSweep {
 public:
  struct Launch {
    std::int64_t job = 0;
    Hash256 script, environment;
  };

  // The next step: read up to `limit` launches whose job is above job(), in that order, and mark() them; or else as many
  // contents whose hash is above hash(), and ask which are unused().
  bool marking() const { return marking_; }
  std::int64_t job() const { return job_; }
  std::string_view hash() const { return hash_; }

  void mark(std::span<const Launch> launches, std::uint32_t limit);
  std::vector<Hash256> unused(std::span<const Hash256> contents, std::uint32_t limit);

  // A commit names this content; say so before it is written.
  void use(const Hash256& hash) {
    if (begun_) used_.insert(hash);
  }

 private:
  bool begun_ = false, marking_ = true;
  std::int64_t job_ = 0;
  std::string hash_;
  std::unordered_set<Hash256> used_;
};

}  // namespace bai::store
