// Runs real shepherds on temporary directories.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <thread>

#include "base/env.h"
#include "step/client.h"
#include "step/launch.h"
#include "step/nursery.h"
#include "step/process.h"
#include "step/status.h"
#include "step/track.h"

namespace bai::step {

// No event of ours waits longer; a broken test ends all the same.
constexpr int kPatienceMs = 20'000;

inline std::string stepd_path() {
  if (const char* given = getenv("BAI_STEPD")) return given;
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "bin/bai-stepd";
}

inline std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

// Looks every few milliseconds: for what happens in processes that are not ours.
inline bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < kPatienceMs / 5; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

class ShepherdTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* base = getenv("TMPDIR");
    root_ = std::string(base ? base : "/tmp") + "/bai-step-XXXXXX";
    ASSERT_NE(mkdtemp(root_.data()), nullptr);
    chmod(root_.c_str(), 0711);
    dir_ = root_ + "/spool";
    work_ = root_ + "/work";
    ASSERT_EQ(mkdir(dir_.c_str(), 0711), 0);
    ASSERT_EQ(mkdir(work_.c_str(), 0777), 0);
    chmod(dir_.c_str(), 0711);
    chmod(work_.c_str(), 0777);

    launch_.cluster = "test";
    launch_.job_id = 7;
    launch_.attempt = 1;
    launch_.boot_id = boot_id();
    char mark[33];
    snprintf(mark, sizeof mark, "%016llx%016llx", static_cast<unsigned long long>(env_.random_u64()),
             static_cast<unsigned long long>(env_.random_u64()));
    launch_.mark = mark;
    launch_.uid = getuid();
    launch_.gid = getgid();
    launch_.as_root = getuid() == 0;
    launch_.argv = {"job.sh"};
    launch_.env = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/"};
    launch_.workdir = work_;
    launch_.stdout_path = launch_.stderr_path = work_ + "/out";
    launch_.kill_wait_s = 20;
  }

  void TearDown() override {
    if (shepherd_.pid > 0 && !reaped_) {
      kill(shepherd_.pid, SIGKILL);
      waitpid(shepherd_.pid, nullptr, 0);
    }
    auto gone = kill_step_remains(dir_, launch_);
    EXPECT_TRUE(gone.ok()) << gone.error().text();
    std::filesystem::remove_all(root_);
  }

  void script(const std::string& lines) { launch_.script = "#!/bin/bash\n" + lines; }

  void start() {
    auto written = write_launch(env_, dir_, launch_);
    ASSERT_TRUE(written.ok()) << written.error().text();
    auto spawned = nursery_->spawn(dir_, launch_.mark);
    ASSERT_TRUE(spawned.ok()) << spawned.error().text();
    shepherd_ = std::move(*spawned);
    reaped_ = false;
  }

  // Waits for the shepherd's end and reads the status.
  StepStatus end() {
    if (shepherd_.pid <= 0) return {};
    pollfd p{shepherd_.pidfd.get(), POLLIN, 0};
    EXPECT_EQ(poll(&p, 1, kPatienceMs), 1)
        << "the shepherd does not end; its log: " << slurp(dir_ + "/stepd.log");
    if (p.revents == 0) kill(shepherd_.pid, SIGKILL);
    waitpid(shepherd_.pid, &exit_, 0);
    reaped_ = true;
    auto status = read_status(dir_);
    EXPECT_TRUE(status.ok()) << status.error().text() << "; its log: " << slurp(dir_ + "/stepd.log");
    return status.ok() ? *status : StepStatus{};
  }

  StepStatus run() {
    start();
    return end();
  }

  StepClient connect() {
    std::optional<StepClient> client;
    EXPECT_TRUE(eventually([&] {
      auto c = StepClient::connect(dir_);
      if (c.ok()) client.emplace(std::move(*c));
      return c.ok();
    }));
    return std::move(client.value());
  }

  // Waits until the script has written the file.
  bool await_file(const std::string& name) {
    return eventually([&] { return access((work_ + "/" + name).c_str(), F_OK) == 0; });
  }

  std::string output() { return slurp(work_ + "/out"); }

  const Env env_ = Env::real();
  std::string root_, dir_, work_;
  StepLaunch launch_;
  std::optional<Nursery> nursery_{std::in_place, stepd_path(), 1000};
  SpawnedShepherd shepherd_;
  bool reaped_ = true;
  int exit_ = -1;
};

}  // namespace bai::step
