#include "agent/agent.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "agent/inventory.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "base/paths.h"
#include "step/process.h"

namespace bai::agent {

namespace {

enum Tag : std::uint64_t { kSession = 1, kSignals = 2, kPrepared = 3, kDevices = 4 };
constexpr int kEvents = 256;
constexpr std::int64_t kTickMs = 1'000;
constexpr std::int64_t kJournalRetryMs = 1'000;
constexpr std::int64_t kTrashMs = 30'000;    // discarded directories are removed after this long
constexpr std::int64_t kTrashBudgetMs = 50;  // so long a tick
constexpr std::int64_t kIdleMs = 3'000;      // without a launch
constexpr std::size_t kMaxTrash = 10'000;

template <class T>
void move_all(std::vector<T>& from, std::vector<T>& to) {
  std::move(from.begin(), from.end(), std::back_inserter(to));
  from.clear();
}

// What differs for whoever gives devices to jobs; what they are used for changes all the time.
bool same_health(const DeviceReport& a, const DeviceReport& b) {
  return a.kinds == b.kinds && a.why == b.why &&
         std::equal(a.devices.begin(), a.devices.end(), b.devices.begin(), b.devices.end(),
                    [](const FoundDevice& one, const FoundDevice& other) {
                      return one.id == other.id && one.health == other.health && one.why == other.why;
                    });
}

void log_devices(const DeviceReport& report) {
  log::info("devices were found", {{"which", format_device_groups(groups_of(report))}});
}

bool watch(int epoll, int fd, std::uint64_t tag) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = tag;
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

}  // namespace

Agent::Agent(const Env& env, AgentOptions options, const ClusterConfig&, Spool spool)
    : env_(env),
      options_(std::move(options)),
      spool_(std::move(spool)),
      journal_(env, spool_.journal_path()) {}

Agent::~Agent() {
  remove_cgroup_parents(confiner_.parents());
  if (!pid_file_.empty()) unlink(pid_file_.c_str());
}

Result<std::unique_ptr<Agent>> Agent::start(const Env& env, AgentOptions options,
                                            const ClusterConfig& config) {
  auto spool = Spool::open(env, for_node(config.agentd_spool_dir, options.node),
                           for_node(config.agentd_runtime_dir, options.node));
  if (!spool.ok()) return spool.error();
  std::unique_ptr<Agent> agent(new Agent(env, std::move(options), config, std::move(*spool)));
  if (auto ready = agent->set_up(config); !ready.ok()) return ready.error();
  return agent;
}

Status Agent::set_up(const ClusterConfig& config) {
  // Before libzmq makes threads, so that these signals come to this one.
  sigset_t signals;
  sigemptyset(&signals);
  for (int signum : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signum);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signals_.reset(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!signals_ || !epoll_ || !watch(epoll_.get(), signals_.get(), kSignals))
    return errno_error("cannot set up the event loop", "", errno);

  // They look for devices while this goes on.
  auto devices = DeviceHosts::start(config, options_.node);
  if (!devices.ok()) return devices.error();
  devices_ = std::move(*devices);
  if (!watch(epoll_.get(), devices_->fd(), kDevices))
    return errno_error("cannot set up the event loop", "", errno);

  const std::string boot_id = step::boot_id();
  confiner_ = find_confiner(options_.node, spool_.dir());
  remove_cgroup_parents(confiner_.parents());
  if (!spool_.why_on_disk().empty())
    log::info("running steps have their files on disk", {{"why", spool_.why_on_disk()}});
  auto aside = Aside::start();
  if (!aside.ok()) return aside.error();
  aside_ = std::move(*aside);
  if (!watch(epoll_.get(), aside_->fd(), kPrepared))
    return errno_error("cannot set up the event loop", "", errno);
  launcher_ = std::make_shared<Launcher>(LauncherNode{options_.node, boot_id});
  std::string stepd = config.stepd_path.empty() ? program_path("bai-stepd") : config.stepd_path;
  if (access(stepd.c_str(), X_OK) != 0)
    log::error("bai-stepd cannot be run: no job will start here", {{"path", stepd}});
  shepherds_.emplace(
      epoll_.get(), std::move(stepd), [this](wire::AttemptKey key) { return spool_.attempt_dir(key); },
      [this](InputBody news) { inputs_.push_back(std::move(news)); });

  MachineStart start;
  start.boot_id = boot_id;
  const SystemFacts system = system_facts();
  auto& facts = start.facts;
  facts.node = options_.node;
  const ConfigNode* own = config.find_node(options_.node);
  facts.address = own && !own->address.empty() ? own->address.str() : system.host;
  facts.version = kVersion;
  facts.os = system.os;
  facts.arch = system.arch;
  facts.boot_id = system.boot_id;
  facts.boot = system.boot;
  facts.agent_started = env_.now();
  facts.invented = options_.invented.has_value();
  if (options_.invented) {
    facts.found = *options_.invented;
  } else {
    auto shape = discover_shape();
    if (!shape.ok()) return shape.error();
    facts.found = *shape;
  }
  node_mib_ = facts.found.mem_mib;
  // A node that was told more processors than there are has none of its own to give.
  const bool binds = sysconf(_SC_NPROCESSORS_ONLN) >= static_cast<long>(facts.found.cpus);
  if (binds || !devices_->empty())
    if (auto topology = discover_topology(); topology.ok()) topology_ = std::move(*topology);
  if (binds && topology_.size() >= facts.found.cpus) launcher_->topology = topology_;
  if (launcher_->topology.empty())
    log::info("jobs are not bound to processors: the node was told more than the machine has");
  confiner_.binds(!launcher_->topology.empty());
  devices_->wait(signals_.get());
  if (!devices_->empty()) confiner_.try_devices();
  facts.devices = devices_->report(topology_);
  if (!facts.devices.devices.empty()) log_devices(facts.devices);
  facts.found.devices = groups_of(facts.devices);
  use_local(config);
  facts.hooks = node_hooks(config);
  note_configured(config);

  auto journal = journal_.read();
  if (!journal.ok()) return journal.error();
  if (journal->damaged)
    log::warning("the journal has a damaged record, as after a crash in the middle of a write",
                 {{"path", spool_.journal_path()}});
  start.seen = journal->lineage;
  auto found = spool_.scan(*journal, boot_id);
  if (!found.ok()) return found.error();
  for (const auto& attempt : *found)
    if (attempt.shepherd == FoundAttempt::Shepherd::kAlive)
      shepherds_->adopt(attempt.record.key, env_.monotonic_ms());
  if (!found->empty())
    log::info("attempts of an earlier agent were found",
              {{"attempts", found->size()}, {"running", shepherds_->size()}});
  start.found = std::move(*found);
  if (const std::string text = spool_.read_config(); !text.empty()) {
    use_config(text, false);
    if (auto parsed = parse_config_bundle(text, "the configuration in " + spool_.dir()); parsed.ok())
      start.config_hash = parsed->hash;
  }
  const Lineage seen = start.seen;
  machine_.emplace(std::move(start), Input{env_.now(), env_.monotonic_ms(), Tick{}}, first_);
  machine_->set_not_enforced(not_enforced());
  if (!machine_->not_enforced().empty())
    log::info("not all limits of jobs are enforced here", {{"which", machine_->not_enforced()}});
  give_devices_to_launcher();
  if (auto written = journal_.rewrite(machine_->snapshot()); !written.ok()) return written.error();

  wire::DealerOptions dealer;
  if (!options_.controller.empty()) {
    dealer.endpoints.push_back(options_.controller);
  } else {
    for (const auto& host : config.ctld_hosts)
      dealer.endpoints.push_back(host.address + ":" + std::to_string(config.ctld_port));
  }
  dealer.hello.munge_socket = config.munge_socket;
  dealer.hello.daemon_uid = config.bai_uid;
  if (!seen.cluster.empty()) dealer.hello.cluster_uuid = seen.cluster.hex();
  dealer.hello.role = wire::Role::agent;
  dealer.hello.name = options_.node;
  dealer.retry_min = std::chrono::milliseconds(50);
  dealer.heartbeat = std::chrono::seconds(std::clamp<Seconds>(config.agentd_heartbeat, 1, 60));
  dealer_ = std::make_unique<wire::Dealer>(std::move(dealer));
  if (!watch(epoll_.get(), dealer_->fd(), kSession))
    return errno_error("cannot watch the session", "", errno);

  pid_file_ = for_node(config.agentd_pid_file, options_.node);
  Status pid = env_.make_dirs(parent_dir(pid_file_));
  if (pid.ok()) pid = env_.write_file_atomic(pid_file_, std::to_string(getpid()) + "\n", 0644);
  if (!pid.ok()) {
    log::warning("cannot write the pid file", {{"why", pid.error().text()}});
    pid_file_.clear();
  }
  return {};
}

// What only the node's own file may say.
void Agent::use_local(const ClusterConfig& config) {
  LaunchPolicy policy;
  policy.node = options_.node;
  policy.munge_socket = config.munge_socket;
  policy.minimum_uid = config.minimum_uid;
  policy.allow_root = config.allow_root_jobs;
  policy.signature_max_age = config.signature_max_age;
  policy.own_uid = geteuid();
  ctld_timeout_ = config.ctld_timeout;
  health_.configure(config, options_.node, options_.conf);
  confiner_.configure(config.confinement, node_mib_);
  confiner_.prepare();
  has_mps_ = !config.cuda_mps_control.empty();
  MpsSettings mps{config.cuda_mps_control, spool_.dir() + "/mps"};
  aside_->run([launcher = launcher_, policy, mps, confinement = config.confinement, confiner = confiner_,
               hooks = hook_settings(config, options_.conf)]() -> Aside::Finish {
    launcher->policy = policy;
    launcher->mps = mps;
    launcher->hooks = hooks;
    launcher->confinement = confinement;
    launcher->confiner = confiner;
    return {};
  });
  use_shared(config);
}

// What the controller's copy of the configuration may say, too.
void Agent::use_shared(const ClusterConfig& config) {
  aside_->run([launcher = launcher_, name = config.cluster_name, wait = config.kill_wait,
               sample = config.acct_gather_interval]() -> Aside::Finish {
    launcher->cluster_name = name;
    launcher->kill_wait = wait;
    launcher->sample = sample;
    return {};
  });
}

void Agent::use_config(const std::string& text, bool fresh) {
  auto config = parse_config_bundle(text, "the controller's configuration");
  if (!config.ok()) {
    log::error("the controller's configuration is not understood", {{"why", config.error().text()}});
    return;
  }
  if (fresh) {
    if (auto kept = spool_.write_config(text); !kept.ok())
      log::warning("the configuration cannot be kept", {{"why", kept.error().text()}});
  }
  use_shared(*config);
  note_configured(*config);
  if (machine_) give_devices_to_launcher();
  ctld_timeout_ = config->ctld_timeout;
  if (!options_.log_level_fixed)
    if (auto level = log::parse_level(config->agentd_log_level); level.ok()) log::set_level(*level);
}

void Agent::on_signals() {
  signalfd_siginfo info{};
  while (read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo != SIGHUP) {
      log::info("told to leave; steps go on", {{"signal", info.ssi_signo}, {"steps", shepherds_->size()}});
      stop_ = true;
      continue;
    }
    if (auto reopened = log::reopen(); !reopened.ok())
      log::warning("the log cannot be opened anew", {{"why", reopened.error().text()}});
    std::vector<std::string> warnings;
    auto config = load_config(options_.conf, &warnings);
    if (config.ok()) {
      use_local(*config);
      machine_->set_not_enforced(not_enforced());
      machine_->set_hooks(node_hooks(*config));
      log::info("the node's own keys were read", {{"file", options_.conf}});
    } else {
      log::error("the configuration is kept as it was", {{"why", config.error().text()}});
    }
  }
}

void Agent::on_session() {
  for (auto& event : dealer_->step()) {
    if (std::holds_alternative<wire::DealerConnected>(event)) {
      lost_why_.clear();
      inputs_.emplace_back(SessionUp{});
    } else if (auto* message = std::get_if<wire::DealerMessage>(&event)) {
      auto order = wire::decode_order(message->bytes);
      if (order.ok()) {
        inputs_.emplace_back(OrderIn{std::move(*order)});
      } else {
        garbled_.write(log::Level::error, order.error().message,
                       "the controller said something that is not understood",
                       {{"why", order.error().text()}});
      }
    } else if (auto* lost = std::get_if<wire::DealerLost>(&event)) {
      // Once per reason; a controller that is away for an hour is one line.
      const std::string why = lost->reason.text();
      log::write(why == lost_why_ ? log::Level::debug : log::Level::warning, "no session with the controller",
                 {{"why", why}});
      lost_why_ = why;
      inputs_.emplace_back(SessionDown{});
    }
  }
}

void Agent::note_configured(const ClusterConfig& config) {
  const ConfigNode* own = config.find_node(options_.node);
  configured_devices_.reset();
  if (own) configured_devices_ = own->shape.devices;
}

void Agent::give_devices_to_launcher() {
  const auto& report = machine_->devices();
  aside_->run([launcher = launcher_, table = devices_->table(configured_devices_.value_or(groups_of(report)),
                                                             report)]() -> Aside::Finish {
    launcher->devices = table;
    return {};
  });
}

std::string Agent::not_enforced() const {
  std::string out = confiner_.not_enforced();
  const auto known = devices_->devices();
  if (std::any_of(known.begin(), known.end(), [&](const KnownDevice* device) {
        return device->found.shares && !(device->found.mps && has_mps_);
      }))
    out += (out.empty() ? "" : "; ") + std::string("shares of devices: no CUDA MPS holds jobs to them");
  return out;
}

// What plugins said since; a change of health is told at once.
void Agent::look_at_devices() {
  if (!devices_->news()) return;
  DeviceReport report = devices_->report(topology_);
  if (report == machine_->devices()) return;
  const bool told = same_health(report, machine_->devices());
  const bool more = report.devices.size() != machine_->devices().devices.size();
  machine_->set_devices(std::move(report));
  if (told && !more) return;
  if (more) log_devices(machine_->devices());
  give_devices_to_launcher();
  machine_->set_not_enforced(not_enforced());
  devices_changed_ = true;
}

void Agent::look_for_controller(std::int64_t now) {
  if (machine_->welcomed()) heard_ms_ = now;
  const std::int64_t gone_s = (now - heard_ms_) / 1000;
  if (!alone_ && gone_s >= ctld_timeout_)
    log::error("the controller has been away for CtldTimeout; running steps go on",
               {{"away_s", gone_s}, {"why", lost_why_}, {"steps", shepherds_->size()}});
  else if (alone_ && gone_s == 0)
    log::info("the controller is back");
  alone_ = gone_s >= ctld_timeout_;
}

int Agent::timeout_ms(std::int64_t now) {
  std::int64_t until = tick_ms_;
  if (auto next = shepherds_->next_ms()) until = std::min(until, *next);
  until = std::min(until, devices_->next_ms());
  if (journal_broken_) until = std::min(until, journal_retry_ms_);
  std::int64_t wait = std::max<std::int64_t>(0, until - now);
  if (auto deadline = dealer_->next_deadline()) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(*deadline - wire::Dealer::Clock::now()).count();
    wait = std::min(wait, std::max<std::int64_t>(0, left));
  }
  return static_cast<int>(wait);
}

Status Agent::run() {
  log::info("running", {{"node", options_.node}, {"spool", spool_.dir()}, {"pid", getpid()}});
  health_.run_and_wait(signals_.get());
  if (std::string why = health_.take_failure(); !why.empty()) machine_->set_unhealthy(std::move(why));
  heard_ms_ = env_.monotonic_ms();
  tick_ms_ = heard_ms_ + kTickMs;
  on_session();
  commit(std::exchange(first_, {}));
  turn();
  std::vector<epoll_event> events(kEvents);
  while (!stop_) {
    const int n = epoll_wait(epoll_.get(), events.data(), kEvents, timeout_ms(env_.monotonic_ms()));
    if (n < 0 && errno != EINTR) return errno_error("cannot wait for events", "", errno);
    const std::int64_t now = env_.monotonic_ms();
    const auto deadline = dealer_->next_deadline();
    bool session = deadline && *deadline <= wire::Dealer::Clock::now();
    for (int i = 0; i < n; ++i) {
      const std::uint64_t tag = events[static_cast<std::size_t>(i)].data.u64;
      if (tag == kSignals) on_signals();
      if (tag == kPrepared) aside_->finish();
      if (tag == kDevices) devices_->on_event(now);
      if (tag >= Shepherds::kFirstTag) shepherds_->on_event(tag, now);
      session |= tag == kSession;
    }
    if (session) on_session();
    shepherds_->on_time(now);
    devices_->on_time(now);
    look_at_devices();
    if (now >= tick_ms_) {
      tick_ms_ = now + kTickMs;
      inputs_.emplace_back(Tick{});
      look_for_controller(now);
      health_.on_time(env_.now(), now, shepherds_->size() != 0, machine_->welcomed());
      if (std::string why = health_.take_failure(); !why.empty()) machine_->set_unhealthy(std::move(why));
      held_.sync = held_.sync || !held_.journal.empty();
      const bool idle = now - launched_ms_ >= kIdleMs;
      // When nothing is being started, or when there is far too much of it.
      if (idle || spool_.trash_size() > kMaxTrash) spool_.empty_trash(now - kTrashMs, kTrashBudgetMs);
      // An agent that is killed leaves no empty cgroup behind.
      if (idle && shepherds_->size() == 0) remove_cgroup_parents(confiner_.parents());
    }
    turn();
  }
  held_.sync = held_.sync || !held_.journal.empty();
  if (held_.sync && !make_durable()) log::error("the journal could not be written at the end");
  return {};
}

// Everything that has come in goes through the machine, then what comes out is carried out together: one sync for all.
void Agent::turn() {
  Output out;
  while (!inputs_.empty()) {
    InputBody body = std::move(inputs_.front());
    inputs_.pop_front();
    if (std::holds_alternative<SessionDown>(body)) held_.sends.clear();
    machine_->handle(Input{env_.now(), env_.monotonic_ms(), std::move(body)}, out);
    for (auto& order : std::exchange(out.prepare, {})) prepare(std::move(order));
  }
  machine_->flush(env_.monotonic_ms(), out);
  commit(std::move(out));
}

void Agent::prepare(wire::LaunchOrder order) {
  std::string mark;
  unsigned char random[16];
  env_.random_bytes(random, sizeof random);
  static constexpr char kHex[] = "0123456789abcdef";
  for (unsigned char byte : random) {
    mark += kHex[byte >> 4];
    mark += kHex[byte & 15];
  }
  aside_->run([this, launcher = launcher_, mark, cluster = machine_->seen().cluster, now = env_.now(),
               mono_ms = env_.monotonic_ms(),
               order = std::make_shared<const wire::LaunchOrder>(std::move(order))]() -> Aside::Finish {
    auto launch =
        std::make_shared<Result<step::StepLaunch>>(launcher->prepare(*order, cluster, mark, now, mono_ms));
    return [this, key = order->key, mark, launch] { prepared(key, mark, std::move(*launch)); };
  });
}

void Agent::prepared(wire::AttemptKey key, const std::string& mark, Result<step::StepLaunch> launch) {
  Prepared answer{key, mark, {}, {}};
  Status done = launch.ok() ? spool_.prepare(key, std::move(*launch)) : Status(launch.error());
  if (!done.ok()) {
    const bool passing = is_passing(done.error());
    log::warning(passing ? "a job cannot be launched now" : "a job was refused",
                 {{"job", key.job}, {"why", done.error().text()}});
    (passing ? answer.later : answer.refused) = done.error();
  }
  inputs_.emplace_back(std::move(answer));
}

void Agent::commit(Output out) {
  const std::int64_t now = env_.monotonic_ms();
  if (out.config_text) use_config(*out.config_text, true);
  for (auto& urgent : out.urgent) {
    if (shepherds_->knows(urgent.key))
      shepherds_->request(urgent.key, std::move(urgent.request), now);
    else
      out.requests.push_back(std::move(urgent));  // its shepherd is not spawned yet
  }
  if (out.reconnect) dealer_->reconnect();
  if (out.heartbeat || (devices_changed_ && machine_->welcomed())) {
    devices_changed_ = false;
    send(wire::AgentHeartbeat{load_percent(), free_memory_mib(), machine_->config_hash(),
                              machine_->not_enforced(), machine_->devices(), machine_->hooks(),
                              machine_->take_unhealthy()});
  }
  stop_ = stop_ || out.stop;

  const bool claims = !out.spawn.empty();
  held_.journal += out.journal;
  held_.sync = held_.sync || out.sync;
  move_all(out.spawn, held_.spawn);
  move_all(out.bury, held_.bury);
  move_all(out.requests, held_.requests);
  move_all(out.discard, held_.discard);
  move_all(out.sends, held_.sends);
  if (held_.sync) {
    if (journal_broken_ && now < journal_retry_ms_) return;
    if (claims) crash_point("agent.before_claim");
    if (!make_durable()) return;
    if (claims) crash_point("agent.after_claim");
  }
  Output ready = std::exchange(held_, {});
  // Records that may wait for the next sync.
  held_.journal = std::move(ready.journal);
  carry_out(std::move(ready));
}

bool Agent::make_durable() {
  // Of a file whose append failed nothing is known; so it is written anew.
  const bool rewrite = journal_broken_ || journal_.bloated();
  Status done = rewrite ? journal_.rewrite(machine_->snapshot()) : journal_.append(held_.journal);
  if (!done.ok()) {
    if (!journal_broken_)
      log::error("the journal cannot be written; nothing new is started until it can",
                 {{"why", done.error().text()}});
    journal_broken_ = true;
    journal_retry_ms_ = env_.monotonic_ms() + kJournalRetryMs;
    return false;
  }
  if (journal_broken_) log::info("the journal is written again");
  journal_broken_ = false;
  held_.journal.clear();
  held_.sync = false;
  return true;
}

void Agent::carry_out(Output out) {
  const std::int64_t now = env_.monotonic_ms();
  for (const auto& key : out.bury) shepherds_->bury(key, now);
  for (const auto& [key, mark] : out.spawn) shepherds_->spawn(key, mark, now);
  for (const auto& request : out.requests)
    if (std::holds_alternative<step::SuspendRequest>(request.request)) crash_point("agent.suspend_recorded");
  for (auto& request : out.requests) shepherds_->request(request.key, std::move(request.request), now);
  for (const auto& body : out.sends) send(body);
  for (const auto& key : out.discard) spool_.discard(key, now);
  if (!out.spawn.empty()) launched_ms_ = now;
}

void Agent::send(const wire::AgentBody& body) {
  if (!dealer_->connected()) return;  // the next registration says everything
  if (!dealer_->send(wire::encode_agent(body))) {
    inputs_.emplace_back(SendFailed{});
    return;
  }
  if (auto* news = std::get_if<wire::AgentAttempts>(&body))
    for (const auto& report : news->attempts)
      if (report.phase == wire::AttemptPhase::kEnded) crash_point("agent.end_sent");
}

}  // namespace bai::agent
