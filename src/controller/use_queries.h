// UseQueries: questions of commands about what steps use, until the nodes have answered: who asked, which answers are awaited, how long.
// Nothing of it is durable; a controller that dies leaves its askers to ask again. The state machine's thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controller/io.h"

namespace bai::controller {

inline constexpr std::int64_t kUseWaitMs = 3'000;  // for the nodes; judged by ticks, so up to a second more
inline constexpr std::size_t kMaxUseQueries = 1'000;
inline constexpr std::size_t kMaxUseParts = 20'000;  // of steps on nodes, and refusals, in one question
inline constexpr std::size_t kMaxUseQueriesOfUser = 32;

class UseQueries {
 public:
  // False: too many are under way, of this user or of all.
  bool may_begin(std::uint32_t uid) const;
  // A new question's number.
  std::uint64_t next() { return ++last_; }
  // The reply has all rows; of those nodes that are not `missing` an answer is awaited.
  void begin(std::uint64_t query, ConnId conn, const RequestId& id, std::uint32_t uid, wire::UseReply reply,
             std::int64_t mono_ms);

  void answered(std::string_view node, const wire::AgentUse& use);
  // Its session ended: it will not answer.
  void node_left(std::string_view node);
  // Those that waited too long go with what there is.
  void expire(std::int64_t mono_ms);
  void forget(ConnId conn);

  // Replies that are complete, each once.
  std::vector<ReplyOut> take_done();
  std::vector<ConnId> waiting() const;

 private:
  struct Query {
    ConnId conn = 0;
    RequestId id;
    std::uint32_t uid = 0;
    std::int64_t until_ms = 0;
    wire::UseReply reply;
    // Rows that are awaited, by step and node: their places in the reply. One may have been asked for twice.
    std::multimap<std::pair<wire::AttemptKey, std::string>, std::pair<std::size_t, std::size_t>> open;
  };
  wire::NodeUse& row(Query& query, std::pair<std::size_t, std::size_t> at) {
    return query.reply.steps[at.first].nodes[at.second];
  }

  std::uint64_t last_ = 0;
  std::map<std::uint64_t, Query> queries_;
};

}  // namespace bai::controller
