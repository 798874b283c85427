// Is this what its user signed? The agent's own judgement of a launch (DESIGN 5): it trusts the controller for orders, not for work.
// One thread.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "wire/agent_messages.h"
#include "wire/munge.h"

namespace bai::agent {

// From the node's own configuration file only.
struct LaunchPolicy {
  std::string node;
  std::string munge_socket;
  std::uint32_t minimum_uid = 1;
  bool allow_root = false;
  Seconds signature_max_age = kUnlimited;
  std::uint32_t own_uid = 0;  // of the agent; not 0: only jobs of that user
};

class SignatureCheck {
 public:
  // munge_decode(), or a test's.
  using Decode =
      std::function<Result<wire::Credential>(const std::string& credential, const wire::MungeDecode&)>;

  explicit SignatureCheck(Decode decode = {});

  // Errors: "refused_user", "bad_signature", "signature_expired", "munge_unavailable" (try again later).
  Status check(const wire::LaunchOrder& order, const Uuid& cluster, const LaunchPolicy& policy, Time now);

 private:
  // Array tasks and jobs submitted in bulk share a credential; munged is asked once.
  Result<wire::Credential> read(const std::string& credential, const LaunchPolicy& policy);

  Decode decode_;
  std::map<std::string, wire::Credential> known_;
};

}  // namespace bai::agent
