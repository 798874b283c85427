#include "step/status.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "step/process.h"

namespace bai::step {
namespace {

StepStatus full() {
  StepStatus s;
  s.reason = EndReason::kTimeout;
  s.exit_code = 5;
  s.signal = 15;
  s.core_dumped = true;
  s.message = "time limit of 60 s reached";
  s.start_us = 1'700'000'000'000'001;
  s.end_us = 1'700'000'060'000'002;
  s.use.user_us = 12'000'000;
  s.use.system_us = 345;
  s.use.max_rss_kib = 1 << 20;
  return s;
}

class StepStatusFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* base = getenv("TMPDIR");
    dir_ = std::string(base ? base : "/tmp") + "/bai-status-XXXXXX";
    ASSERT_NE(mkdtemp(dir_.data()), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string dir_;
  StepStarted me() {
    StepStarted s;
    s.boot_id = boot_id();
    s.pid = getpid();
    s.start_ticks = process_stat(getpid())->start_ticks;
    return s;
  }
};

TEST(StepStatus, ComesBackAsItWas) {
  for (const StepStatus& status : {full(), StepStatus{}}) {
    auto back = decode_status(encode_status(status));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(*back, status);
  }
}

TEST(StepStatus, KeepsItsBytes) {
  std::ifstream in("tests/data/step/status.v1", std::ios::binary);
  if (!in) GTEST_SKIP() << "run from the source tree";
  std::stringstream bytes;
  bytes << in.rdbuf();
  EXPECT_EQ(bytes.str(), encode_status(full()));
}

TEST(StepStatus, IsRefusedWhenAltered) {
  const std::string bytes = encode_status(full());
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string altered = bytes;
    altered[i] ^= 1;
    EXPECT_FALSE(decode_status(altered).ok()) << i;
    EXPECT_FALSE(decode_status(bytes.substr(0, i)).ok()) << i;
  }
}

TEST_F(StepStatusFiles, AreWrittenAndRead) {
  EXPECT_EQ(read_status(dir_).error().code, "not_found");
  ASSERT_TRUE(leave_status(dir_, full()).ok());
  ASSERT_TRUE(save_status(Env::real(), dir_ + "/end", StepStatus{}).ok());
  auto back = read_status(dir_);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, full());
  back = load_status(dir_ + "/end");
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, StepStatus{});
  EXPECT_EQ(Env::real().list_dir(dir_)->size(), 2u);  // nothing else is left
}

TEST_F(StepStatusFiles, AStatusTakesTheRoomThatWasReserved) {
  auto room = reserve_status(dir_);
  ASSERT_TRUE(room.ok()) << room.error().text();
  struct stat st {};
  ASSERT_EQ(fstat(room->get(), &st), 0);
  EXPECT_EQ(read_status(dir_).error().code, "not_found");
  StepStatus longest = full();
  longest.message.assign(10'000, 'm');
  EXPECT_LE(encode_status(longest).size(), static_cast<size_t>(st.st_size));
  ASSERT_TRUE(leave_status(dir_, full(), *room).ok());
  EXPECT_EQ(*read_status(dir_), full());
  EXPECT_EQ(Env::real().list_dir(dir_)->size(), 1u);
  // Somebody took the file away: it is left all the same.
  EXPECT_TRUE(leave_status(dir_, StepStatus{}, *room).ok());
  EXPECT_EQ(*read_status(dir_), StepStatus{});
}

TEST_F(StepStatusFiles, OnlyOneClaimsAStart) {
  EXPECT_EQ(read_started(dir_).error().code, "not_found");
  auto claim = claim_start(dir_, me());
  ASSERT_TRUE(claim.ok() && *claim);
  EXPECT_FALSE(*claim_start(dir_, me()));
  EXPECT_FALSE(*forbid_start(dir_));
  auto back = read_started(dir_);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, me());
  StepStarted later = me();
  later.script_pid = 77;
  ASSERT_TRUE(update_started(*claim, later).ok());
  EXPECT_EQ(*read_started(dir_), later);
}

TEST_F(StepStatusFiles, AForbiddenStartHasNoShepherd) {
  EXPECT_TRUE(*forbid_start(dir_));
  EXPECT_FALSE(*claim_start(dir_, me()));
  auto started = read_started(dir_);
  ASSERT_TRUE(started.ok());
  EXPECT_EQ(started->pid, 0);
  EXPECT_FALSE(shepherd_alive(*started));
}

TEST_F(StepStatusFiles, AShepherdIsKnownByBootPidAndStartTime) {
  EXPECT_TRUE(shepherd_alive(me()));
  StepStarted other = me();
  other.start_ticks += 1;
  EXPECT_FALSE(shepherd_alive(other));
  other = me();
  other.boot_id[0] ^= 1;
  EXPECT_FALSE(shepherd_alive(other));
}

}  // namespace
}  // namespace bai::step
