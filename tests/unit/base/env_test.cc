#include "base/env.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault_disk.h"

namespace bai {
namespace {

class EnvTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* base = getenv("TMPDIR");
    dir_ = std::string(base ? base : "/tmp") + "/bai-env-XXXXXX";
    ASSERT_NE(::mkdtemp(dir_.data()), nullptr);
  }
  void TearDown() override { EXPECT_TRUE(Env::real().remove_tree(dir_)); }

  std::string path(const std::string& name) const { return dir_ + "/" + name; }
  // The content, or "(none)".
  std::string content(const std::string& name) const {
    auto got = Env::real().read_file(path(name), 1 << 20);
    return got ? *got : "(none)";
  }
  std::vector<std::string> names() const { return Env::real().list_dir(dir_).value(); }
  static unsigned mode_of(const std::string& p) {
    struct stat st {};
    return ::stat(p.c_str(), &st) == 0 ? st.st_mode & 07777 : 0;
  }

  std::string dir_;
};

TEST_F(EnvTest, parent_dir_of_all_forms) {
  EXPECT_EQ(parent_dir("a/b"), "a");
  EXPECT_EQ(parent_dir("b"), ".");
  EXPECT_EQ(parent_dir("/b"), "/");
  EXPECT_EQ(parent_dir("/a/b//"), "/a");
  EXPECT_EQ(parent_dir("/a//b"), "/a");
  EXPECT_EQ(parent_dir("/"), "/");
  EXPECT_EQ(parent_dir(""), ".");
}

TEST_F(EnvTest, clocks_and_random_bytes_move) {
  const Env env = Env::real();
  EXPECT_GT(env.now().us, Time::from_seconds(1'600'000'000).us);
  const auto first = env.monotonic_ms();
  EXPECT_GE(env.monotonic_ms(), first);
  EXPECT_NE(env.random_u64(), env.random_u64());
}

TEST_F(EnvTest, atomic_write_replaces_and_sets_the_exact_mode) {
  const Env env = Env::real();
  ASSERT_TRUE(env.write_file_atomic(path("f"), "one", 0666));
  EXPECT_EQ(mode_of(path("f")), 0666u);
  ASSERT_TRUE(env.write_file_atomic(path("f"), "two", 0640));
  EXPECT_EQ(mode_of(path("f")), 0640u);
  EXPECT_EQ(content("f"), "two");
  EXPECT_EQ(names(), std::vector<std::string>{"f"});
}

TEST_F(EnvTest, atomic_write_is_old_or_new_at_every_failing_step) {
  FaultDisk counter;
  ASSERT_TRUE(counter.env().write_file_atomic(path("f"), "old"));
  const auto steps = counter.steps();
  EXPECT_EQ(steps, 5u);  // create, write, sync, rename, sync_dir
  for (std::uint64_t n = 1; n <= steps; ++n) {
    FaultDisk disk;
    disk.fail(n, EIO);
    const auto status = disk.env().write_file_atomic(path("f"), "new");
    ASSERT_FALSE(status) << n;
    EXPECT_EQ(status.error().code, "io_error");
    EXPECT_EQ(content("f"), n < steps ? "old" : "new") << n;
    EXPECT_EQ(names().size(), 1u) << n;
    disk.crash();
    EXPECT_EQ(content("f"), "old") << n;
  }
}

TEST_F(EnvTest, a_full_disk_has_its_own_code) {
  FaultDisk disk;
  disk.fail(1, ENOSPC, FileOp::write);
  const auto status = disk.env().write_file_atomic(path("f"), "x");
  EXPECT_EQ(status.error().code, "no_space");
  EXPECT_EQ(status.error().place, path("f"));
}

TEST_F(EnvTest, what_was_synced_survives_the_power) {
  FaultDisk disk;
  const Env env = disk.env();
  ASSERT_TRUE(env.make_dirs(path("a/b"), 0700));
  ASSERT_TRUE(env.write_file_atomic(path("a/b/f"), "one"));
  ASSERT_TRUE(env.write_file_atomic(path("a/b/f"), "two"));
  ASSERT_TRUE(env.append_durable(path("log"), "1"));
  ASSERT_TRUE(env.append_durable(path("log"), "2"));
  ASSERT_TRUE(env.write_file_atomic(path("gone"), "x"));
  ASSERT_TRUE(env.remove_durable(path("gone")));
  disk.crash();
  EXPECT_EQ(content("a/b/f"), "two");
  EXPECT_EQ(content("log"), "12");
  EXPECT_EQ(content("gone"), "(none)");
}

TEST_F(EnvTest, what_was_not_synced_is_lost) {
  FaultDisk disk;
  const Env env = disk.env();
  ASSERT_TRUE(env.write_file_atomic(path("f"), "one"));
  ASSERT_TRUE(env.append_durable(path("log"), "1"));
  ASSERT_TRUE(env.write_file_atomic(path("stays"), "x"));
  disk.lose_syncs();
  ASSERT_TRUE(env.write_file_atomic(path("f"), "two"));
  ASSERT_TRUE(env.write_file_atomic(path("f"), "three"));
  ASSERT_TRUE(env.append_durable(path("log"), "2"));
  ASSERT_TRUE(env.append_durable(path("new"), "n"));
  ASSERT_TRUE(env.remove_durable(path("stays")));
  ASSERT_TRUE(env.make_dirs(path("d/e")));
  EXPECT_EQ(content("f"), "three");
  EXPECT_EQ(content("log"), "12");
  disk.crash();
  EXPECT_EQ(content("f"), "one");
  EXPECT_EQ(content("log"), "1");
  EXPECT_EQ(content("new"), "(none)");
  EXPECT_EQ(content("stays"), "x");
  EXPECT_EQ(names(), (std::vector<std::string>{"f", "log", "stays"}));
}

TEST_F(EnvTest, a_renamed_file_needs_its_own_sync_too) {
  FaultDisk disk;
  const Env env = disk.env();
  disk.lose_syncs();
  ASSERT_TRUE(env.write_file_atomic(path("f"), "bytes"));
  disk.lose_syncs(false);
  ASSERT_TRUE(env.sync_dir(dir_));
  disk.crash();
  EXPECT_EQ(content("f"), "");  // the name is there, the bytes are not
}

TEST_F(EnvTest, append_cuts_a_failed_write_off) {
  FaultDisk disk;
  const Env env = disk.env();
  ASSERT_TRUE(env.append_durable(path("log"), "good", 0600));
  disk.fail(1, ENOSPC, FileOp::write);
  EXPECT_FALSE(env.append_durable(path("log"), "bad"));
  EXPECT_EQ(content("log"), "good");
  ASSERT_TRUE(env.append_durable(path("log"), "!"));
  EXPECT_EQ(content("log"), "good!");
  EXPECT_EQ(mode_of(path("log")), 0600u);
}

TEST_F(EnvTest, append_and_atomic_write_do_not_follow_a_planted_link) {
  const Env env = Env::real();
  ASSERT_TRUE(env.write_file_atomic(path("target"), "kept"));
  ASSERT_EQ(::symlink(path("target").c_str(), path("link").c_str()), 0);
  EXPECT_FALSE(env.append_durable(path("link"), "x"));
  ASSERT_TRUE(env.write_file_atomic(path("link"), "own"));
  EXPECT_EQ(content("target"), "kept");
  EXPECT_EQ(content("link"), "own");
}

TEST_F(EnvTest, make_dirs_sets_modes_and_refuses_files) {
  const Env env = Env::real();
  ASSERT_TRUE(env.make_dirs(path("a/b/c/"), 0750));
  EXPECT_EQ(mode_of(path("a")), 0750u);
  EXPECT_EQ(mode_of(path("a/b/c")), 0750u);
  EXPECT_TRUE(env.make_dirs(path("a/b/c"), 0700));
  EXPECT_EQ(mode_of(path("a/b/c")), 0750u);
  ASSERT_TRUE(env.write_file_atomic(path("file"), ""));
  EXPECT_FALSE(env.make_dirs(path("file")));
  EXPECT_FALSE(env.make_dirs(path("file/sub")));
}

TEST_F(EnvTest, remove_tree_follows_no_link) {
  const Env env = Env::real();
  ASSERT_TRUE(env.make_dirs(path("tree/sub")));
  ASSERT_TRUE(env.make_dirs(path("outside")));
  ASSERT_TRUE(env.write_file_atomic(path("outside/f"), "kept"));
  ASSERT_TRUE(env.write_file_atomic(path("tree/sub/f"), "x"));
  ASSERT_EQ(::symlink(path("outside").c_str(), path("tree/link").c_str()), 0);
  ASSERT_TRUE(env.remove_tree(path("tree")));
  EXPECT_EQ(content("outside/f"), "kept");
  EXPECT_EQ(names(), std::vector<std::string>{"outside"});
  EXPECT_TRUE(env.remove_tree(path("tree")));
}

TEST_F(EnvTest, list_dir_sorts_and_is_bounded) {
  const Env env = Env::real();
  for (const char* n : {"b", "a", "c"}) ASSERT_TRUE(env.write_file_atomic(path(n), ""));
  EXPECT_EQ(env.list_dir(dir_).value(), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(env.list_dir(dir_, 2).error().code, "too_large");
  EXPECT_EQ(env.list_dir(path("none")).error().code, "not_found");
  EXPECT_EQ(env.read_file(path("a"), 0).value(), "");
}

TEST_F(EnvTest, temporary_names_are_known) {
  EXPECT_TRUE(is_temporary_name(std::string(kTemporaryPrefix) + "0123"));
  EXPECT_FALSE(is_temporary_name("job-7"));
}

}  // namespace
}  // namespace bai
