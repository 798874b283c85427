#include "agent/emulator.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "agent/inventory.h"
#include "base/paths.h"

namespace bai::agent {

namespace {

enum Tag : std::uint64_t { kSessions = 1, kSignals = 2 };
constexpr std::int64_t kTickMs = 1'000;
constexpr std::int64_t kTickStepMs = 20;  // ticks that are due within so long are given together

}  // namespace

Result<std::unique_ptr<Emulator>> Emulator::start(const Env& env, EmulatorOptions options,
                                                  const ClusterConfig& config) {
  std::unique_ptr<Emulator> emulator(new Emulator(env));
  if (auto ready = emulator->set_up(std::move(options), config); !ready.ok()) return ready.error();
  return emulator;
}

Status Emulator::set_up(EmulatorOptions options, const ClusterConfig& config) {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signum : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signum);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  log_level_fixed_ = options.log_level_fixed;

  wire::FleetOptions fleet;
  if (!options.controller.empty()) {
    fleet.endpoints.push_back(options.controller);
  } else {
    for (const auto& host : config.ctld_hosts)
      fleet.endpoints.push_back(host.address + ":" + std::to_string(config.ctld_port));
  }
  fleet.hello.munge_socket = config.munge_socket;
  fleet.hello.daemon_uid = config.bai_uid;
  fleet.hello.role = wire::Role::agent;
  std::vector<std::string> names;
  names.reserve(options.nodes.size());
  for (const auto& node : options.nodes) names.push_back(node.name.str());
  auto sessions = wire::Fleet::start(std::move(fleet), std::move(names));
  if (!sessions.ok()) return sessions.error();
  fleet_ = std::move(*sessions);

  signals_.reset(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  epoll_event on_signal{EPOLLIN, {.u64 = kSignals}}, on_session{EPOLLIN, {.u64 = kSessions}};
  if (!signals_ || !epoll_ || epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, signals_.get(), &on_signal) ||
      epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fleet_->fd(), &on_session))
    return errno_error("cannot set up the event loop", "", errno);

  // What is not on disk ends with this process: for the controller that is a reboot.
  const SystemFacts system = system_facts();
  const Uuid boot = Uuid::random();
  const Time now = env_.now();
  nodes_.reserve(options.nodes.size());
  planned_.resize(options.nodes.size());
  for (auto& node : options.nodes) {
    MachineStart start;
    start.boot_id = boot.hex();
    start.config_hash = config.hash;
    start.one_of_many = true;
    auto& facts = start.facts;
    facts.node = node.name.str();
    facts.address = node.address.empty() ? system.host : node.address.str();
    facts.version = kVersion;
    facts.os = system.os + " (emulated)";
    facts.arch = system.arch;
    facts.boot_id = boot;
    facts.boot = facts.agent_started = now;
    facts.invented = true;
    facts.found = std::move(node.shape);
    nodes_.emplace_back(std::move(start), now, env_.monotonic_ms());
  }
  return {};
}

void Emulator::on_signals() {
  signalfd_siginfo info{};
  while (read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGHUP) {
      if (auto reopened = log::reopen(); !reopened.ok())
        log::warning("the log cannot be opened anew", {{"why", reopened.error().text()}});
      continue;
    }
    std::size_t steps = 0;
    for (const auto& node : nodes_) steps += node.running();
    log::info("told to leave; emulated jobs are gone with it",
              {{"signal", info.ssi_signo}, {"steps", steps}});
    stop_ = true;
  }
}

void Emulator::on_event(std::size_t node, wire::DealerEvent event) {
  if (std::holds_alternative<wire::DealerConnected>(event)) {
    lost_why_.clear();
    give(node, SessionUp{});
  } else if (auto* message = std::get_if<wire::DealerMessage>(&event)) {
    auto order = wire::decode_order(message->bytes);
    if (order.ok())
      give(node, OrderIn{std::move(*order)});
    else
      garbled_.write(log::Level::error, order.error().message,
                     "the controller said something that is not understood", {{"why", order.error().text()}});
  } else if (auto* lost = std::get_if<wire::DealerLost>(&event)) {
    on_lost(lost->reason);
    give(node, SessionDown{});
  }
}

// Once per reason: ten thousand sessions that end with their controller are one line.
void Emulator::on_lost(const Error& why) {
  const std::string text = why.text();
  log::write(text == lost_why_ ? log::Level::debug : log::Level::warning,
             "a session with the controller is lost", {{"why", text}, {"sessions", fleet_->connected()}});
  lost_why_ = text;
}

void Emulator::give(std::size_t node, InputBody input) {
  carry_out(node, nodes_[node].handle(env_.now(), env_.monotonic_ms(), std::move(input)));
}

void Emulator::carry_out(std::size_t node, VirtualOutput out) {
  if (out.config_text && *out.config_text != config_text_) use_config(*out.config_text);
  for (const auto& body : out.sends)
    (void)fleet_->send(node, wire::encode_agent(body));  // else the next registration says it
  if (out.reconnect) fleet_->reconnect(node);
  if (out.stop) {
    if (!stop_) log::info("the controller asked its agents to stop");
    stop_ = true;
  }
  if (auto next = nodes_[node].next_ms(); next && *next != planned_[node]) {
    planned_[node] = *next;
    due_.push({*next, node});
  }
}

void Emulator::use_config(const std::string& text) {
  config_text_ = text;
  auto config = parse_config_bundle(text, "the controller's configuration");
  if (!config.ok())
    return log::error("the controller's configuration is not understood", {{"why", config.error().text()}});
  if (log_level_fixed_) return;
  if (auto level = log::parse_level(config->agentd_log_level); level.ok()) log::set_level(*level);
}

void Emulator::end_steps() {
  const std::int64_t now = env_.monotonic_ms();
  while (!due_.empty() && due_.top().ms <= now) {
    const auto [ms, node] = due_.top();
    due_.pop();
    if (ms != planned_[node]) continue;
    planned_[node] = 0;
    carry_out(node, nodes_[node].on_time(env_.now(), now));
  }
}

void Emulator::tick() {
  const std::int64_t now = env_.monotonic_ms();
  const auto elapsed = static_cast<std::uint64_t>(now - began_ms_);
  const std::uint64_t owed = elapsed * nodes_.size() / kTickMs;
  ticked_ = std::max(
      ticked_, owed - std::min<std::uint64_t>(owed, nodes_.size()));  // after a stall, one each is enough
  for (; ticked_ < owed; ++ticked_) give(ticked_ % nodes_.size(), Tick{});
  if (now - said_ms_ >= kTickMs) say_how_many(now);
}

void Emulator::say_how_many(std::int64_t now) {
  said_ms_ = now;
  const auto welcomed = static_cast<std::size_t>(
      std::count_if(nodes_.begin(), nodes_.end(), [](const VirtualNode& node) { return node.welcomed(); }));
  if (welcomed == said_) return;
  said_ = welcomed;
  log::info("virtual nodes are registered",
            {{"registered", welcomed}, {"nodes", nodes_.size()}, {"since_start_ms", now - began_ms_}});
}

int Emulator::timeout_ms() const {
  const std::int64_t now = env_.monotonic_ms();
  std::int64_t wait =
      std::clamp<std::int64_t>(kTickMs / static_cast<std::int64_t>(nodes_.size()), kTickStepMs, kTickMs);
  if (!due_.empty()) wait = std::min(wait, due_.top().ms - now);
  if (auto deadline = fleet_->next_deadline()) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(*deadline - wire::Fleet::Clock::now()).count();
    wait = std::min<std::int64_t>(wait, left);
  }
  return static_cast<int>(std::max<std::int64_t>(0, wait));
}

Status Emulator::run() {
  began_ms_ = env_.monotonic_ms();
  log::info("emulating", {{"nodes", nodes_.size()}, {"pid", getpid()}});
  std::array<epoll_event, 2> events{};
  while (!stop_) {
    const int n = epoll_wait(epoll_.get(), events.data(), events.size(), timeout_ms());
    if (n < 0 && errno != EINTR) return errno_error("cannot wait for events", "", errno);
    for (int i = 0; i < n; ++i)
      if (events[static_cast<std::size_t>(i)].data.u64 == kSignals) on_signals();
    fleet_->step(wire::Fleet::Clock::now(),
                 [this](std::size_t node, wire::DealerEvent event) { on_event(node, std::move(event)); });
    end_steps();
    tick();
  }
  return {};
}

}  // namespace bai::agent
