// A client of a step's streams for tests: it does nothing by itself, so that tests decide when it reads, dies or lies.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/env.h"
#include "step/handshake.h"
#include "step/status.h"
#include "step/stream_frames.h"
#include "step/stream_link.h"
#include "step/stream_socket.h"

namespace bai::step {

class StreamClient {
 public:
  StreamClient() {
    auto listener = listen_any(true);
    EXPECT_TRUE(listener.ok());
    listener_ = std::move(listener->fd);
    endpoint = endpoint_text("127.0.0.1", listener->port);
  }

  // Serves until the condition holds; false when it does not in time.
  bool until(const std::function<bool()>& condition, int patience_ms = 20'000) {
    const Env env = Env::real();
    const int64_t end = env.monotonic_ms() + patience_ms;
    while (!condition()) {
      const int64_t left = end - env.monotonic_ms();
      if (left <= 0) return false;
      turn(static_cast<int>(std::min<int64_t>(left, 50)));
    }
    return true;
  }
  bool until_end() {
    return until([&] { return end.has_value(); });
  }

  void turn(int timeout_ms) {
    std::vector<pollfd> fds = {{listener_.get(), POLLIN, 0}};
    if (shaking_) fds.push_back({shaking_->fd(), shaking_->events(), 0});
    if (link.connected()) fds.push_back({link.fd(), link.events(reading), 0});
    if (poll(fds.data(), fds.size(), timeout_ms) <= 0) return;
    size_t at = 1;
    if (shaking_ && fds[at++].revents != 0) {
      auto session = shaking_->go_on();
      if (!session.ok()) {
        refused.push_back(session.error().code);
        shaking_.reset();
      } else if (*session) {
        hello = (*session)->hello;
        ++connections;
        EXPECT_TRUE(link.connect(std::move(**session)));
        shaking_.reset();
      }
    } else if (link.connected() && at < fds.size() && fds[at].revents != 0) {
      (void)link.serve(fds[at].revents, [&](const Frame& frame) { on_frame(frame); });
    }
    if (link.connected()) (void)link.flush();
    if (fds[0].revents != 0) {
      Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (fd)
        shaking_.emplace(
            Handshake::answer(std::move(fd), key, [&](const Hello&) { return link.received(); }));
    }
  }
  // Nobody listens any more, and the connection is closed.
  void die() {
    listener_.reset();
    shaking_.reset();
    link.disconnect();
  }
  void send(FrameType type, uint8_t detail, uint32_t task, std::string_view payload) {
    link.put(type, detail, task, payload);
  }

  std::string out(uint32_t task) { return text[{task, kStdout}]; }
  std::string err(uint32_t task) { return text[{task, kStderr}]; }

  std::string endpoint;
  std::string key = std::string(kStreamKeyBytes, 'k');
  StreamLink link;
  bool reading = true;
  bool keeping = true;  // what comes; else it is counted only
  int connections = 0;
  std::optional<Hello> hello;
  std::vector<std::string> refused;
  std::map<std::pair<uint32_t, uint8_t>, std::string> text;
  std::set<std::pair<uint32_t, uint8_t>> ended_streams;
  uint64_t bytes = 0;
  uint32_t credit = 0;
  std::map<uint32_t, int> exits;
  std::vector<std::string> notes;
  std::optional<StartedTasks> started;
  std::optional<StepStatus> end;
  std::vector<std::pair<int, std::string>> end_all;  // exit code, why

 private:
  void on_frame(const Frame& frame) {
    switch (frame.type) {
      case FrameType::kOutput:
        bytes += frame.payload.size();
        if (keeping) text[{frame.task, frame.detail}] += frame.payload;
        if (frame.payload.empty()) ended_streams.insert({frame.task, frame.detail});
        break;
      case FrameType::kStarted:
        if (auto s = decode_started_tasks(frame.payload); s.ok()) started = *s;
        break;
      case FrameType::kTaskExit:
        exits[frame.task] = static_cast<int>(u32_at(frame.payload, 0));
        break;
      case FrameType::kStepEnd:
        if (auto s = decode_status(frame.payload); s.ok()) end = *s;
        break;
      case FrameType::kCredit:
        credit += u32_at(frame.payload, 0);
        break;
      case FrameType::kNote:
        notes.emplace_back(frame.payload);
        break;
      case FrameType::kEndAll:
        end_all.emplace_back(frame.detail, std::string(frame.payload));
        break;
      default:
        break;
    }
  }
  Fd listener_;
  std::optional<Handshake> shaking_;
};

}  // namespace bai::step
