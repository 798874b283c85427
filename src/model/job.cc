#include "model/job.h"

#include "base/hostlist.h"

namespace bai {

const JobExtras& JobSpec::extras() const {
  static const JobExtras kDefaults;
  return extras_or_null ? *extras_or_null : kDefaults;
}

void JobSpec::set_extras(JobExtras extras) {
  if (extras == JobExtras{})
    extras_or_null.reset();
  else
    extras_or_null = std::make_shared<const JobExtras>(std::move(extras));
}

void Usage::add(const Usage& other) {
  for (auto member :
       {&Usage::user_us, &Usage::system_us, &Usage::sum_rss_kib, &Usage::read_bytes, &Usage::write_bytes})
    this->*member += other.*member;
  for (auto member : {&Usage::max_rss_kib, &Usage::max_read_bytes, &Usage::max_write_bytes})
    this->*member = std::max(this->*member, other.*member);
}

std::uint32_t Allocation::cpus() const {
  std::uint32_t sum = 0;
  for (const auto& share : nodes) sum += share.cpus;
  return sum;
}

std::uint64_t Allocation::mem_mib() const {
  std::uint64_t sum = 0;
  for (const auto& share : nodes) sum += share.mem_mib;
  return sum;
}

std::string Allocation::hostlist() const {
  std::vector<std::string> names;
  names.reserve(nodes.size());
  for (const auto& share : nodes) names.push_back(share.node.str());
  return compress_hostlist_sorted(std::move(names));
}

const ResourceRequest& request_in_force(const JobSpec& spec,
                                        const std::shared_ptr<const Allocation>& allocation) {
  if (!allocation || allocation->alternative == 0) return spec.request;
  const auto& others = spec.request.extras().alternatives;
  return allocation->alternative <= others.size() ? others[allocation->alternative - 1] : spec.request;
}
const ResourceRequest& request_in_force(const Job& job) {
  return request_in_force(*job.spec, job.allocation);
}

std::int64_t suspended_us(const Job& job, Time now) {
  if (!job.interruptions) return 0;
  const auto& i = *job.interruptions;
  return i.suspended_us +
         (job.state == JobState::kSuspended ? std::max<std::int64_t>(0, now.us - i.changed.us) : 0);
}

Seconds run_time(const Job& job, Time now) {
  if (!job.started.is_set()) return 0;
  const Time end = job.ended.is_set() ? job.ended : now;
  return std::max<std::int64_t>(0, end.us - job.started.us - suspended_us(job, end)) / 1'000'000;
}

std::string display_id(const Job& job) {
  if (job.array) {
    const std::string tasks = format_array_spec(job.array->waiting, job.array->max_running, 64);
    return std::to_string(job.array_id ? job.array_id : job.id) + "_[" + tasks + "]";
  }
  if (job.array_id != 0 && job.array_task != kNoTask)
    return std::to_string(job.array_id) + "_" + std::to_string(job.array_task);
  return std::to_string(job.id);
}

Hash256 LaunchRecord::digest(const JobSpec& spec, const Uuid& cluster) const {
  auto bytes = [](const Uuid& id) {
    return std::string_view(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
  };
  Hasher hasher;
  hasher.update_piece("bai launch 1").update_piece(script.view()).update_u64(args.size());
  for (const auto& arg : args) hasher.update_piece(arg);
  return hasher.update_piece(environment.view())
      .update_piece(spec.workdir.view())
      .update_u64(spec.uid)
      .update_u64(spec.gid)
      .update_piece(spec.extras().std_in.view())
      .update_piece(spec.std_out.view())
      .update_piece(spec.std_err.view())
      .update_u64(static_cast<std::uint64_t>(spec.open_mode))
      .update_piece(bytes(cluster))
      .update_piece(bytes(nonce))
      .finish();
}

// RFC 6962 (2.1): a leaf and an inner node are hashed under different first bytes, so that neither passes for the other.
// Unlike there, a missing right sibling is 32 zero bytes: then a leaf's number alone tells left from right.
namespace {

Hash256 leaf_hash(const Hash256& leaf) {
  return Hasher().update(std::string_view("\0", 1)).update(leaf.view()).finish();
}

Hash256 node_hash(const Hash256& left, const Hash256& right) {
  return Hasher().update("\1").update(left.view()).update(right.view()).finish();
}

}  // namespace

Hash256 LaunchRecord::root(const Hash256& digest) const {
  Hash256 hash = leaf_hash(digest);
  std::uint32_t position = index;
  for (const auto& sibling : path) {
    hash = position & 1 ? node_hash(sibling, hash) : node_hash(hash, sibling);
    position >>= 1;
  }
  return hash;
}

SignatureTree sign_together(const std::vector<Hash256>& leaves) {
  SignatureTree tree;
  tree.paths.resize(leaves.size());
  std::vector<Hash256> level;
  level.reserve(leaves.size() + 1);
  for (const auto& leaf : leaves) level.push_back(leaf_hash(leaf));
  for (int height = 0; level.size() > 1; ++height) {
    if (level.size() % 2) level.push_back(Hash256{});
    for (std::size_t i = 0; i < leaves.size(); ++i) tree.paths[i].push_back(level[(i >> height) ^ 1]);
    for (std::size_t i = 0; i < level.size(); i += 2) level[i / 2] = node_hash(level[i], level[i + 1]);
    level.resize(level.size() / 2);
  }
  if (!level.empty()) tree.root = level[0];
  return tree;
}

std::string format_device_totals(const std::vector<NodeShare>& shares) {
  std::map<std::string, DeviceAmount> sums;
  for (const auto& share : shares)
    for (const auto& device : share.devices) {
      sums[device.kind.str()] += device.amount;
      if (!device.type.empty()) sums[device.kind.str() + ":" + device.type.str()] += device.amount;
    }
  std::string out;
  for (const auto& [name, amount] : sums)
    out += (out.empty() ? "gres/" : ",gres/") + name + "=" + format_amount(amount);
  return out;
}

}  // namespace bai
