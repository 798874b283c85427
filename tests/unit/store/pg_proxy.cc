#include "pg_proxy.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <list>
#include <vector>

namespace bai::store {

namespace {

constexpr const char* kSocketName = "/.s.PGSQL.5432";

sockaddr_un address(const std::string& path) {
  sockaddr_un out{};
  out.sun_family = AF_UNIX;
  std::strncpy(out.sun_path, path.c_str(), sizeof out.sun_path - 1);
  return out;
}

Fd stream_socket() { return Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

}  // namespace

PgProxy::PgProxy(const std::string& server_socket_dir)
    : server_path_(server_socket_dir + kSocketName),
      listener_(stream_socket()),
      stop_(Wakeup::create().value()) {
  const auto at = address(dir_.path() + kSocketName);
  if (bind(listener_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 ||
      listen(listener_.get(), 8) != 0)
    abort();
  thread_ = std::thread([this] { serve(); });
}

PgProxy::~PgProxy() {
  stop_.notify();
  thread_.join();
}

void PgProxy::serve() {
  struct Pair {
    Fd client, server;
    bool committing = false;
    Cut cut = Cut::none;
  };
  std::list<Pair> pairs;
  const std::string commit("bai_commit\0", 11);
  for (;;) {
    std::vector<pollfd> polled = {{stop_.fd(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    for (const auto& pair : pairs) {
      polled.push_back({pair.client.get(), POLLIN, 0});
      polled.push_back({pair.server.get(), POLLIN, 0});
    }
    if (poll(polled.data(), polled.size(), -1) < 0) continue;
    if (polled[0].revents != 0) return;
    std::size_t at = 2;
    for (auto it = pairs.begin(); it != pairs.end(); at += 2) {
      Pair& pair = *it;
      bool over = false;
      char buffer[65536];
      if (polled[at].revents != 0) {
        const auto n = read(pair.client.get(), buffer, sizeof buffer);
        std::string_view bytes(buffer, n > 0 ? static_cast<std::size_t>(n) : 0);
        over = n <= 0;
        const auto found = bytes.find(commit);
        if (found != std::string_view::npos && cut_ != Cut::none) {
          pair.cut = cut_.exchange(Cut::none);
          pair.committing = true;
          if (pair.cut == Cut::before_commit)
            bytes = bytes.substr(0, found - 6);  // where the Bind message begins
        }
        over = !write_all(pair.server.get(), bytes).ok() || over;
        over = over || pair.cut == Cut::before_commit || pair.cut == Cut::at_commit;
      }
      if (!over && polled[at + 1].revents != 0) {
        const auto n = read(pair.server.get(), buffer, sizeof buffer);
        const std::string_view bytes(buffer, n > 0 ? static_cast<std::size_t>(n) : 0);
        over = n <= 0;
        if (pair.committing) {
          over = over || bytes.ends_with(std::string_view("Z\0\0\0\5I", 6));  // ready for the next
        } else {
          over = over || !write_all(pair.client.get(), bytes).ok();
        }
      }
      it = over ? pairs.erase(it) : std::next(it);
    }
    if (polled[1].revents != 0) {
      Pair pair{Fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)), stream_socket()};
      const auto to = address(server_path_);
      if (pair.client && connect(pair.server.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0)
        pairs.push_back(std::move(pair));
    }
  }
}

}  // namespace bai::store
