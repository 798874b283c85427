#include "agent/health.h"

#include <poll.h>
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

std::int64_t clock_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

}  // namespace

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
    pollfd events[] = {
        {running_->ended_fd(), POLLIN, 0}, {stop, POLLIN, 0}, {running_->output_fd(), POLLIN, 0}};
    const auto left = std::clamp<std::int64_t>(until_ms_ - clock_ms(), 0, 1000);
    if (poll(events, 3, static_cast<int>(left)) < 0 && errno != EINTR) break;
    told = events[1].revents != 0;
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
  killed_ = false;
  std::vector<std::string> env = {"SLURMD_NODENAME=" + node_, "BAI_NODE_NAME=" + node_, "BAI_CONF=" + conf_};
  const auto same_name = [](std::string_view a, std::string_view b) {
    return a.substr(0, a.find('=')) == b.substr(0, b.find('='));
  };
  for (char** p = environ; *p; ++p)
    if (std::none_of(env.begin(), env.begin() + 3, [&](const auto& own) { return same_name(own, *p); }))
      env.emplace_back(*p);
  auto program = Program::start(program_, env);
  if (!program.ok())
    return log::error("HealthCheckProgram cannot be run",
                      {{"path", program_}, {"why", program.error().text()}});
  running_ = std::move(*program);
  until_ms_ = mono_ms + most_ms_;
}

bool HealthCheck::look(std::int64_t mono_ms) {
  if (!running_) return false;
  const auto status = running_->wait_status();
  if (!status) {
    if (mono_ms >= until_ms_ && !killed_) {
      killed_ = true;
      running_->kill();
    }
    return true;
  }
  const std::string output = running_->said();
  running_.reset();
  if (!killed_ && *status == 0) return false;
  const std::string line = escape_control(trim(std::string_view(output).substr(output.rfind('\n') + 1)));
  if (killed_)
    log::error("HealthCheckProgram took too long and was killed",
               {{"path", program_}, {"limit_s", most_ms_ / 1000}, {"output", output}});
  else
    log::error("HealthCheckProgram failed",
               {{"path", program_}, {"why", ending_text(*status)}, {"output", output}});
  failure_ = !line.empty() ? line
             : killed_     ? "the health check took longer than " + std::to_string(most_ms_ / 1000) + " s"
                           : "the health check failed: " + ending_text(*status);
  return false;
}

}  // namespace bai::agent
