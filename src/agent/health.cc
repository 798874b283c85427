#include "agent/health.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <vector>

#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"

namespace bai::agent {
namespace {

constexpr std::size_t kMostOutput = 1024;

std::int64_t clock_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

std::string ending(int status) {
  if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status));
  return "exit status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

HealthCheck::~HealthCheck() {
  if (pid_ == 0) return;
  kill(-pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void HealthCheck::configure(const ClusterConfig& own, const std::string& node, const std::string& conf) {
  program_ = own.health_check_program;
  interval_ = own.health_check_interval;
  states_ = own.health_check_states;
  node_ = node;
  conf_ = conf;
  last_ = -1;
}

std::int64_t HealthCheck::moment(Time now) const {
  std::uint64_t offset = 0;
  if (states_.cycle) std::memcpy(&offset, hash256(node_).bytes.data(), sizeof offset);
  return (now.seconds() - static_cast<std::int64_t>(offset % static_cast<std::uint64_t>(interval_))) /
         interval_;
}

void HealthCheck::run_and_wait(int stop) {
  if (program_.empty() || running()) return;
  begin(clock_ms());
  bool told = false;  // to stop: what it still does is ended by our end
  while (!told && look(clock_ms())) {
    pollfd events[] = {{ended_.get(), POLLIN, 0}, {stop, POLLIN, 0}, {output_.get(), POLLIN, 0}};
    const auto left = std::clamp<std::int64_t>(until_ms_ - clock_ms(), 0, 1000);
    if (poll(events, 3, static_cast<int>(left)) < 0 && errno != EINTR) break;
    told = events[1].revents != 0;
    if (events[2].revents & POLLHUP) output_.reset();  // or it would be ready for ever
  }
}

void HealthCheck::on_time(Time now, std::int64_t mono_ms, bool has_jobs, bool connected) {
  if (running() && look(mono_ms)) return;
  if (program_.empty() || interval_ <= 0) return;
  const auto due = moment(now);
  if (last_ < 0 || due < last_) last_ = due;  // the first comes with the next moment; a clock may be set back
  if (due == last_ || !connected) return;
  last_ = due;
  if (has_jobs ? states_.busy : states_.idle) begin(mono_ms);
}

void HealthCheck::begin(std::int64_t mono_ms) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return log::error("no pipe for the health check");
  output_.reset(ends[0]);
  Fd into(ends[1]);
  fcntl(into.get(), F_SETFL, 0);
  said_.clear();
  killed_ = false;

  std::vector<std::string> words = {"SLURMD_NODENAME=" + node_, "BAI_NODE_NAME=" + node_,
                                    "BAI_CONF=" + conf_};
  std::vector<char*> env;
  for (char** p = environ; *p; ++p)
    if (std::none_of(words.begin(), words.end(), [&](const std::string& word) {
          return std::string_view(*p).starts_with(std::string_view(word).substr(0, word.find('=') + 1));
        }))
      env.push_back(*p);
  for (auto& word : words) env.push_back(word.data());
  env.push_back(nullptr);
  char* argv[] = {program_.data(), nullptr};

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, into.get(), 1);
  posix_spawn_file_actions_adddup2(&files, into.get(), 2);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const int failed = posix_spawn(&pid_, program_.c_str(), &files, &attributes, argv, env.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (failed != 0) {
    pid_ = 0;
    output_.reset();
    return log::error("HealthCheckProgram cannot be run", {{"path", program_}, {"why", strerror(failed)}});
  }
  until_ms_ = mono_ms + most_ms_;
  ended_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
}

// Drained so that a program which says much does not wait for a reader; the beginning is kept.
void HealthCheck::read_output() {
  char buffer[4096];
  for (int i = 0; output_ && i < 64; ++i) {
    const auto n = read(output_.get(), buffer, sizeof buffer);
    if (n <= 0) return;
    said_.append(buffer,
                 std::min(static_cast<std::size_t>(n), kMostOutput - std::min(kMostOutput, said_.size())));
  }
}

bool HealthCheck::look(std::int64_t mono_ms) {
  if (pid_ == 0) return false;
  read_output();
  int status = 0;
  const pid_t done = waitpid(pid_, &status, WNOHANG);
  if (done == 0) {
    if (mono_ms >= until_ms_ && !killed_) {
      killed_ = true;
      kill(-pid_, SIGKILL);
    }
    return true;
  }
  read_output();
  const std::string output(trim(said_));
  if (killed_)
    log::error("HealthCheckProgram took too long and was killed",
               {{"path", program_}, {"limit_s", most_ms_ / 1000}, {"output", output}});
  else if (done < 0 || status != 0)
    log::error(
        "HealthCheckProgram failed",
        {{"path", program_}, {"why", done < 0 ? strerror(errno) : ending(status)}, {"output", output}});
  pid_ = 0;
  output_.reset();
  ended_.reset();
  return false;
}

}  // namespace bai::agent
