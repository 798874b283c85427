// A listener for tests that echoes what it is sent, and what it saw, behind a lock that can be waited on.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/fd.h"
#include "munged.h"
#include "wire/client.h"
#include "wire/listener.h"

namespace bai::wire::test {

inline Fd dial(std::uint16_t port) {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) fd.reset();
  return fd;
}

class Daemon {
 public:
  explicit Daemon(const std::string& munge_socket, std::function<void(ListenerOptions&)> change = {}) {
    ListenerOptions o;
    o.self = {.munge_socket = munge_socket, .name = "c"};
    if (change) change(o);
    auto l = Listener::start(
        o, {.on_message =
                [this](ConnId id, const Caller& caller, std::string text) {
                  note([&] {
                    messages.push_back(text);
                    callers.push_back(caller);
                    conns.push_back(id);
                  });
                  if (answer) answer(id, text);
                  return true;
                },
            .on_opened = [this](ConnId id, const Caller&) { note([&] { opened.push_back(id); }); },
            .on_closed = [this](ConnId id) { note([&] { closed.push_back(id); }); }});
    EXPECT_TRUE(l) << l.error().text();
    if (l) listener = std::move(*l);
  }
  ~Daemon() {
    if (listener) listener->stop();  // callbacks use `listener`
  }

  std::string endpoint() const { return "127.0.0.1:" + std::to_string(listener->port()); }

  // Waits until `done` holds; it is asked under the lock, whenever something happened and now and then.
  bool wait(const std::function<bool()>& done) {
    std::unique_lock lock(mutex);
    for (int i = 0; i < 2000; ++i) {
      if (done()) return true;
      happened.wait_for(lock, std::chrono::milliseconds(10));
    }
    return false;
  }

  // Called on a worker, in order per connection.
  std::function<void(ConnId, const std::string&)> answer = [this](ConnId id, const std::string& text) {
    listener->send(id, "re:" + text);
  };

  std::mutex mutex;
  std::condition_variable happened;
  std::vector<std::string> messages;
  std::vector<Caller> callers;
  std::vector<ConnId> conns, opened, closed;
  std::unique_ptr<Listener> listener;

 private:
  template <class F>
  void note(F&& f) {
    const std::lock_guard lock(mutex);
    f();
    happened.notify_all();
  }
};

inline ClientOptions client_options(const std::string& endpoint, const std::string& munge_socket) {
  ClientOptions o;
  o.endpoints = {endpoint};
  o.hello = {.munge_socket = munge_socket, .daemon_uid = geteuid(), .daemon_name = "c"};
  return o;
}
inline Client::Clock::time_point in(int seconds) {
  return Client::Clock::now() + std::chrono::seconds(seconds);
}

}  // namespace bai::wire::test
