#include "agent/shepherds.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "agent/hooks.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "model/hooks.h"
#include "step/process.h"
#include "step/track.h"

namespace bai::agent {

using wire::AttemptKey;

namespace {

constexpr std::int64_t kMaxPauseMs = 1'000;
constexpr std::size_t kMaxUnheard = 64;  // questions for a shepherd that does not answer
constexpr std::int64_t kBuryPauseMs = 50;
constexpr int kBuryRoundMs = 20;  // how long one round of ending may block
constexpr std::int64_t kBuryGiveUpMs = 60'000;
constexpr std::int64_t kExecTimeMs = 2'000;  // an exec that takes longer counts as done

// The file that a process runs, as a path; empty when it is gone or not ours to see.
std::string executable(pid_t pid, int* err) {
  char buffer[PATH_MAX];
  const ssize_t n = readlink(("/proc/" + std::to_string(pid) + "/exe").c_str(), buffer, sizeof buffer);
  *err = n < 0 ? errno : 0;
  return n < 0 ? std::string() : std::string(buffer, static_cast<std::size_t>(n));
}

// The last line that bai-stepd wrote into its log.
std::string last_words(const std::string& dir) {
  auto text = read_all(dir + "/stepd.log", 64 << 10);
  if (!text.ok() || text->empty()) return "";
  while (!text->empty() && text->back() == '\n') text->pop_back();
  const auto line = text->rfind('\n');
  return ": " + (line == std::string::npos ? *text : text->substr(line + 1)).substr(0, 500);
}

// The last bytes of what the site's programs printed.
std::string printed(const std::string& dir) {
  constexpr off_t kMost = 4096;
  auto fd = open_fd(dir + "/output", O_RDONLY);
  if (!fd.ok()) return "";
  const off_t end = std::max<off_t>(0, lseek(fd->get(), 0, SEEK_END));
  std::string out(static_cast<std::size_t>(std::min(kMost, end)), '\0');
  const ssize_t n = pread(fd->get(), out.data(), out.size(), end - static_cast<off_t>(out.size()));
  out.resize(static_cast<std::size_t>(std::max<ssize_t>(0, n)));
  return out;
}

bool repeatable(const step::Request& request) {
  return !std::holds_alternative<step::SignalRequest>(request);
}

}  // namespace

bool Shepherds::watch(int fd, std::uint64_t tag) const {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = tag;
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void Shepherds::spawn(AttemptKey key, const std::string& mark, std::int64_t mono_ms) {
  crash_point("agent.before_fork");
  auto spawned = nursery_.spawn(dir_(key), mark);
  crash_point("agent.after_fork");
  if (!spawned.ok()) {
    // It may have begun all the same; if not, it never shall.
    auto forbidden = step::forbid_start(dir_(key));
    if (forbidden.ok() && !*forbidden) return adopt(key, mono_ms);
    return news_(SpawnFailed{key, spawned.error()});
  }
  Shepherd& s = add(key);
  s.pid = spawned->pid;
  s.child = true;
  s.pidfd = std::move(spawned->pidfd);
  s.since_ms = mono_ms;
  if (!watch(s.pidfd.get(), tag(s, false))) log::error("cannot watch a shepherd", {{"job", key.job}});
  look_again(key, s, mono_ms);
}

Shepherds::Shepherd& Shepherds::add(AttemptKey key) {
  auto [it, fresh] = all_.try_emplace(key);
  if (fresh) {
    it->second.serial = next_serial_++;
    keys_[it->second.serial] = key;
  }
  return it->second;
}

void Shepherds::drop(AttemptKey key) {
  auto it = all_.find(key);
  if (it == all_.end()) return;
  for (const auto* unheard : {&it->second.unanswered, &it->second.waiting})
    for (const auto& request : *unheard) answer(key, request, nullptr);
  keys_.erase(it->second.serial);
  all_.erase(it);
}

// Only a question's answer is news. No reply: there will be none.
void Shepherds::answer(AttemptKey key, const step::Request& request, const step::Reply* reply) {
  const auto* asked = std::get_if<step::UseRequest>(&request);
  if (!asked) return;
  const auto* used = reply ? std::get_if<step::UseReply>(reply) : nullptr;
  news_(StepUsed{key, asked->query, used ? std::optional<LiveUse>(used->use) : std::nullopt});
}

void Shepherds::adopt(AttemptKey key, std::int64_t mono_ms) {
  Shepherd& s = add(key);
  s.since_ms = mono_ms;
  auto started = step::read_started(dir_(key));
  if (started.ok()) {
    s.pid = started->pid;
    const auto stat = step::process_stat(s.pid);
    s.child = stat && stat->parent == getpid();
    s.pidfd.reset(static_cast<int>(syscall(SYS_pidfd_open, s.pid, 0)));
    // Asked again with the pidfd in hand: from now on it cannot be another process of the same number.
    if (s.pidfd && step::shepherd_alive(*started) && watch(s.pidfd.get(), tag(s, false)))
      return look(key, s, mono_ms);
  }
  shepherd_ended(key, s, mono_ms);
}

void Shepherds::bury(AttemptKey key, std::int64_t mono_ms) {
  Shepherd& s = add(key);
  s.since_ms = mono_ms;
  shepherd_ended(key, s, mono_ms);
}

void Shepherds::look_again(AttemptKey key, Shepherd& s, std::int64_t mono_ms) {
  looks_[key] = mono_ms + s.pause_ms;
  s.pause_ms = std::min(s.pause_ms * 2, kMaxPauseMs);
}

std::optional<std::int64_t> Shepherds::next_ms() const {
  std::optional<std::int64_t> next;
  for (const auto& [key, at] : looks_) next = std::min(next.value_or(at), at);
  return next;
}

void Shepherds::on_time(std::int64_t mono_ms) {
  std::vector<AttemptKey> due;
  for (const auto& [key, at] : looks_)
    if (at <= mono_ms) due.push_back(key);
  for (const auto& key : due) {
    looks_.erase(key);
    auto it = all_.find(key);
    if (it != all_.end()) look(key, it->second, mono_ms);
  }
}

void Shepherds::look(AttemptKey key, Shepherd& s, std::int64_t mono_ms) {
  if (s.dead) return look_dead(key, s, mono_ms);
  if (!s.waiting.empty()) deliver(key, s, mono_ms);
  if (!s.running && !look_running(key, s, mono_ms)) look_again(key, s, mono_ms);
}

// Whether the step's program runs: its process is there and has become something else than its shepherd. Most steps are over
// before the first look, and nobody need be told.
bool Shepherds::look_running(AttemptKey key, Shepherd& s, std::int64_t mono_ms) {
  const std::string dir = dir_(key);
  auto started = step::read_started(dir);
  if (!started.ok() || started->script_pid == 0) return false;
  int script_err = 0, shepherd_err = 0;
  const std::string script = executable(started->script_pid, &script_err);
  if (script_err == ENOENT || script_err == ESRCH) return false;  // it ended; the status comes
  if (mono_ms - s.since_ms < kExecTimeMs && script_err == 0 && script == executable(s.pid, &shepherd_err))
    return false;
  s.running = true;
  struct stat st {};
  Time at;
  if (stat((dir + "/started").c_str(), &st) == 0)
    at = Time{st.st_mtim.tv_sec * 1'000'000 + st.st_mtim.tv_nsec / 1000};
  news_(StepRunning{key, at});
  return true;
}

void Shepherds::on_event(std::uint64_t event_tag, std::int64_t mono_ms) {
  auto known = keys_.find(event_tag >> 1);
  if (known == keys_.end()) return;
  const AttemptKey key = known->second;
  auto it = all_.find(key);
  if (it == all_.end()) return;
  if (event_tag & 1)
    read_client(key, it->second, mono_ms);
  else
    shepherd_ended(key, it->second, mono_ms);
}

void Shepherds::shepherd_ended(AttemptKey key, Shepherd& s, std::int64_t mono_ms) {
  if (s.dead) return;
  if (s.child) {
    while (waitpid(s.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    s.child = false;
  }
  s.pidfd.reset();
  s.client.reset();
  if (tell_end(key)) return;
  log::warning("a shepherd died without a status", {{"job", key.job}, {"attempt", key.attempt}});
  s.dead = true;
  s.since_ms = mono_ms;
  look_dead(key, s, mono_ms);
}

// Tells how the step ended, if its shepherd has left that, and forgets it.
bool Shepherds::tell_end(AttemptKey key) {
  auto status = step::read_status(dir_(key));
  if (!status.ok()) {
    if (status.error().code != "not_found")
      log::error("a step's status cannot be read", {{"why", status.error().text()}});
    return false;
  }
  drop(key);
  looks_.erase(key);
  if (is_hook(key.step) && (status->reason != step::EndReason::kExited || status->exit_code != 0))
    status->message = hook_failure(*status, printed(dir_(key)));
  news_(StepEnded{key, std::move(*status)});
  return true;
}

void Shepherds::look_dead(AttemptKey key, Shepherd& s, std::int64_t mono_ms) {
  if (tell_end(key)) return;  // it was alive after all
  const std::string dir = dir_(key);
  std::string message = "bai-stepd was lost" + last_words(dir);
  bool began = true;
  auto launch = step::read_launch(dir);
  if (launch.ok()) {
    // Where none has begun, none shall.
    auto forbidden = step::forbid_start(dir);
    began = !(forbidden.ok() && *forbidden);
    if (auto started = step::read_started(dir); began && started.ok() && started->pid == 0) began = false;
    if (auto ended = step::kill_step_remains(dir, *launch, kBuryRoundMs); !ended.ok()) {
      if (mono_ms - s.since_ms < kBuryGiveUpMs) {
        looks_[key] = mono_ms + kBuryPauseMs;
        return;
      }
      message += "; " + ended.error().message;
    }
  } else {
    message += "; its launch file cannot be read: " + launch.error().message;
  }
  drop(key);
  looks_.erase(key);
  news_(StepLost{key, began, std::move(message)});
}

void Shepherds::request(AttemptKey key, step::Request request, std::int64_t mono_ms) {
  auto it = all_.find(key);
  if (it == all_.end() || it->second.dead) return answer(key, request, nullptr);
  if (std::holds_alternative<step::UseRequest>(request) &&
      it->second.waiting.size() + it->second.unanswered.size() >= kMaxUnheard)
    return answer(key, request, nullptr);
  it->second.waiting.push_back(std::move(request));
  deliver(key, it->second, mono_ms);
}

void Shepherds::deliver(AttemptKey key, Shepherd& s, std::int64_t mono_ms) {
  const auto soon = [&] {
    auto& at = looks_.emplace(key, mono_ms + 5).first->second;
    at = std::min(at, mono_ms + 5);
  };
  if (!s.client) {
    auto client = step::StepClient::connect(dir_(key));
    if (!client.ok()) return soon();  // not up yet; if it is gone its pidfd says so
    s.client.emplace(std::move(*client));
    if (!watch(s.client->fd(), tag(s, true))) {
      s.client.reset();
      return soon();
    }
  }
  while (!s.waiting.empty()) {
    auto sent = s.client->send(s.waiting.front());
    if (!sent.ok() && sent.error().code == "busy") return soon();
    if (!sent.ok() && sent.error().code == "too_long") {  // what is behind it must come through
      log::error("a request to a shepherd is too long", {{"job", key.job}});
      answer(key, s.waiting.front(), nullptr);
      s.waiting.pop_front();
      continue;
    }
    if (!sent.ok()) return hang_up(key, s, mono_ms);
    s.unanswered.push_back(std::move(s.waiting.front()));
    s.waiting.pop_front();
  }
}

// What it did not answer is said again on a new connection, unless saying it twice would do it twice.
void Shepherds::hang_up(AttemptKey key, Shepherd& s, std::int64_t mono_ms) {
  s.client.reset();
  while (!s.unanswered.empty()) {
    if (repeatable(s.unanswered.back())) s.waiting.push_front(std::move(s.unanswered.back()));
    s.unanswered.pop_back();
  }
  if (!s.waiting.empty()) looks_[key] = mono_ms + 10;
}

void Shepherds::read_client(AttemptKey key, Shepherd& s, std::int64_t mono_ms) {
  while (s.client) {
    auto reply = s.client->receive();
    if (!reply.ok()) return hang_up(key, s, mono_ms);
    if (!*reply) return;
    if (!s.unanswered.empty()) {
      answer(key, s.unanswered.front(), &**reply);
      const auto* suspend = std::get_if<step::SuspendRequest>(&s.unanswered.front());
      if (suspend && std::holds_alternative<step::StateReply>(**reply))
        news_(StepStands{key, suspend->generation});
      s.unanswered.pop_front();
    }
    if (auto* refused = std::get_if<step::RefusedReply>(&**reply))
      log::debug("a shepherd refused a request", {{"job", key.job}, {"why", refused->message}});
  }
}

}  // namespace bai::agent
