// A controller for tests of commands: a real listener, answers that the test makes up, and what it was asked.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../wire/daemon.h"
#include "cli/session.h"
#include "wire/messages.h"

namespace bai::cli::test {

class Controller {
 public:
  using Conn = wire::ConnId;

  Controller(const std::string& munge_socket, const std::string& more_config = {}) {
    std::string dir = std::string(getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp") + "/bai-cli-XXXXXX";
    if (!mkdtemp(dir.data())) std::abort();
    dir_ = dir;
    daemon_ = std::make_unique<wire::test::Daemon>(munge_socket,
                                                   [](wire::ListenerOptions& o) { o.self.name.clear(); });
    daemon_->answer = [this](Conn conn, const std::string& bytes) {
      auto request = wire::decode_request(bytes);
      ASSERT_TRUE(request) << request.error().text();
      {
        const std::lock_guard lock(mutex_);
        asked_.push_back(*request);
      }
      answer(conn, *request);
    };
    std::ofstream(conf()) << "ClusterName=test\nCtldHost=127.0.0.1\nCtldPort=" << daemon_->listener->port()
                          << "\nBaiUser=" << geteuid() << "\nMungeSocket=" << munge_socket << "\n"
                          << more_config;
  }
  ~Controller() {
    daemon_.reset();
    std::filesystem::remove_all(dir_);
  }

  std::string conf() const { return dir_ + "/bai.conf"; }
  std::string path(const std::string& name) const { return dir_ + "/" + name; }
  void reply(Conn conn, const wire::Request& request, wire::ReplyBody body) const {
    daemon_->listener->send(conn, wire::encode_reply({request.id, std::move(body)}));
  }
  void hang_up(Conn conn) const { daemon_->listener->close(conn); }
  std::vector<wire::Request> asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

  // Called on one of two workers, in order for each connection. Set it before anybody connects.
  std::function<void(Conn, const wire::Request&)> answer = [this](Conn conn, const wire::Request& request) {
    reply(conn, request, wire::PongReply{});
  };

 private:
  std::string dir_;
  mutable std::mutex mutex_;
  std::vector<wire::Request> asked_;
  std::unique_ptr<wire::test::Daemon> daemon_;
};

}  // namespace bai::cli::test
