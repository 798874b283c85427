#include "controller/server.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <latch>
#include <optional>
#include <unordered_map>

#include "base/crash_point.h"
#include "base/env.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/text.h"
#include "base/thread_name.h"
#include "controller/archivist.h"
#include "controller/committer.h"
#include "controller/engine.h"
#include "controller/machine.h"
#include "controller/queries.h"
#include "controller/users.h"
#include "wire/listener.h"

extern char** environ;

namespace bai::controller {
namespace {

constexpr std::size_t kMaxWaiting = 128 << 20;  // bytes of requests on their way to the store, about
constexpr std::size_t kOtherFiles = 256;        // descriptors that are not connections, generously
constexpr std::size_t kRecordBytes = 2 << 10;   // what a decoded job takes beside its script, about

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

// Connections take descriptors, and the store must not go short of them. Raises the soft limit, which is 1,024 almost everywhere.
std::size_t descriptors(std::size_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit)) return 1024;
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, wanted);
    if (setrlimit(RLIMIT_NOFILE, &limit)) getrlimit(RLIMIT_NOFILE, &limit);
  }
  return static_cast<std::size_t>(std::min<rlim_t>(limit.rlim_cur, wanted));
}

std::uint64_t recording_bytes(const ClusterConfig& config) {
  const auto mib = config.scheduler_recording_mib;
  return mib == 0 || mib > (UINT64_MAX >> 20) ? UINT64_MAX : mib << 20;
}

void send_mail(const std::string& program, const MailOut& mail) {
  std::string subject = mail.subject, to = mail.to, path = program;
  char flag[] = "-s";
  char* argv[] = {path.data(), flag, subject.data(), to.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  int failed = posix_spawn(&pid, path.c_str(), &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed) log::warning("mail could not be sent", {{"program", program}, {"to", mail.to}});
}

}  // namespace

struct Server::Impl {
  struct Recovered {
    std::uint64_t generation;
    Lineage lineage;
    store::Loaded loaded;
  };
  struct Lost {
    std::string why;
  };
  using Item = std::variant<InputBody, Recovered, Lost>;

  ServerOptions options;
  Env env = Env::real();
  Admission admission{kMaxWaiting};
  Board board;
  Stats stats{env.now()};
  log::Once once;
  Time started = env.now();
  std::shared_ptr<Users> users;
  Channel<Item> inputs;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Committer> committer;
  std::unique_ptr<Archivist> archivist;
  std::unique_ptr<wire::Listener> listener;
  std::thread state_thread;
  std::unique_ptr<Machine> machine;  // the state thread's
  std::uint64_t generation = 0;      // the state thread's
  Lineage opened;                    // as the store was opened
  JobId unknown_from = 0;            // MachineStart's, once
  store::Loaded loaded;
  std::mutex mutex;      // of the five below
  std::string lost_why;  // why changes are refused now; empty: they are taken
  std::function<void(int)> end;
  std::unordered_map<ConnId, bool> agents;
  std::unordered_map<RequestId, std::pair<std::chrono::steady_clock::time_point, std::string>> timed;
  std::shared_ptr<const ClusterConfig> config;
  std::atomic<std::int64_t> careful_until_ms{
      0};  // until then every changing request is looked up in the store
  std::atomic<bool> ending{false};
  std::latch ready{1};  // callbacks wait until everything that they use is there

  void finish(int code) {
    std::function<void(int)> call;
    {
      std::lock_guard lock(mutex);
      call = end;
    }
    if (call) call(code);
  }

  std::shared_ptr<const ClusterConfig> current_config() {
    std::lock_guard lock(mutex);
    return config;
  }

  bool send(ConnId conn, const RequestId& id, wire::ReplyBody body) {
    return listener->send(conn, wire::encode_reply({id, std::move(body)}));
  }

  // ---- on the listener's workers

  // True when somebody must hear of it when this connection is gone.
  bool on_message(ConnId conn, const wire::Caller& caller, const std::string& bytes) {
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
                         std::holds_alternative<wire::WaitRequest>(request->body);
    if (answer_read(conn, who, *request)) {
      replied(request->id);
    } else {
      take(conn, std::move(who), std::move(*request), bytes.size());
    }
    return lasting;
  }

  void replied(const RequestId& id) {
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

  void on_agent(ConnId conn, const wire::Caller& caller, const std::string& bytes) {
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
      once.write(log::Level::warning, "agent's message " + caller.host,
                 "an agent's message could not be read",
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

  void on_closed(ConnId conn) {
    {
      std::lock_guard lock(mutex);
      agents.erase(conn);
    }
    committer->forget(conn);
    inputs.put(InputBody{Closed{conn}});
  }

  // True when the request was a read, and was answered or passed to whoever answers it.
  bool answer_read(ConnId conn, const Caller& caller, const wire::Request& request) {
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
               std::holds_alternative<wire::AccountingRequest>(request.body)) {
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

  // `bytes`: of the request as it came.
  void take(ConnId conn, Caller caller, wire::Request request, std::size_t bytes) {
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
    bool ending_only = std::holds_alternative<wire::WaitRequest>(request.body);
    {
      std::lock_guard lock(mutex);
      if (!lost_why.empty() && !ending_only) {
        listener->send(
            conn, wire::encode_reply(
                      {request.id, wire::ErrorBody{{"store_unavailable",
                                                    "the store does not take changes now: " + lost_why, "",
                                                    "try again; bai-control ping says when it is well"}}}));
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

  void test_only(ConnId conn, const Caller& caller, const wire::Request& request,
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

  wire::PongReply pong(const View& view) {
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

  wire::DiagReply diagnosis() {
    wire::DiagReply reply;
    reply.now = env.now();
    reply.since = stats.since();
    reply.metrics = stats.metrics();
    auto add = [&reply](std::string group, std::string name, std::string unit, auto value) {
      reply.metrics.push_back(
          {std::move(group), std::move(name), std::move(unit), static_cast<double>(value)});
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

  static std::string lower(std::string text) {
    for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return text;
  }

  Result<std::shared_ptr<const ClusterConfig>> read_config() {
    std::vector<std::string> warnings;
    auto fresh = load_config(options.config_path, &warnings);
    for (const auto& warning : warnings) log::warning("configuration", {{"note", warning}});
    if (!fresh) return fresh.error();
    return std::make_shared<const ClusterConfig>(std::move(*fresh));
  }

  // ---- the state thread

  void emit(Output& output) {
    output.generation = generation;
    if (output.effects.config) {
      std::lock_guard lock(mutex);
      config = output.effects.config;
    }
    if (!output.feed.empty()) engine->feed(std::move(output.feed));
    output.feed.clear();
    if (output.batch.first || !output.effects.empty()) committer->put(std::move(output));
  }

  void load_machine(Lineage lineage, store::Loaded what) {
    Output output;
    engine->reset(generation);
    MachineStart start{current_config(),   lineage,
                       std::move(what),    env.now(),
                       env.monotonic_ms(), std::exchange(unknown_from, 0),
                       generation};
    machine = std::make_unique<Machine>(std::move(start), output);
    emit(output);
  }

  void run_state() {
    name_thread("state");
    auto next_tick = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    while (!ending) {
      auto items = inputs.take(next_tick);
      Output output;
      std::size_t handled = 0;
      for (auto& item : items) {
        if (auto* lost = std::get_if<Lost>(&item)) {
          log::error("the store is lost: changes are refused until it is back", {{"why", lost->why}});
          if (machine)
            for (ConnId conn : machine->waiting()) listener->close(conn);  // they ask again
          machine.reset();
          output = Output();
        } else if (auto* back = std::get_if<Recovered>(&item)) {
          generation = back->generation;
          careful_until_ms = env.monotonic_ms() + kAnswerMemoryMs;
          load_machine(back->lineage, std::move(back->loaded));
          std::vector<ConnId> all;
          {
            std::lock_guard lock(mutex);
            lost_why.clear();
            for (auto [agent, there] : agents) all.push_back(agent);
          }
          for (ConnId agent : all) listener->close(agent);  // they register anew
        } else {
          take_input(std::get<InputBody>(item), output);
          if (++handled % 1000 == 0) {
            emit(output);
            output = Output();
          }
        }
      }
      if (std::chrono::steady_clock::now() >= next_tick) {
        next_tick = std::chrono::steady_clock::now() + std::chrono::seconds(1);
        take_input(Tick{}, output);
      }
      emit(output);
    }
  }

  void take_input(InputBody body, Output& output) {
    if (auto* decided = std::get_if<Decided>(&body); decided && decided->generation != generation) return;
    if (!machine) {
      if (auto* command = std::get_if<FromCommand>(&body))
        send(command->conn, command->request.id,
             wire::ErrorBody{{"store_unavailable", "the store does not take changes now", "", "try again"}});
      return;
    }
    if (auto* command = std::get_if<FromCommand>(&body))
      output.admitted.push_back(std::move(command->admitted));
    machine->handle({env.now(), env.monotonic_ms(), std::move(body)}, output);
  }
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() { stop(); }

Result<std::unique_ptr<Server>> Server::start(const ServerOptions& options) {
  auto impl = std::make_unique<Impl>();
  Impl& s = *impl;
  s.options = options;
  s.config = options.config;
  s.users = std::make_shared<Users>(options.config->bai_uid);
  const ClusterConfig& config = *options.config;

  store::OpenOptions open;
  open.path = config.store_path();
  open.cluster = config.cluster_id;
  if (config.store_type == StoreType::kSqlite) {
    if (auto made = s.env.make_dirs(parent_dir(open.path), 0700); !made) return made.error();
  }
  if (options.accept_loss) open.epoch_step = 100'000;  // more than there can have been since the backup
  const char* kind = config.store_type == StoreType::kSqlite ? "sqlite" : "postgresql";
  auto store = store::open(kind, open);
  // The one before may still be leaving: a killed process holds its lock until its last thread is gone.
  for (auto until = s.env.monotonic_ms() + 3000;
       !store && store.error().code == "locked" && s.env.monotonic_ms() < until;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    store = store::open(kind, open);
  }
  if (!store) return store.error();
  auto loaded = (*store)->load();
  if (!loaded) return loaded.error();
  auto reader = (*store)->open_reader();
  if (!reader) return reader.error();
  auto history = (*store)->open_reader();
  if (!history) return history.error();
  s.opened = (*store)->lineage();
  if (options.accept_loss) {
    // Whatever the agents have seen lies below: nothing that is given out from here on can be mistaken for it.
    s.unknown_from = s.opened.last_job_id + 1;
    store::Batch leap;
    leap.first = s.opened.lsn + 1;
    leap.last = s.opened.lsn + 1'000'000'000;
    leap.last_job_id = s.opened.last_job_id + 1'000'000;
    if (auto done = (*store)->commit(leap); !done) return done.error();
    s.opened = (*store)->lineage();
  }
  s.loaded = std::move(*loaded);
  log::info("store open", {{"store", (*store)->description()},
                           {"jobs", s.loaded.jobs.size()},
                           {"epoch", s.opened.epoch},
                           {"lsn", s.opened.lsn}});

  CommitterHooks hooks;
  hooks.now = s.env.now;
  hooks.send = [&s](ConnId conn, const std::string& bytes) { return s.listener->send(conn, bytes); };
  hooks.unread = [&s](ConnId conn) { return s.listener->unread(conn); };
  hooks.close = [&s](ConnId conn) { s.listener->close(conn); };
  hooks.mail = [&s](const MailOut& mail) { send_mail(s.current_config()->mail_prog, mail); };
  hooks.replied = [&s](const RequestId& id) { s.replied(id); };
  hooks.lost = [&s](std::string why) {
    {
      std::lock_guard lock(s.mutex);
      s.lost_why = why;
    }
    s.inputs.put(Impl::Lost{std::move(why)});
  };
  hooks.recovered = [&s](std::uint64_t generation, Lineage lineage, store::Loaded what) {
    s.inputs.put(Impl::Recovered{generation, lineage, std::move(what)});
  };
  hooks.superseded = [&s](std::string why) {
    log::error("another controller has taken over: this one ends", {{"why", why}});
    s.finish(1);
  };
  s.archivist = std::make_unique<Archivist>(std::move(*history));
  s.committer =
      std::make_unique<Committer>(std::move(*store), std::move(*reader), s.board, s.stats, std::move(hooks));
  std::unique_ptr<RecordingFile> recording;
  if (!config.scheduler_recording.empty()) {
    auto made = RecordingFile::create(config.scheduler_recording, recording_bytes(config));
    if (made.ok())
      recording = std::move(*made);
    else  // a question of diagnosis, never of service
      log::error("the scheduler is not recorded", {{"why", made.error().text()}});
  }
  s.engine = std::make_unique<Engine>(
      s.env.now, [&s](Decided decided) { s.inputs.put(InputBody{std::move(decided)}); }, s.stats,
      std::move(recording));

  wire::ListenerOptions listen;
  listen.bind = options.bind;
  if (listen.bind.empty()) {
    // A name would not do: libzmq listens on numbers only, and Debian's /etc/hosts has the host's own name at 127.0.1.1.
    const std::string address = config.ctld_hosts.empty() ? "" : config.ctld_hosts[0].address;
    const bool v4 = !address.empty() && address.find_first_not_of("0123456789.") == address.npos;
    const bool v6 = address.find(':') != address.npos;
    listen.bind = (v4 ? address : v6 ? "[" + address + "]" : "*") + ":" + std::to_string(config.ctld_port);
  }
  listen.max_connections +=
      config.nodes.size();  // each node's session stays; the rest is for those who come and go
  const std::size_t files = descriptors(listen.max_connections + kOtherFiles);
  listen.max_connections = std::min(listen.max_connections, files - std::min(files / 2, kOtherFiles));
  if (listen.max_connections < config.nodes.size() + kOtherFiles)
    log::warning("the limit of open files is too low for all nodes and those who ask: raise LimitNOFILE",
                 {{"limit", files}, {"nodes", config.nodes.size()}});
  listen.max_handshakes = std::min(listen.max_handshakes, listen.max_connections / 2);
  listen.self.munge_socket = config.munge_socket;
  listen.self.cluster_uuid = s.opened.cluster.hex();
  wire::ListenerCallbacks callbacks;
  callbacks.on_message = [&s](ConnId conn, const wire::Caller& caller, const std::string& bytes) {
    s.ready.wait();
    return s.on_message(conn, caller, bytes);
  };
  callbacks.on_closed = [&s](ConnId conn) {
    s.ready.wait();
    s.on_closed(conn);
  };
  s.load_machine(s.opened, std::move(s.loaded));
  auto listener = wire::Listener::start(listen, std::move(callbacks));
  if (!listener) return listener.error();
  s.listener = std::move(*listener);
  s.committer->start();
  s.state_thread = std::thread([&s] { s.run_state(); });
  s.ready.count_down();
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

void Server::stop() {
  if (!impl_ || !impl_->state_thread.joinable()) return;
  Impl& s = *impl_;
  s.ending = true;
  s.inputs.close();
  s.state_thread.join();
  s.engine->stop();
  s.committer->stop();
  s.archivist->stop();
  s.listener->stop();
}

void Server::reconfigure() {
  auto fresh = impl_->read_config();
  if (!fresh) {
    log::error("the configuration was not read again", {{"why", fresh.error().text()}});
    return;
  }
  Caller self;
  self.is_operator = true;
  impl_->inputs.put(InputBody{Reconfigure{0, self, {}, *fresh}});
}

void Server::on_end(std::function<void(int)> end) {
  std::lock_guard lock(impl_->mutex);
  impl_->end = std::move(end);
}

std::uint16_t Server::port() const { return impl_->listener->port(); }

}  // namespace bai::controller
