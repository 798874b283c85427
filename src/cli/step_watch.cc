#include "cli/step_watch.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>

namespace bai::cli {
namespace {

constexpr int kStreamsGraceMs = 1'000;  // for streams that are still on their way when the step has ended
constexpr int kMostGraces = 20;         // so many, while they are connected
constexpr int kRejoinMs = 3'000;

}  // namespace

StepWatch::StepWatch(Session& session, StepClient& client, const Reporter& reporter, RequestId step,
                     std::function<Status()> rejoin)
    : session_(session), client_(client), reporter_(reporter), step_(step), rejoin_(std::move(rejoin)) {}

Status StepWatch::start() {
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  timer_.reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!epoll_ || !timer_) return errno_error("cannot wait for", "the controller", errno);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = timer_.get();
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, timer_.get(), &event);
  watched_ = session_.fd();
  event.data.fd = watched_;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, watched_, &event);
  client_.watch(epoll_.get(), POLLIN, [this](short) { on_events(); });
  on_events();  // what came with earlier replies
  return {};
}

void StepWatch::arm(int ms) {
  itimerspec at{};
  at.it_value.tv_sec = ms / 1000;
  at.it_value.tv_nsec = ms % 1000 * 1'000'000;
  timerfd_settime(timer_.get(), 0, &at, nullptr);
}

void StepWatch::lost() {
  if (watched_ >= 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, watched_, nullptr);
  watched_ = -1;
  joined_ = false;
  if (!end_) arm(kRejoinMs);
}

void StepWatch::on_events() {
  std::uint64_t times = 0;
  if (read(timer_.get(), &times, sizeof times) == sizeof times) {
    if (end_) {
      if (client_.hears() && ++graces_ < kMostGraces) return arm(kStreamsGraceMs);
      // Streams that never came, as from an emulated node: then the controller's word is all there is.
      const bool well = end_->state == JobState::kCompleted && end_->ended.is_set();
      return client_.step_lost("", well ? 0 : 1 << 8);
    }
    if (!joined_) {
      session_.be_quick(1);
      const Status again = rejoin_();
      session_.be_quick(0);
      if (again.ok()) {
        joined_ = true;
        watched_ = session_.fd();
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = watched_;
        epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, watched_, &event);
      } else if (again.error().code == "unreachable" || again.error().code == "outcome_unknown" ||
                 again.error().code == "busy" || again.error().code == "store_unavailable") {
        arm(kRejoinMs);  // running tasks do not need the controller
      } else {
        end_.emplace();
        arm(kStreamsGraceMs);
      }
    }
  }
  while (joined_) {
    auto reply = session_.poll_reply();
    if (!reply.ok()) return lost();
    if (!*reply) return;
    on_reply(**reply);
  }
}

void StepWatch::on_reply(const wire::Reply& reply) {
  if (reply.id == step_) {
    if (auto* news = std::get_if<wire::StepEndReply>(&reply.body)) {
      end_ = news->step;
      for (const auto& [node, message] : news->messages)
        if (message != client_.end_reason()) reporter_.error_line(node.str() + ": " + message);
      arm(kStreamsGraceMs);
    } else if (auto* refusal = std::get_if<wire::ErrorBody>(&reply.body)) {
      if (refusal->error.code != "already_finished") reporter_.error_line(refusal->error.message);
      end_.emplace();
      arm(kStreamsGraceMs);
    }
  } else if (auto* job = std::get_if<wire::AllocationReply>(&reply.body)) {
    if (is_finished(job->job->state) && !end_) {
      reporter_.error_line("Job " + std::to_string(job->job->id) +
                           " has ended: " + std::string(name(job->job->state)) +
                           (job->job->detail.empty() ? "" : ", " + job->job->detail.str()));
      end_.emplace();
      arm(kStreamsGraceMs);
    }
  }
}

}  // namespace bai::cli
