// A munged of the test's own: its key, socket and log in a temporary folder; ended and removed with the object.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "wire/munge.h"

extern char** environ;

namespace bai::wire::test {

class Munged {
 public:
  // Nothing if munged is not installed or does not start; why() says so.
  static std::unique_ptr<Munged> start(std::string& why) {
    const std::string program = "/usr/sbin/munged";
    if (access(program.c_str(), X_OK) != 0) {
      why = "munged is not installed";
      return nullptr;
    }
    auto m = std::unique_ptr<Munged>(new Munged);
    const char* tmp = getenv("TMPDIR");
    std::string dir = std::string(tmp != nullptr ? tmp : "/tmp") + "/bai-munged-XXXXXX";
    if (mkdtemp(dir.data()) == nullptr) {
      why = "no temporary folder";
      return nullptr;
    }
    m->dir_ = dir;
    chmod(dir.c_str(), 0711);
    {
      std::ofstream key(m->dir_ + "/key", std::ios::binary);
      std::ifstream random("/dev/urandom", std::ios::binary);
      char bytes[128];
      random.read(bytes, sizeof bytes);
      key.write(bytes, sizeof bytes);
    }
    chmod((dir + "/key").c_str(), 0600);
    m->run(program);
    for (int i = 0; i < 500 && m->pid_ > 0; ++i) {
      if (access(m->socket().c_str(), F_OK) == 0 && munge_encode("x", {.socket = m->socket()})) return m;
      if (waitpid(m->pid_, nullptr, WNOHANG) != 0) m->pid_ = -1;
      poll(nullptr, 0, 10);
    }
    why = "munged did not start";
    return nullptr;
  }

  ~Munged() {
    stop();
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }
  Munged(const Munged&) = delete;
  Munged& operator=(const Munged&) = delete;

  std::string socket() const { return dir_ + "/s"; }
  void stop() {
    if (pid_ <= 0) return;
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  void start_again() {
    run("/usr/sbin/munged");
    await();
  }

 private:
  Munged() = default;

  void await() const {
    for (int i = 0; i < 500 && !munge_encode("x", {.socket = socket()}); ++i) poll(nullptr, 0, 10);
  }
  void run(const std::string& program) {
    std::vector<std::string> args = {program,
                                     "--foreground",
                                     "--force",
                                     "--num-threads=2",
                                     "--key-file=" + dir_ + "/key",
                                     "--socket=" + socket(),
                                     "--pid-file=" + dir_ + "/pid",
                                     "--log-file=" + dir_ + "/log",
                                     "--seed-file=" + dir_ + "/seed"};
    std::vector<char*> argv;
    for (auto& a : args) argv.push_back(a.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (int fd = 0; fd < 3; ++fd) posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    if (posix_spawn(&pid_, program.c_str(), &actions, nullptr, argv.data(), environ) != 0) pid_ = -1;
    posix_spawn_file_actions_destroy(&actions);
  }

  std::string dir_;
  pid_t pid_ = -1;
};

// A fixture with one munged for the whole suite.
class WithMunged : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { munged_ = Munged::start(why_); }
  static void TearDownTestSuite() { munged_.reset(); }
  void SetUp() override {
    if (!munged_) GTEST_SKIP() << why_;
  }
  static std::string munge_socket() { return munged_->socket(); }

  static inline std::unique_ptr<Munged> munged_;
  static inline std::string why_;
};

}  // namespace bai::wire::test
