#include "agent/signature.h"

#include "base/hash.h"

namespace bai::agent {

namespace {

constexpr std::size_t kKnownCredentials = 256;

Error bad(const std::string& node, const std::string& what) {
  return Error{"bad_signature", node + " refuses this job: " + what, "",
               "submit it again; if that does not help, tell the administrator"};
}

}  // namespace

SignatureCheck::SignatureCheck(Decode decode) : decode_(std::move(decode)) {
  if (!decode_)
    decode_ = [](const std::string& credential, const wire::MungeDecode& options) {
      return wire::munge_decode(credential, options);
    };
}

Result<wire::Credential> SignatureCheck::read(const std::string& credential, const LaunchPolicy& policy) {
  if (auto it = known_.find(credential); it != known_.end()) return it->second;
  wire::MungeDecode options;
  options.socket = policy.munge_socket;
  options.allow_expired = true;   // a job may wait for weeks
  options.allow_replayed = true;  // and start more than once
  auto read = decode_(credential, options);
  if (!read.ok()) return read;
  if (known_.size() >= kKnownCredentials) known_.clear();
  known_[credential] = *read;
  return read;
}

Status SignatureCheck::check(const wire::LaunchOrder& order, const Uuid& cluster, const LaunchPolicy& policy,
                             Time now) {
  const JobSpec& whose = *order.job->spec;
  const JobSpec spec = order.step ? as_signed(whose.uid, whose.gid, order.run) : whose;
  if (policy.own_uid != 0 && spec.uid != policy.own_uid)
    return Error{"refused_user",
                 "bai-agentd on " + policy.node + " runs as uid " + std::to_string(policy.own_uid) +
                     " and can run that user's jobs only, not uid " + std::to_string(spec.uid) + "'s",
                 "", "start bai-agentd as root"};
  if (spec.uid == 0 && !policy.allow_root)
    return Error{"refused_user", policy.node + " runs no jobs of root", "",
                 "set AllowRootJobs=yes in that node's bai.conf"};
  if (spec.uid != 0 && spec.uid < policy.minimum_uid)
    return Error{"refused_user", policy.node + " runs no jobs of uids below " +
                                     std::to_string(policy.minimum_uid) + " (MinimumUid)"};

  const auto& launch = order.launch;
  if (hash256(order.script) != launch.script)
    return bad(policy.node, "the script is not the one that was signed");
  if (hash256(order.environment) != launch.environment)
    return bad(policy.node, "the environment is not the one that was signed");
  auto signature = read(launch.credential, policy);
  if (!signature.ok()) {
    const Error& why = signature.error();
    if (why.code == "munge_unavailable" || why.code == "munge_failed") return why;
    return bad(policy.node, "its signature cannot be read: " + why.message);
  }
  if (signature->only_uid) return bad(policy.node, "its signature was made for another purpose");
  if (signature->uid != spec.uid || signature->gid != spec.gid)
    return bad(policy.node, "it was signed by uid " + std::to_string(signature->uid) + " gid " +
                                std::to_string(signature->gid) + ", not by uid " + std::to_string(spec.uid) +
                                " gid " + std::to_string(spec.gid));
  const Hash256 root = launch.root(launch.digest(spec, cluster));
  if (root.view() != signature->payload) return bad(policy.node, "its signature is for another job");
  if (policy.signature_max_age != kUnlimited &&
      now.seconds() - signature->encode_time > policy.signature_max_age)
    return Error{"signature_expired",
                 "the job was signed " + std::to_string(now.seconds() - signature->encode_time) + " s ago, " +
                     policy.node + " takes signatures of at most " +
                     std::to_string(policy.signature_max_age) + " s (SignatureMaxAge)",
                 "", "submit it again"};
  return {};
}

}  // namespace bai::agent
