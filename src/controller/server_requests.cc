// What comes from the listener's workers: reads are answered there and then, changes go to the state thread.
#include <unistd.h>

#include <fstream>

#include "base/crash_point.h"
#include "base/paths.h"
#include "base/text.h"
#include "controller/queries.h"
#include "controller/server_impl.h"
#include "sokovan/plugins.h"

namespace bai::controller {
namespace {

constexpr std::size_t kRecordBytes = 2 << 10;  // what a decoded job takes beside its script, about

std::string host_name() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

std::uint64_t resident_kib() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) / 1024;
}

}  // namespace

bool Server::Impl::on_message(ConnId conn, const wire::Caller& caller, const std::string& bytes) {
  crash_point("ctld.request_received");
  if (caller.role == wire::Role::agent) {
    on_agent(conn, caller, bytes);
    return true;
  }
  auto begun = std::chrono::steady_clock::now();
  auto request = wire::decode_request(bytes);
  if (!request) {
    stats.count("bad_requests");
    once.write(log::Level::warning, "request " + std::to_string(caller.uid), "a request could not be read",
               {{"uid", caller.uid}, {"host", caller.host}, {"why", request.error().message}});
    send(conn, {},
         wire::ErrorBody{{"bad_message", "the request could not be read: " + request.error().message, "",
                          "use a command of the controller's version, " + std::string(kVersion)}});
    listener->close(conn);
    return false;
  }
  std::string kind(wire::request_name(request->body));
  {
    std::lock_guard lock(mutex);
    if (timed.size() > 100'000) timed.clear();
    timed[request->id] = {begun, kind};
  }
  Caller who = users->resolve(caller.uid, caller.gid);
  const bool lasting = std::holds_alternative<wire::WatchRequest>(request->body) ||
                       std::holds_alternative<wire::WaitRequest>(request->body) ||
                       std::holds_alternative<wire::HoldRequest>(request->body) ||
                       std::holds_alternative<wire::StepRequest>(request->body) ||
                       std::holds_alternative<wire::AttachRequest>(request->body) ||
                       std::holds_alternative<wire::UseRequest>(request->body);
  if (answer_read(conn, who, *request)) {
    replied(request->id);
  } else {
    take(conn, std::move(who), std::move(*request), bytes.size());
  }
  return lasting;
}

void Server::Impl::replied(const RequestId& id) {
  std::pair<std::chrono::steady_clock::time_point, std::string> entry;
  {
    std::lock_guard lock(mutex);
    auto it = timed.find(id);
    if (it == timed.end()) return;
    entry = it->second;
    timed.erase(it);
  }
  stats.request(entry.second, std::chrono::duration_cast<std::chrono::microseconds>(
                                  std::chrono::steady_clock::now() - entry.first)
                                  .count());
}

void Server::Impl::on_agent(ConnId conn, const wire::Caller& caller, const std::string& bytes) {
  auto cfg = current_config();
  if (caller.uid != 0 && caller.uid != cfg->bai_uid) {
    once.write(log::Level::warning, "agent's user " + std::to_string(caller.uid),
               "an agent of an ordinary user was refused", {{"uid", caller.uid}, {"node", caller.name}});
    listener->send(conn, wire::encode_order(wire::AgentRefused{wire::ErrorBody{
                             {"not_permitted", "an agent runs as root or as BaiUser", "", ""}}}));
    listener->close(conn);
    return;
  }
  auto body = wire::decode_agent(bytes);
  if (!body) {
    once.write(log::Level::warning, "agent's message " + caller.host, "an agent's message could not be read",
               {{"node", caller.name}, {"host", caller.host}, {"why", body.error().message}});
    listener->close(conn);
    return;
  }
  {
    std::lock_guard lock(mutex);
    agents[conn] = true;
    if (!lost_why.empty()) return;  // it repeats itself, and its session begins anew after the recovery
  }
  inputs.put(InputBody{FromAgent{conn, std::move(*body)}});
}

void Server::Impl::on_closed(ConnId conn) {
  {
    std::lock_guard lock(mutex);
    agents.erase(conn);
  }
  committer->forget(conn);
  inputs.put(InputBody{Closed{conn}});
}

bool Server::Impl::answer_read(ConnId conn, const Caller& caller, const wire::Request& request) {
  auto reply = [&](wire::ReplyBody body) { return send(conn, request.id, std::move(body)); };
  auto view = board.get();
  if (std::holds_alternative<wire::PingRequest>(request.body)) {
    reply(pong(*view));
  } else if (auto* queue = std::get_if<wire::QueueRequest>(&request.body)) {
    answer_queue(*view, caller, *queue, env.now(), users->unknown(queue->filter.users), reply);
  } else if (std::holds_alternative<wire::ClusterRequest>(request.body)) {
    reply(answer_cluster(*view, env.now()));
  } else if (std::holds_alternative<wire::ConfigRequest>(request.body)) {
    reply(answer_config(*view, env.now()));
  } else if (auto* watch = std::get_if<wire::WatchRequest>(&request.body)) {
    committer->watch(conn, caller, request.id, watch->filter);
  } else if (auto* diag = std::get_if<wire::DiagRequest>(&request.body)) {
    reply(diagnosis());
    if (diag->reset && caller.is_operator) stats.reset(env.now());
  } else if (std::holds_alternative<wire::HistoryRequest>(request.body) ||
             std::holds_alternative<wire::AccountingRequest>(request.body) ||
             std::holds_alternative<wire::StepsRequest>(request.body) ||
             std::holds_alternative<wire::ScriptRequest>(request.body)) {
    archivist->ask({caller, request, view, env.now(), [this, conn, id = request.id](wire::ReplyBody body) {
                      bool sent = send(conn, id, std::move(body));
                      replied(id);
                      return sent;
                    }});
  } else if (auto* why = std::get_if<wire::WhyRequest>(&request.body)) {
    auto answer = begin_why(*view, why->job, env.now());
    if (!answer) {
      reply(wire::ErrorBody{answer.error()});
    } else if (answer->job == 0) {
      reply(std::move(answer->reply));
    } else {
      engine->ask([this, conn, id = request.id, answer = std::move(*answer)](
                      const sokovan::Scheduler& scheduler, Time now) mutable {
        if (auto explanation = scheduler.explain(answer.job, now); explanation.ok())
          answer.reply.explanation = std::move(*explanation);
        send(conn, id, std::move(answer.reply));
      });
    }
  } else if (auto* plan = std::get_if<wire::DrainPlanRequest>(&request.body)) {
    auto answer = begin_drain_plan(*view, *plan, env.now());
    if (!answer) {
      reply(wire::ErrorBody{answer.error()});
    } else {
      engine->ask([this, conn, id = request.id, answer = std::move(*answer)](
                      const sokovan::Scheduler& scheduler, Time now) mutable {
        answer.reply.delays = scheduler.without(answer.nodes, now);
        send(conn, id, std::move(answer.reply));
      });
    }
  } else if (auto* level = std::get_if<wire::LogLevelRequest>(&request.body)) {
    auto parsed = log::parse_level(level->level);
    if (!caller.is_operator) {
      reply(wire::ErrorBody{
          {"not_permitted", "only an operator may change the log level", "", "ask root or BaiUser"}});
    } else if (!parsed) {
      reply(wire::ErrorBody{parsed.error()});
    } else {
      log::set_level(*parsed);
      reply(wire::DoneReply{{"log level " + std::string(log::level_name(*parsed))}});
    }
  } else if (auto* shutdown = std::get_if<wire::ShutdownRequest>(&request.body)) {
    if (!caller.is_operator) {
      reply(wire::ErrorBody{
          {"not_permitted", "only an operator may shut the controller down", "", "ask root or BaiUser"}});
      return true;
    }
    if (shutdown->agents_too) {
      std::vector<ConnId> all;
      {
        std::lock_guard lock(mutex);
        for (auto [agent, there] : agents) all.push_back(agent);
      }
      for (ConnId agent : all) listener->send(agent, wire::encode_order(wire::AgentStop{}));
    }
    reply(wire::DoneReply{});
    finish(0);
  } else {
    return false;
  }
  return true;
}

void Server::Impl::take(ConnId conn, Caller caller, wire::Request request, std::size_t bytes) {
  std::size_t cost = bytes + kRecordBytes;
  if (auto* submit = std::get_if<wire::SubmitRequest>(&request.body)) {
    if (submit->test_only) return test_only(conn, caller, request, *submit);
    cost += submit->jobs.size() * kRecordBytes;
  }
  if (auto* action = std::get_if<wire::ActionRequest>(&request.body))
    if (auto unknown = users->unknown(action->filter.users); !unknown.empty()) {
      send(conn, request.id,
           wire::ErrorBody{{"unknown_user", "there is no user " + quote(unknown[0]), "--user",
                            "see bai-queue for whose jobs there are"}});
      return replied(request.id);
    }
  bool ending_only = std::holds_alternative<wire::WaitRequest>(request.body) ||
                     std::holds_alternative<wire::HoldRequest>(request.body);
  {
    std::lock_guard lock(mutex);
    if (!lost_why.empty() && !ending_only) {
      listener->send(
          conn, wire::encode_reply(
                    {request.id,
                     wire::ErrorBody{{"store_unavailable", "the store does not take changes now: " + lost_why,
                                      "", "try again; bai-control ping says when it is well"}}}));
      return;
    }
  }
  Admitted admitted = admission.enter(cost);
  if (!admitted) {
    stats.count("busy");
    send(conn, request.id,
         wire::ErrorBody{{"busy", "too many requests wait for the store", "", "try again later"}});
    return replied(request.id);
  }
  if (std::holds_alternative<wire::ReconfigureRequest>(request.body)) {
    auto fresh = read_config();
    if (!fresh) {
      send(conn, request.id, wire::ErrorBody{fresh.error()});
      return;
    }
    inputs.put(InputBody{Reconfigure{conn, std::move(caller), request.id, *fresh}});
    return;
  }
  FromCommand command{conn, std::move(caller), std::move(request), {}, std::nullopt, std::move(admitted)};
  if (auto* submit = std::get_if<wire::SubmitRequest>(&command.request.body)) {
    auto cfg = current_config();
    for (auto& content : submit->contents) {
      if (content.bytes.size() > std::max<std::size_t>(cfg->max_script_size, 16 << 20)) {
        send(conn, command.request.id,
             wire::ErrorBody{
                 {"too_large", "a script or environment is too large", "", "keep it below MaxScriptSize"}});
        return;
      }
      auto bytes = std::make_shared<const std::string>(std::move(content.bytes));
      command.contents.emplace_back(hash256(*bytes), bytes);
    }
    submit->contents.clear();
  }
  // A repeat's first answer may be older than memory. So may the answer to its own first sending, after a recovery dropped memory: that one
  // may have waited in a connection's queue until now.
  if (command.request.repeat || env.monotonic_ms() < careful_until_ms) {
    const RequestId id = command.request.id;
    archivist->look_up(id, [this, command = std::move(command)](
                               Result<std::optional<store::RequestAnswer>> earlier) mutable {
      if (!earlier) {
        // Silence, not a refusal: the request may have been done. The caller asks again, or ends with "outcome unknown".
        log::warning("a repeated request cannot be judged now", {{"why", earlier.error().text()}});
        listener->close(command.conn);
        return;
      }
      command.earlier = std::move(*earlier);
      inputs.put(InputBody{std::move(command)});
    });
    return;
  }
  inputs.put(InputBody{std::move(command)});
}

void Server::Impl::test_only(ConnId conn, const Caller& caller, const wire::Request& request,
                             const wire::SubmitRequest& submit) {
  if (submit.jobs.empty()) {
    send(conn, request.id, wire::ErrorBody{{"bad_message", "no job was given"}});
    return;
  }
  Job job;
  job.id = 0xfffffffe;
  auto spec = submit.jobs[0].spec;
  spec.user = caller.user;
  if (spec.partition.empty()) {
    auto cfg = current_config();
    if (auto* fallback = cfg->default_partition()) spec.partition = fallback->name;
  }
  job.spec = std::make_shared<const JobSpec>(std::move(spec));
  job.submitted = env.now();
  job.priority = kDefaultPriority;
  engine->ask(
      [this, conn, id = request.id, job = std::move(job)](const sokovan::Scheduler& scheduler, Time now) {
        Time expected;
        auto start = scheduler.would_start(job, now, &expected);
        if (!start) {
          send(conn, id, wire::ErrorBody{start.error()});
        } else {
          wire::SubmitReply reply;
          reply.expected_start = expected;
          reply.cpus = start->allocation->cpus();
          reply.node_list = start->allocation->hostlist();
          reply.partition = start->allocation->partition.str();
          send(conn, id, std::move(reply));
        }
        replied(id);
      });
}

wire::PongReply Server::Impl::pong(const View& view) {
  wire::PongReply reply;
  if (view.config) reply.cluster = view.config->cluster_name;
  reply.host = host_name();
  reply.version = kVersion;
  reply.lineage = view.lineage;
  reply.now = env.now();
  reply.started = started;
  {
    std::lock_guard lock(mutex);
    reply.trouble = lost_why.empty() ? view.trouble : lost_why;
  }
  reply.admitting = reply.trouble.empty();
  view.nodes.for_each([&reply](const Node& node) {
    reply.nodes++;
    reply.nodes_ready += node.connected && node.responding && node.condition == NodeCondition::kUp;
  });
  return reply;
}

wire::DiagReply Server::Impl::diagnosis() {
  wire::DiagReply reply;
  reply.now = env.now();
  reply.since = stats.since();
  reply.metrics = stats.metrics();
  auto add = [&reply](std::string group, std::string name, std::string unit, auto value) {
    reply.metrics.push_back({std::move(group), std::move(name), std::move(unit), static_cast<double>(value)});
  };
  auto view = board.get();
  std::size_t by_state[kJobStates] = {};
  view->for_each([&](const JobCell& cell) {
    by_state[static_cast<std::size_t>(cell.job->state)]++;
    return true;
  });
  for (int i = 0; i < kJobStates; ++i)
    if (by_state[i]) add("jobs", lower(std::string(name(static_cast<JobState>(i)))), "", by_state[i]);
  add("queues", "state", "", inputs.size());
  add("queues", "waiting", "B", admission.waiting_bytes());
  add("queues", "commit", "", committer->backlog());
  add("queues", "scheduler", "", engine->backlog());
  auto wire_stats = listener->stats();
  add("wire", "connections", "", wire_stats.connections);
  add("wire", "handshakes", "", wire_stats.handshakes);
  add("wire", "accepted", "", wire_stats.accepted);
  add("wire", "refused", "", wire_stats.refused);
  add("wire", "broken", "", wire_stats.broken);
  add("wire", "overrun", "", wire_stats.overrun);
  add("wire", "unread", "B", wire_stats.outbound_bytes);
  add("wire", "messages_in", "", wire_stats.messages_in);
  add("wire", "messages_out", "", wire_stats.messages_out);
  add("wire", "bytes_in", "B", wire_stats.bytes_in);
  add("wire", "bytes_out", "B", wire_stats.bytes_out);
  add("process", "resident", "KiB", resident_kib());
  add("process", "uptime", "s", env.now() - started);
  add("store", "lsn", "", view->lineage.lsn);
  add("store", "epoch", "", view->lineage.epoch);
  return reply;
}

Result<std::shared_ptr<const ClusterConfig>> Server::Impl::read_config() {
  std::vector<std::string> warnings;
  auto fresh = load_config(options.config_path, &warnings);
  for (const auto& warning : warnings) log::warning("configuration", {{"note", warning}});
  if (!fresh) return fresh.error();
  if (auto good = sokovan::check_placements(*fresh); !good) return good.error();
  return std::make_shared<const ClusterConfig>(std::move(*fresh));
}

}  // namespace bai::controller
