#include "agent/attempts_dir.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <filesystem>

namespace bai::agent {
namespace {

namespace fs = std::filesystem;

// In /dev/shm, where it is a memory file system from which programs run.
class AgentAttemptsDir : public ::testing::Test {
 protected:
  void SetUp() override {
    char disk[] = "/tmp/bai-attempts-XXXXXX", memory[] = "/dev/shm/bai-attempts-XXXXXX";
    ASSERT_NE(mkdtemp(disk), nullptr);
    disk_ = disk;
    struct statfs info {};
    constexpr long kNoExec = 8;  // statfs(2): ST_NOEXEC
    if (statfs("/dev/shm", &info) != 0 || info.f_type != 0x01021994 || (info.f_flags & kNoExec) != 0 ||
        mkdtemp(memory) == nullptr)
      GTEST_SKIP() << "/dev/shm is no tmpfs to run programs from";
    memory_ = memory;
    runtime_ = memory_ + "/a/n1";
  }
  void TearDown() override {
    fs::remove_all(disk_);
    if (!memory_.empty()) fs::remove_all(memory_);
  }
  AttemptsDir place(const std::string& runtime) {
    auto placed = place_attempts(env_, disk_ + "/attempts", runtime);
    EXPECT_TRUE(placed.ok()) << placed.error().text();
    struct stat st {};
    EXPECT_EQ(stat((disk_ + "/attempts").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0711u);
    return placed.ok() ? *placed : AttemptsDir{};
  }
  bool linked() const { return fs::is_symlink(disk_ + "/attempts"); }

  const Env env_ = Env::real();
  std::string disk_, memory_, runtime_;
};

TEST_F(AgentAttemptsDir, LiesInMemoryWhereItCan) {
  EXPECT_TRUE(place(runtime_).in_memory);
  EXPECT_EQ(fs::read_symlink(disk_ + "/attempts"), runtime_);
  EXPECT_TRUE(place(runtime_).in_memory);
  fs::remove_all(memory_ + "/a");  // a reboot
  EXPECT_TRUE(place(runtime_).in_memory);
}

TEST_F(AgentAttemptsDir, LiesOnDiskWhereItMust) {
  for (std::string runtime : {std::string(), disk_ + "/run", std::string("/proc/nowhere")}) {
    const auto placed = place(runtime);
    EXPECT_FALSE(placed.in_memory);
    EXPECT_EQ(placed.why_not.empty(), runtime.empty());
    EXPECT_FALSE(linked());
  }
  EXPECT_FALSE(fs::exists(disk_ + "/run"));
}

TEST_F(AgentAttemptsDir, MovesOnlyWhenItIsEmpty) {
  place("");
  fs::create_directory(disk_ + "/attempts/7.1");
  EXPECT_FALSE(place(runtime_).in_memory);
  EXPECT_FALSE(linked());
  fs::rename(disk_ + "/attempts/7.1", disk_ + "/attempts/gone-7.1");
  EXPECT_TRUE(place(runtime_).in_memory);
  fs::create_directory(disk_ + "/attempts/8.1");
  EXPECT_TRUE(place("").in_memory);
  EXPECT_TRUE(place(memory_ + "/b").in_memory);
  EXPECT_TRUE(fs::exists(disk_ + "/attempts/8.1"));
  fs::remove(disk_ + "/attempts/8.1");
  EXPECT_FALSE(place("").in_memory);
  EXPECT_FALSE(linked());
}

TEST_F(AgentAttemptsDir, TrustsNobodyElsesDirectory) {
  fs::create_directories(runtime_);
  chmod(runtime_.c_str(), 0777);
  EXPECT_FALSE(place(runtime_).in_memory);
  fs::remove(runtime_);
  fs::create_symlink(disk_, runtime_);
  EXPECT_FALSE(place(runtime_).in_memory);
  fs::remove(runtime_);
  chmod((memory_ + "/a").c_str(), 0777);
  EXPECT_FALSE(place(runtime_).in_memory);
  chmod((memory_ + "/a").c_str(), 01777);
  EXPECT_TRUE(place(runtime_).in_memory);
  place("");
  if (geteuid() != 0) return;
  EXPECT_TRUE(place(runtime_).in_memory);
  fs::create_directory(runtime_ + "/7.1");  // after a reboot, while we were away
  ASSERT_EQ(chown(runtime_.c_str(), 65534, 65534), 0);
  EXPECT_FALSE(place(runtime_).in_memory);
  EXPECT_FALSE(linked());
}

}  // namespace
}  // namespace bai::agent
