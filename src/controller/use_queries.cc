#include "controller/use_queries.h"

#include <algorithm>

namespace bai::controller {

bool UseQueries::may_begin(std::uint32_t uid) const {
  const auto own = std::count_if(queries_.begin(), queries_.end(),
                                 [uid](const auto& entry) { return entry.second.uid == uid; });
  return queries_.size() < kMaxUseQueries && static_cast<std::size_t>(own) < kMaxUseQueriesOfUser;
}

void UseQueries::begin(std::uint64_t query, ConnId conn, const RequestId& id, std::uint32_t uid,
                       wire::UseReply reply, std::int64_t mono_ms) {
  Query& q = queries_[query];
  q = {conn, id, uid, mono_ms + kUseWaitMs, std::move(reply), {}};
  for (std::size_t s = 0; s < q.reply.steps.size(); ++s) {
    const auto& step = q.reply.steps[s];
    for (std::size_t n = 0; n < step.nodes.size(); ++n)
      if (step.nodes[n].missing.empty())
        q.open.insert({{{step.job, step.attempt, step.step}, step.nodes[n].node.str()}, {s, n}});
  }
}

void UseQueries::answered(std::string_view node, const wire::AgentUse& use) {
  auto it = queries_.find(use.query);
  if (it == queries_.end()) return;
  Query& q = it->second;
  const auto [from, to] = q.open.equal_range({use.key, std::string(node)});
  for (auto at = from; at != to; ++at) {
    wire::NodeUse& out = row(q, at->second);
    out.use = use.use;
    if (!use.running) out.missing = "does not run there";
  }
  q.open.erase(from, to);
}

void UseQueries::node_left(std::string_view node) {
  for (auto& entry : queries_) {
    Query& q = entry.second;
    std::erase_if(q.open, [&](const auto& where) {
      if (where.first.second != node) return false;
      row(q, where.second).missing = "not responding";
      return true;
    });
  }
}

void UseQueries::expire(std::int64_t mono_ms) {
  for (auto& [number, q] : queries_) {
    if (q.until_ms > mono_ms) continue;
    for (const auto& where : std::exchange(q.open, {})) row(q, where.second).missing = "not responding";
  }
}

void UseQueries::forget(ConnId conn) {
  std::erase_if(queries_, [conn](const auto& entry) { return entry.second.conn == conn; });
}

std::vector<ReplyOut> UseQueries::take_done() {
  std::vector<ReplyOut> out;
  for (auto it = queries_.begin(); it != queries_.end();) {
    if (!it->second.open.empty()) {
      ++it;
      continue;
    }
    out.push_back({it->second.conn, {it->second.id, std::move(it->second.reply)}});
    it = queries_.erase(it);
  }
  return out;
}

std::vector<ConnId> UseQueries::waiting() const {
  std::vector<ConnId> out;
  for (const auto& [number, q] : queries_) out.push_back(q.conn);
  return out;
}

}  // namespace bai::controller
