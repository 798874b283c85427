// A controller's state machine with everything around it reduced to a few lines: its changes go into a MemoryStore at once, the scheduler
// is asked at once, and agents are what the test says. After every step the invariants are checked, and that a restart would find the
// same truth. One thread.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "controller/machine.h"
#include "controller/past_runs.h"
#include "memory_store.h"

namespace bai::controller {

inline std::shared_ptr<const ClusterConfig> make_config(
    const std::string& extra = "", const std::string& nodes = "NodeName=n[1-2] CPUs=4 RealMemory=1000\n",
    const std::string& partitions = "PartitionName=main Nodes=ALL Default=YES\n") {
  auto lines = parse_config_text(
      "ClusterName=test\nBaiUser=900\nCtldHost=localhost\n" + extra + nodes + partitions, "test");
  EXPECT_TRUE(lines) << lines.error().text();
  auto config = parse_config(*lines, nullptr);
  EXPECT_TRUE(config) << config.error().text();
  return std::make_shared<const ClusterConfig>(std::move(*config));
}

inline Caller user(std::uint32_t uid) {
  Caller caller;
  caller.uid = caller.gid = uid;
  caller.user = caller.group = "u" + std::to_string(uid);
  caller.groups = {caller.group};
  return caller;
}
inline Caller root() {
  Caller caller;
  caller.user = caller.group = "root";
  caller.groups = {"root"};
  caller.is_operator = true;
  return caller;
}

class Cluster {
 public:
  explicit Cluster(std::shared_ptr<const ClusterConfig> config = make_config()) : config_(std::move(config)) {
    restart();
  }
  ~Cluster() { compare_with_reload(); }

  // A new life of the controller, on what is durable.
  void restart() {
    machine.reset();
    store.emplace(state);
    scheduler = sokovan::Scheduler();
    Output out;
    auto loaded = *store->load();
    loaded.ended = past_runs(**store->open_reader());
    machine = std::make_unique<Machine>(
        MachineStart{config_, store->lineage(), std::move(loaded), now, mono_ms, 0, 0}, out);
    take(out);
  }

  // ---- inputs

  Output give(InputBody body) {
    Output out;
    machine->handle({now, mono_ms, std::move(body)}, out);
    take(out);
    return out;
  }
  // Seconds pass, a tick each; the nodes that are `up` are heard.
  void pass(Seconds seconds, bool heartbeats = true) {
    for (Seconds i = 0; i < seconds; ++i) {
      now = now + 1;
      mono_ms += 1000;
      if (heartbeats && i % 10 == 0)
        for (auto [name, conn] : conns) give(FromAgent{conn, wire::AgentHeartbeat{}});
      give(Tick{});
    }
  }
  wire::ReplyBody ask(const Caller& caller, wire::RequestBody body) {
    wire::Request request{next_request(), false, std::move(body)};
    return ask(caller, request);
  }
  wire::ReplyBody ask(const Caller& caller, const wire::Request& request) {
    replies.clear();
    give(FromCommand{++last_conn, caller, request, {}, std::nullopt});
    if (replies.empty()) return wire::ErrorBody{{"no_answer", "no answer"}};
    EXPECT_EQ(replies[0].reply.id, request.id);
    return replies[0].reply.body;
  }
  static RequestId next_request() {
    static std::uint32_t n = 0;
    RequestId id;
    ++n;
    for (int i = 0; i < 4; ++i)
      id.bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(n >> (8 * i));
    id.bytes[15] = 1;
    return id;
  }

  // ---- jobs

  static wire::Submission job(const Caller& caller,
                              const std::function<void(wire::Submission&)>& change = {}) {
    wire::Submission one;
    one.spec.name = "job";
    one.spec.uid = caller.uid;
    one.spec.gid = caller.gid;
    if (change) change(one);
    return one;
  }
  wire::JobResult try_submit(const Caller& caller,
                             const std::function<void(wire::Submission&)>& change = {}) {
    wire::SubmitRequest request;
    request.jobs.push_back(job(caller, change));
    auto body = ask(caller, request);
    auto* reply = std::get_if<wire::SubmitReply>(&body);
    if (!reply) {
      ADD_FAILURE() << "no submit reply";
      return {};
    }
    return reply->results.at(0);
  }
  JobId submit(const std::function<void(wire::Submission&)>& change = {}, const Caller& caller = user(1000)) {
    auto result = try_submit(caller, change);
    EXPECT_FALSE(result.error) << result.error->error.text();
    return result.ref.job;
  }
  JobId array(std::uint32_t first, std::uint32_t last, std::uint32_t limit = 0,
              const std::function<void(wire::Submission&)>& change = {}) {
    return submit([&](wire::Submission& s) {
      s.array_tasks.emplace();
      s.array_tasks->insert(first, last);
      s.array_max_running = limit;
      if (change) change(s);
    });
  }
  static std::function<void(wire::Submission&)> after(DependencyKind kind, JobId job,
                                                      std::uint32_t task = kNoTask, std::uint32_t delay = 0) {
    return [=](wire::Submission& s) {
      JobExtras extras = s.spec.extras();
      extras.dependencies.list.push_back({kind, job, task, delay, DependencyState::kWaiting});
      s.spec.set_extras(std::move(extras));
    };
  }
  std::vector<wire::JobResult> act(wire::JobAction action, wire::JobRef ref,
                                   const Caller& caller = user(1000),
                                   const std::function<void(wire::ActionRequest&)>& change = {}) {
    wire::ActionRequest request;
    request.action = action;
    request.filter.jobs.push_back(ref);
    if (change) change(request);
    auto body = ask(caller, request);
    auto* reply = std::get_if<wire::ActionReply>(&body);
    EXPECT_TRUE(reply);
    return reply ? reply->results : std::vector<wire::JobResult>();
  }
  // The code of the first error; empty when all is well.
  std::string code(wire::JobAction action, wire::JobRef ref, const Caller& caller = user(1000),
                   const std::function<void(wire::ActionRequest&)>& change = {}) {
    for (const auto& result : act(action, ref, caller, change))
      if (result.error) return result.error->error.code;
    return "";
  }
  std::string cancel(JobId id, const Caller& caller = user(1000)) {
    return code(wire::JobAction::kCancel, {id, kNoTask}, caller);
  }
  std::string update(wire::UpdateKind kind, wire::JobRef ref, const std::string& name,
                     std::vector<std::pair<std::string, std::string>> values, const Caller& caller = root()) {
    wire::UpdateRequest request;
    request.kind = kind;
    if (kind == wire::UpdateKind::kJob)
      request.jobs.push_back(ref);
    else
      request.names.push_back(name);
    request.values = std::move(values);
    auto body = ask(caller, request);
    if (auto* error = std::get_if<wire::ErrorBody>(&body)) return error->error.code;
    for (const auto& result : std::get<wire::ActionReply>(body).results)
      if (result.error) return result.error->error.code;
    return "";
  }
  std::string update_job(JobId id, const std::string& key, const std::string& value,
                         const Caller& caller = root()) {
    return update(wire::UpdateKind::kJob, {id, kNoTask}, "", {{key, value}}, caller);
  }
  std::string update_node(const std::string& name, std::vector<std::pair<std::string, std::string>> values,
                          const Caller& caller = root()) {
    return update(wire::UpdateKind::kNode, {}, name, std::move(values), caller);
  }
  JobPtr find(JobId id) const { return machine->find(id); }
  JobState state_of(JobId id) const { return find(id) ? find(id)->state : JobState::kBootFail; }
  Reason reason(JobId id) const { return find(id)->reason; }
  // The record of an array's task; null while it waits in the head.
  JobPtr task(JobId array, std::uint32_t number) const {
    for (JobId id = 1; id <= state->lineage.last_job_id; ++id)
      if (JobPtr job = find(id); job && job->array_id == array && !job->array && job->array_task == number)
        return job;
    return nullptr;
  }

  // ---- agents

  Output register_agent(const std::string& name, std::vector<wire::AttemptReport> attempts = {},
                        const std::function<void(wire::AgentRegister&)>& change = {}) {
    wire::AgentRegister hello;
    hello.node = name;
    hello.found.cpus = 4;
    hello.found.mem_mib = 1000;
    hello.attempts = std::move(attempts);
    hello.config_hash = config_->hash;
    if (change) change(hello);
    ConnId conn = ++last_conn;
    conns[name] = conn;
    return give(FromAgent{conn, hello});
  }
  void up() {
    for (const auto& node : config_->nodes) register_agent(node.name.str());
  }
  static wire::AttemptReport report(wire::AttemptKey key, wire::AttemptPhase phase,
                                    wire::AttemptEnd end = wire::AttemptEnd::kExited, ExitStatus exit = {}) {
    wire::AttemptReport out;
    out.key = key;
    out.phase = phase;
    out.end = end;
    out.exit = exit;
    return out;
  }
  wire::AttemptKey key(JobId id) const { return {id, find(id)->attempt}; }
  std::string node_of(JobId id) const { return find(id)->allocation->nodes.at(0).node.str(); }
  Output tell(const std::string& node, wire::AttemptReport r) {
    return give(FromAgent{conns.at(node), wire::AgentAttempts{{std::move(r)}}});
  }
  Output runs(JobId id) { return tell(node_of(id), report(key(id), wire::AttemptPhase::kRunning)); }
  Output ends(JobId id, ExitStatus exit = {}, wire::AttemptEnd end = wire::AttemptEnd::kExited) {
    return tell(node_of(id), report(key(id), wire::AttemptPhase::kEnded, end, exit));
  }
  // Its whole life at once.
  void complete(JobId id, ExitStatus exit = {}) {
    ASSERT_EQ(state_of(id), JobState::kConfiguring)
        << "job " << id << " was not started: " << name(reason(id));
    runs(id);
    ends(id, exit);
  }
  const Node& node(const std::string& name) const { return *nodes.at(name); }

  void compare_with_reload() {
    Output out;
    Machine other({config_, state->lineage, store::MemoryStore::load(*state), now, mono_ms, 0, 0}, out);
    EXPECT_EQ(other.check_invariants(), "");
    EXPECT_EQ(other.job_count(), machine->job_count());
    EXPECT_EQ(other.lsn(), machine->lsn());
    auto plain = [](const JobPtr& job) {
      Job copy = *job;
      copy.reason = Reason::kNone;  // the scheduler's are not durable
      copy.detail = Istr();
      return store::job_record(copy);
    };
    for (const auto& [id, record] : state->jobs) {
      ASSERT_TRUE(find(id) && other.find(id)) << id;
      EXPECT_EQ(plain(find(id)), plain(other.find(id))) << "job " << id;
    }
    for (const auto& change : out.feed)
      if (auto* set = std::get_if<sokovan::JobSet>(&change); set && set->job->state == JobState::kPending) {
        EXPECT_EQ(met[set->job->id], set->dependencies_met) << "job " << set->job->id;
      }
  }

  std::shared_ptr<store::MemoryStore::State> state = std::make_shared<store::MemoryStore::State>();
  std::optional<store::MemoryStore> store;
  std::unique_ptr<Machine> machine;
  sokovan::Scheduler scheduler;
  Time now = Time::from_seconds(1'800'000'000);
  std::int64_t mono_ms = 1'000'000;
  ConnId last_conn = 0;
  std::map<std::string, ConnId> conns;  // of agents
  std::map<JobId, bool> met;
  std::map<std::string, NodePtr> nodes;
  std::vector<ReplyOut> replies;    // of the last input and what followed from it
  std::vector<LaunchOut> launches;  // all
  std::vector<wire::SignalOrder> signals;
  std::vector<wire::SuspendOrder> suspends;
  std::vector<wire::AttemptKey> forgotten;
  std::vector<ConnId> closed;
  std::string trouble;
  bool scheduling = true;

 private:
  // Commits, hands on, and lets the scheduler decide until it has nothing more to say.
  void take(Output& out) {
    for (int round = 0;; ++round) {
      ASSERT_LT(round, 50);
      if (out.batch.first) {
        ASSERT_TRUE(store->commit(out.batch));
      }
      ASSERT_EQ(store->broken, "");
      ASSERT_EQ(machine->check_invariants(), "");
      note(out);
      for (const auto& change : out.feed) scheduler.apply(change);
      if (!scheduling) return;
      auto decisions = scheduler.decide(now, {});
      if (decisions.starts.empty() && decisions.waiting.empty()) return;
      Output next;
      machine->handle({now, mono_ms, Decided{0, std::move(decisions)}}, next);
      auto merge = [](auto& to, auto& from) { to.insert(to.end(), from.begin(), from.end()); };
      auto kept = out.effects;
      merge(kept.replies, next.effects.replies);
      merge(kept.orders, next.effects.orders);
      merge(kept.launches, next.effects.launches);
      if (next.batch.first) {
        ASSERT_TRUE(store->commit(next.batch));
      }
      ASSERT_EQ(machine->check_invariants(), "");
      note(next);
      out.effects = std::move(kept);
      out.batch = {};
      out.feed = std::move(next.feed);
      noted_ = true;
    }
  }
  void note(const Output& out) {
    if (std::exchange(noted_, false)) return;
    for (const auto& change : out.feed) {
      if (auto* set = std::get_if<sokovan::JobSet>(&change)) met[set->job->id] = set->dependencies_met;
    }
    const auto& e = out.effects;
    replies.insert(replies.end(), e.replies.begin(), e.replies.end());
    launches.insert(launches.end(), e.launches.begin(), e.launches.end());
    for (const auto& order : e.orders)
      if (auto* orders = std::get_if<wire::AgentOrders>(&order.order)) {
        signals.insert(signals.end(), orders->signals.begin(), orders->signals.end());
        suspends.insert(suspends.end(), orders->suspends.begin(), orders->suspends.end());
        forgotten.insert(forgotten.end(), orders->forget.begin(), orders->forget.end());
      }
    closed.insert(closed.end(), e.close.begin(), e.close.end());
    for (const auto& node : e.nodes) nodes[node->name.str()] = node;
    if (e.trouble) trouble = *e.trouble;
  }

  std::shared_ptr<const ClusterConfig> config_;
  bool noted_ = false;
};

}  // namespace bai::controller
