#include "cli/step_client.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "step/process.h"
#include "step/status.h"
#include "step/stream_socket.h"
#include "step/task_launch.h"

namespace bai::cli {

using step::FrameType;

namespace {

constexpr std::size_t kMaxCallers = 4096;
constexpr int kAcceptsPerTurn = 64;
constexpr std::int64_t kShakeMs = 10'000;
constexpr std::int64_t kNewsMs = 50;  // for what is alike to come together
constexpr std::int64_t kInterruptMs = 1000;

// This machine's addresses, those that other machines see first.
std::vector<std::string> own_addresses() {
  std::vector<std::string> global, local;
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return {"127.0.0.1"};
  for (const ifaddrs* a = all; a; a = a->ifa_next) {
    if (!a->ifa_addr || (a->ifa_flags & IFF_UP) == 0) continue;
    char text[INET6_ADDRSTRLEN] = "";
    if (a->ifa_addr->sa_family == AF_INET) {
      inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(a->ifa_addr)->sin_addr, text, sizeof text);
    } else if (a->ifa_addr->sa_family == AF_INET6) {
      const auto& address = reinterpret_cast<sockaddr_in6*>(a->ifa_addr)->sin6_addr;
      if (!IN6_IS_ADDR_LINKLOCAL(&address)) inet_ntop(AF_INET6, &address, text, sizeof text);
    }
    if (text[0]) ((a->ifa_flags & IFF_LOOPBACK) != 0 ? local : global).push_back(text);
  }
  freeifaddrs(all);
  global.insert(global.end(), local.begin(), local.end());
  if (global.size() > step::kMaxEndpoints) global.resize(step::kMaxEndpoints);
  return global;
}

bool is_loopback(const std::string& address) { return address.starts_with("127.") || address == "::1"; }

}  // namespace

// Takes the signals that mean something to a step, and gives them back.
class StepClient::Signals {
 public:
  Signals() {
    sigemptyset(&taken_);
    for (int signum : {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGCONT, SIGWINCH, SIGUSR1, SIGUSR2, SIGALRM})
      sigaddset(&taken_, signum);
    sigprocmask(SIG_BLOCK, &taken_, &before_);
    fd_.reset(signalfd(-1, &taken_, SFD_CLOEXEC | SFD_NONBLOCK));
    for (std::size_t i = 0; i < std::size(kIgnored); ++i) ignored_[i] = signal(kIgnored[i], SIG_IGN);
  }
  ~Signals() {
    for (std::size_t i = 0; i < std::size(kIgnored); ++i) signal(kIgnored[i], ignored_[i]);
    sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  int fd() const { return fd_.get(); }
  // 0: none left.
  int take() const {
    signalfd_siginfo info{};
    return read(fd_.get(), &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
  }

 private:
  static constexpr int kIgnored[] = {SIGPIPE, SIGTTIN, SIGTTOU};
  sigset_t taken_{}, before_{};
  sighandler_t ignored_[std::size(kIgnored)]{};
  Fd fd_;
};

StepClient::StepClient(StepClientOptions options, const Reporter& reporter)
    : options_(std::move(options)), reporter_(reporter) {}
StepClient::~StepClient() = default;

Result<ClientPort> open_client_port(const std::vector<std::string>& addresses) {
  const auto told = addresses.empty() ? own_addresses() : addresses;
  auto listener = step::listen_any(std::all_of(told.begin(), told.end(), is_loopback));
  if (!listener.ok()) return listener.error();
  ClientPort out{std::move(listener->fd), {}};
  for (const auto& address : told) out.endpoints.push_back(step::endpoint_text(address, listener->port));
  return out;
}

Status StepClient::listen(const std::vector<std::string>& addresses) {
  auto port = open_client_port(addresses);
  if (!port.ok()) return port.error();
  listener_ = std::move(port->listener);
  endpoints_ = std::move(port->endpoints);
  key_.resize(step::kStreamKeyBytes);
  env_.random_bytes(key_.data(), key_.size());
  if (auto near = step::listen_near(step::near_name(key_, step::boot_id())); near.ok())
    near_ = std::move(*near);
  return {};
}

Status StepClient::begin(StepLayout layout) {
  layout_ = std::move(layout);
  exits_.emplace(layout_);
  nodes_.resize(layout_.nodes.size());
  slots_.assign(nodes_.size(), -1);
  auto output = StepOutput::open(options_.output, layout_);
  if (!output.ok()) return output.error();
  output_.emplace(std::move(*output));
  auto input = StepInput::open(options_.pty ? "0" : options_.input, layout_);
  if (!input.ok()) return input.error();
  input_.emplace(std::move(*input));
  // Tasks that nothing is for see the end at once.
  for (std::size_t node = 0; node < nodes_.size(); ++node)
    for (std::uint32_t rank : layout_.ranks[node])
      if (input_->ended() || (input_->task() != step::kAllTasks && input_->task() != rank))
        nodes_[node].link.put(FrameType::kInputEnd, 0, rank, {});
  return {};
}

int StepClient::run() {
  Signals signals;
  signals_ = &signals;
  if (options_.pty) {
    terminal_.enter();
    send_window();
  }
  std::vector<pollfd> fds;
  while (!left_ && (!ended() || output_->blocked())) {
    fds.clear();
    add_pollfds(&fds);
    const std::int64_t pause = pause_ms();
    const int ready = poll(fds.data(), fds.size(), static_cast<int>(std::min<std::int64_t>(pause, 1 << 30)));
    if (ready > 0) serve(fds);
    on_time();
  }
  if (left_) send_all(FrameType::kLeave, 0, {});
  flush();
  if (!left_) output_->finish();
  terminal_.leave();
  say_news();
  if (exits_->signalled() && !aborted_ && exits_->all_ended())
    reporter_.note("Force Terminated " + layout_.name());
  signals_ = nullptr;
  return exits_->exit_code();
}

void StepClient::watch(int fd, short events, std::function<void(short)> ready) {
  watched_ = fd;
  watched_events_ = events;
  watched_ready_ = std::move(ready);
}

// The first entries are ours, in this order; those after them know their places.
enum Slot : std::size_t {
  kSignalSlot,
  kListenSlot,
  kNearSlot,
  kWatchSlot,
  kInputSlot,
  kSinkSlot,
  kFixedSlots
};

void StepClient::add_pollfds(std::vector<pollfd>* fds) {
  const Sink* blocked = output_->blocked();
  fds->push_back({signals_->fd(), POLLIN, 0});
  fds->push_back({listener_.get(), POLLIN, 0});
  fds->push_back({near_.get(), POLLIN, 0});
  fds->push_back({watched_, watched_events_, 0});
  fds->push_back({input_->wanted() ? input_->fd() : -1, POLLIN, 0});
  fds->push_back({blocked ? blocked->fd() : -1, POLLOUT, 0});
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    slots_[i] = -1;
    if (!nodes_[i].link.connected()) continue;
    slots_[i] = static_cast<int>(fds->size());
    fds->push_back({nodes_[i].link.fd(), nodes_[i].link.events(!blocked), 0});
  }
  for (Caller& caller : callers_) {
    caller.slot = static_cast<int>(fds->size());
    fds->push_back({caller.handshake.fd(), caller.handshake.events(), 0});
  }
}

void StepClient::serve(const std::vector<pollfd>& fds) {
  if (fds[kSinkSlot].revents != 0) output_->go_on();
  if (fds[kSignalSlot].revents != 0)
    while (const int signum = signals_->take()) on_signal(signum);
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (slots_[i] < 0 || !nodes_[i].link.connected()) continue;
    short revents = fds[static_cast<std::size_t>(slots_[i])].revents;
    // Another node's output may have filled the sink in this turn.
    if (output_->blocked()) revents = static_cast<short>(revents & POLLOUT);
    if (revents == 0) continue;
    // A broken connection is the node's to mend.
    (void)nodes_[i].link.serve(revents, [&](const step::Frame& frame) { on_frame(i, frame); });
  }
  for (auto caller = callers_.begin(); caller != callers_.end();) {
    bool done = false;
    if (caller->slot >= 0 && fds[static_cast<std::size_t>(caller->slot)].revents != 0) shake(*caller, &done);
    caller = done ? callers_.erase(caller) : std::next(caller);
  }
  if (fds[kListenSlot].revents != 0) admit(listener_);
  if (fds[kNearSlot].revents != 0) admit(near_);
  if (fds[kInputSlot].revents != 0) send_input();
  if (fds[kWatchSlot].revents != 0 && watched_ready_) {
    const auto ready = watched_ready_;  // it may put another in its place
    ready(fds[kWatchSlot].revents);
  }
  if (output_->broken() == EPIPE && !aborted_) {  // nobody reads what the tasks say
    aborted_ = true;
    terminate(true, "nobody reads the output");
  }
  flush();
}

void StepClient::admit(const Fd& from) {
  const bool near = &from == &near_;
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    Fd fd(accept4(from.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd && (errno == EMFILE || errno == ENFILE) && !callers_.empty()) {
      callers_.pop_front();
      continue;
    }
    if (!fd) return;
    if (near && !step::may_call_near(fd.get())) continue;
    if (callers_.size() >= kMaxCallers) callers_.pop_front();  // an honest one proves itself at once
    step::tune(fd.get());
    auto received = [this](const step::Hello& hello) -> std::uint64_t {
      if (hello.node_index >= nodes_.size()) return 0;
      const Node& node = nodes_[hello.node_index];
      return node.link_id == hello.link_id ? node.link.received() : 0;
    };
    callers_.push_back(
        {step::Handshake::answer(std::move(fd), key_, received, near), env_.monotonic_ms() + kShakeMs});
  }
}

void StepClient::shake(Caller& caller, bool* done) {
  auto session = caller.handshake.go_on();
  *done = !session.ok() || session->has_value();
  if (!session.ok() || !*session) return;
  const step::Hello& hello = (*session)->hello;
  if (hello.node_index >= nodes_.size() || hello.kind == step::LinkKind::kPeer) return;
  Node& node = nodes_[hello.node_index];
  if (node.over || (node.link_id && node.link_id != hello.link_id)) return;  // not the shepherd that we know
  node.link_id = hello.link_id;
  node.link.connect(std::move(**session));
}

void StepClient::on_frame(std::size_t index, const step::Frame& frame) {
  switch (frame.type) {
    case FrameType::kStarted: {
      auto started = step::decode_started_tasks(frame.payload);
      if (started.ok())
        for (std::uint32_t rank : started->ranks) exits_->started(rank);
      return;
    }
    case FrameType::kOutput:
      return output_->take(frame.task, frame.detail == step::kStderr, frame.payload);
    case FrameType::kTaskExit:
      return task_ended(frame.task, static_cast<int>(step::u32_at(frame.payload, 0)));
    case FrameType::kStepEnd:
      return node_ended(index, frame.payload);
    case FrameType::kCredit:
      return input_->credit(index, step::u32_at(frame.payload, 0));
    case FrameType::kNote:
      (void)reporter_.said(frame.payload);
      return;
    case FrameType::kEndAll:
      return end_all(index, frame.detail, frame.payload);
    default:
      return;
  }
}

// The nodes of an MPI program tell each other, too; this is for those that have not met.
void StepClient::end_all(std::size_t index, std::uint8_t exit_code, std::string_view why) {
  if (terminating_) return;
  exits_->decided(exit_code);
  terminating_ = true;
  end_reason_ = why;
  if (!why.empty()) reporter_.error_line(layout_.nodes[index] + ": " + end_reason_);
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    if (i != index && !nodes_[i].over)
      nodes_[i].link.put(FrameType::kEndAll, exit_code, step::kAllTasks, why);
  ask_to_end(SIGTERM);
}

void StepClient::node_ended(std::size_t index, std::string_view payload) {
  nodes_[index].over = true;
  input_->over(index);
  auto status = step::decode_status(payload);
  if (status.ok() && status->reason == step::EndReason::kLaunchFailed) {
    exits_->at_least(1);
    reporter_.error_line(layout_.nodes[index] + ": " + status->message);
    if (!terminating_ && !options_.attached && !ended()) abort(SIGKILL);  // as srun: all nodes or none
  }
  exits_->lost(index);  // tasks that were never begun
}

void StepClient::task_ended(std::uint32_t task, int status) {
  const bool first = !exits_->any_ended();
  exits_->ended(task, status);
  const std::int64_t now = env_.monotonic_ms();
  if (exits_->failed(task) && !news_at_) news_at_ = now + kNewsMs;
  if (options_.attached || exits_->all_ended()) return;
  if (options_.kill_on_bad_exit && exits_->failed(task) && !terminating_) {
    say_news();
    reporter_.note("launch/slurm: _step_signal: Terminating " + layout_.name());
    terminate(false, "a task failed");
  } else if (first && options_.wait_s > 0) {
    wait_at_ = now + static_cast<std::int64_t>(options_.wait_s) * 1000;
  }
}

void StepClient::on_signal(int signum) {
  switch (signum) {
    case SIGINT:
      return on_interrupt();
    case SIGWINCH:
      return send_window();
    case SIGQUIT:
      if (options_.attached) {
        left_ = true;
        return;
      }
      reporter_.note("Quit");
      [[fallthrough]];
    case SIGTERM:
    case SIGHUP:
      if (options_.attached) {
        left_ = true;
        return;
      }
      reporter_.note("forcing job termination");
      return abort(SIGKILL);
    case SIGCONT:
      input_->go_on();
      if (options_.attached) return;
      reporter_.note("got SIGCONT");
      return forward(SIGCONT);
    default:
      aborted_ = true;
      return forward(signum);
  }
}

// srun's _handle_intr: once the states are told, again within a second the tasks get it, again they are killed.
void StepClient::on_interrupt() {
  if (options_.attached || ended()) {  // there is only somebody who does not read

    left_ = true;
    return;
  }
  const std::int64_t now = env_.monotonic_ms();
  if (!options_.quit_on_interrupt && (!interrupted_ || now - interrupt_ms_ > kInterruptMs)) {
    if (options_.disable_status) {
      reporter_.note("sending Ctrl-C to " + layout_.name());
      forward(SIGINT);
    } else {
      reporter_.note(forced_ == 0 ? "interrupt (one more within 1 sec to abort)"
                                  : "interrupt (abort already in progress)");
      for (const auto& line : exits_->states()) reporter_.note(line);
    }
    interrupted_ = true;
    interrupt_ms_ = now;
    return;
  }
  aborted_ = true;
  if (forced_ == 0 && now - sent_interrupt_ms_ >= kInterruptMs) {
    reporter_.note("sending Ctrl-C to " + layout_.name());
    sent_interrupt_ms_ = now;
    return forward(SIGINT);
  }
  reporter_.note(forced_++ == 0 ? "forcing job termination" : "job abort in progress");
  abort(SIGKILL);
}

void StepClient::forward(int signum) { send_all(FrameType::kSignal, static_cast<std::uint8_t>(signum), {}); }

void StepClient::send_all(FrameType type, std::uint8_t detail, std::string_view payload) {
  for (Node& node : nodes_)
    if (!node.over) node.link.put(type, detail, step::kAllTasks, payload);
}

void StepClient::terminate(bool at_once, const std::string& why) {
  terminating_ = true;
  send_all(at_once ? FrameType::kKill : FrameType::kTerminate, 0, why);
  ask_to_end(at_once ? SIGKILL : SIGTERM);
}

// For nodes that have not connected.
void StepClient::ask_to_end(int signum) {
  const bool some_away =
      std::any_of(nodes_.begin(), nodes_.end(), [](const Node& n) { return !n.over && !n.link_id; });
  if (some_away && options_.end_step) options_.end_step(signum);
}

void StepClient::abort(int signum) {
  aborted_ = true;
  terminate(signum == SIGKILL, "aborted by the user");
  if (give_up_at_) return;
  const std::uint64_t seconds = options_.kill_wait_s + 2;
  reporter_.note("Job step aborted: Waiting up to " + std::to_string(seconds) +
                 " seconds for job step to finish.");
  give_up_at_ = env_.monotonic_ms() + static_cast<std::int64_t>(seconds) * 1000;
}

void StepClient::send_input() {
  const std::string bytes = input_->take();
  if (bytes.empty() && !input_->ended()) return;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].over || !input_->wanted_by(i)) continue;
    nodes_[i].link.put(bytes.empty() ? FrameType::kInputEnd : FrameType::kInput, 0, input_->task(), bytes);
  }
}

void StepClient::send_window() {
  if (!options_.pty) return;
  const WindowSize size = window_size();
  if (size.rows > 0) send_all(FrameType::kWindow, 0, step::u32_payload({size.rows, size.columns}));
}

void StepClient::node_lost(std::size_t index, const std::string& why, int status) {
  if (index >= nodes_.size() || nodes_[index].over) return;
  if (!why.empty()) reporter_.error_line(why);
  nodes_[index].over = true;
  nodes_[index].link.disconnect();
  input_->over(index);
  exits_->lost(index, status);
}

void StepClient::step_lost(const std::string& why, int status) {
  if (!why.empty()) reporter_.error_line(why);
  for (std::size_t i = 0; i < nodes_.size(); ++i) node_lost(i, {}, nodes_[i].link_id ? 1 << 8 : status);
}

bool StepClient::hears() const {
  return std::any_of(nodes_.begin(), nodes_.end(),
                     [](const Node& node) { return !node.over && node.link.connected(); });
}

void StepClient::on_time() {
  const std::int64_t now = env_.monotonic_ms();
  auto due = [now](std::optional<std::int64_t>& at) {
    const bool is = at && *at <= now;
    if (is) at.reset();
    return is;
  };
  if (due(news_at_)) say_news();
  if (due(wait_at_) && !exits_->all_ended()) {
    reporter_.note("First task exited " + std::to_string(options_.wait_s) + "s ago");
    for (const auto& line : exits_->states()) reporter_.note(line);
    reporter_.note("launch/slurm: _step_signal: Terminating " + layout_.name());
    abort(SIGKILL);
  }
  if (due(give_up_at_)) step_lost("Timed out waiting for job step to complete");
  for (auto caller = callers_.begin(); caller != callers_.end();)
    caller = caller->until_ms <= now ? callers_.erase(caller) : std::next(caller);
  flush();
}

// -1: for ever.
std::int64_t StepClient::pause_ms() const {
  std::optional<std::int64_t> next;
  for (const auto& at : {news_at_, wait_at_, give_up_at_})
    if (at) next = next ? std::min(*next, *at) : *at;
  for (const Caller& caller : callers_) next = next ? std::min(*next, caller.until_ms) : caller.until_ms;
  return next ? std::max<std::int64_t>(0, *next - env_.monotonic_ms()) : -1;
}

void StepClient::say_news() {
  news_at_.reset();
  for (const auto& line : exits_->news()) reporter_.error_line(line);
}

bool StepClient::ended() const {
  return std::all_of(nodes_.begin(), nodes_.end(), [](const Node& node) { return node.over; });
}

void StepClient::flush() {
  for (Node& node : nodes_)
    if (node.link.connected() && !node.link.flush().ok()) node.link.disconnect();
}

}  // namespace bai::cli
