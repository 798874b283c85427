// What the user signs (DESIGN 5): submissions are gathered, their contents stored once, and one MUNGE credential over the root
// of their digests covers them all. One thread.
#pragma once

#include <string>
#include <unordered_set>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "wire/messages.h"

namespace bai::cli {

class SubmitBatch {
 public:
  // Adds a job with its launch record's contents; args are in `job.launch` already.
  void add(wire::Submission job, const std::string& script, const std::string& environment);
  std::size_t size() const { return request_.jobs.size(); }
  // About what the request takes on the wire.
  std::size_t bytes() const { return bytes_; }

  // The signed request; the batch is empty afterwards. Errors: munge_encode's.
  Result<wire::SubmitRequest> sign(const Uuid& cluster, const std::string& munge_socket);

 private:
  Hash256 content(const std::string& bytes);
  wire::SubmitRequest request_;
  std::unordered_set<Hash256> known_;
  std::size_t bytes_ = 0;
};

}  // namespace bai::cli
