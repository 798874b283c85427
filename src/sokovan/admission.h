// Admission: whether a request could run on the cluster's nodes at all, were they up and empty; asked at each submission. Answers
// are remembered by request, until a node's size or features, a partition or a licence changes. So a submission costs a
// lookup, and the first of its kind one search for nodes. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "base/result.h"
#include "sokovan/sokovan.h"

namespace bai::sokovan {

class Admission {
 public:
  // The scheduler's feed; what it says of jobs is not looked at.
  void apply(const Change& change);

  // Errors: "node_cpus" and "node_memory" (more than any node has), "bad_constraint" (no node has the features), "node_config"
  // (anything else that the partition's nodes cannot give), "bad_licenses". The remedy is the nearest request that could run: as much
  // of each thing as there is, in the order CPUs a task, memory, nodes, tasks.
  // `searches` is what the caller can afford of looks at all nodes, and is counted down: an answer that is not remembered costs one,
  // a nearest request up to a hundred more. With none left any request passes, and the scheduler says why it waits; the nearest is
  // left out when no more than kForAnswers are left.
  Status check(const JobSpec& spec, std::uint32_t& searches);
  static constexpr std::uint32_t kForAnswers = 1000;

 private:
  Status search(const JobSpec& spec, std::uint32_t& searches) const;
  Error with_nearest(const JobSpec& spec, Error error, std::uint32_t& searches) const;
  bool could_run(const JobSpec& spec, const ResourceRequest& request, std::uint32_t& searches) const;

  Scheduler nodes_;  // knows no jobs
  std::unordered_map<std::string, NodeSet> last_;
  std::unordered_map<std::string, Status> answers_;  // by partition and request
};

}  // namespace bai::sokovan
