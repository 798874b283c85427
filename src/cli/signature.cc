#include "cli/signature.h"

#include <sys/random.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "wire/munge.h"

namespace bai::cli {

Hash256 SubmitBatch::content(const std::string& bytes) {
  const Hash256 hash = hash256(bytes);
  if (known_.insert(hash).second) {
    request_.contents.push_back({bytes});
    bytes_ += bytes.size() + 8;
  }
  return hash;
}

void SubmitBatch::add(wire::Submission job, const std::string& script, const std::string& environment) {
  job.launch.script = content(script);
  job.launch.environment = content(environment);
  bytes_ += 512;
  for (const auto& arg : job.launch.args) bytes_ += arg.size() + 4;
  request_.jobs.push_back(std::move(job));
}

Result<wire::SubmitRequest> SubmitBatch::sign(const Uuid& cluster, const std::string& munge_socket) {
  const std::size_t n = request_.jobs.size();
  std::vector<Uuid> nonces(n);
  for (std::size_t done = 0; done < n; done += 16) {  // getrandom promises 256 bytes at once
    const std::size_t bytes = std::min<std::size_t>(16, n - done) * sizeof(Uuid);
    if (getrandom(nonces[done].bytes.data(), bytes, 0) != static_cast<ssize_t>(bytes)) std::abort();
  }
  std::vector<Hash256> leaves;
  leaves.reserve(n);
  for (std::size_t i = 0; i < n; ++i) {
    auto& job = request_.jobs[i];
    job.launch.nonce = nonces[i];
    leaves.push_back(job.launch.digest(job.spec, cluster));
  }
  SignatureTree tree = sign_together(leaves);
  auto credential = wire::munge_encode(tree.root.view(), {.socket = munge_socket});
  if (!credential.ok()) return credential.error();
  for (std::size_t i = 0; i < n; ++i) {
    auto& launch = request_.jobs[i].launch;
    launch.credential = *credential;
    launch.path = std::move(tree.paths[i]);
    launch.index = static_cast<std::uint32_t>(i);
  }
  known_.clear();
  bytes_ = 0;
  return std::exchange(request_, {});
}

}  // namespace bai::cli
