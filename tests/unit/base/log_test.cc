#include "base/log.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "base/env.h"
#include "base/fd.h"

namespace bai {
namespace {

// The log is the process's own, so every test points it at a file and back at stderr.
class LogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* base = getenv("TMPDIR");
    dir_ = std::string(base ? base : "/tmp") + "/bai-log-XXXXXX";
    ASSERT_NE(::mkdtemp(dir_.data()), nullptr);
    file_ = dir_ + "/log";
  }
  void TearDown() override {
    EXPECT_TRUE(log::init({}));
    EXPECT_TRUE(Env::real().remove_tree(dir_));
  }
  void open(log::Format format, log::Level level = log::Level::info) {
    ASSERT_TRUE(log::init({format, level, file_, "bai-test"}));
  }
  std::string text() const { return read_all(file_, 1 << 20).value(); }
  // The text without its date and time, which are 24 bytes with the blank.
  std::string line() const {
    std::string t = text();
    EXPECT_GT(t.size(), 25u);
    EXPECT_EQ(t[10], 'T');
    return t.size() > 25 ? t.substr(24, t.size() - 25) : t;
  }

  std::string dir_, file_;
};

TEST_F(LogTest, text_lines) {
  open(log::Format::text);
  log::info("job started",
            {{"job", "7"}, {"node", std::string("n1")}, {"cpus", 4}, {"held", false}, {"load", 0.5}});
  EXPECT_EQ(line(), "bai-test info: job started job=7 node=n1 cpus=4 held=false load=0.5");
}

TEST_F(LogTest, no_input_can_forge_a_line) {
  open(log::Format::text);
  log::warning("odd\nname {} %s", {{"name", "a b=\"c\"\\\n2026-01-01 x\x1b[2J\xff\xc2\x85"}, {"empty", ""}});
  EXPECT_EQ(line(),
            "bai-test warning: odd\\nname {} %s name=\"a b=\\\"c\\\"\\\\\\n2026-01-01 "
            "x\\x1b[2J\\xff\\xc2\\x85\" empty=\"\"");
}

TEST_F(LogTest, json_lines_parse_and_keep_types) {
  open(log::Format::json);
  log::error(
      "bad \"thing\"\n",
      {{"text", "a\tb\\\x01\x7f\xc3\xa9\xc2\x85"}, {"count", 12345678901234}, {"no", true}, {"raw", "\xff"}});
  const std::string all = text();
  const auto j = nlohmann::json::parse(all);
  EXPECT_EQ(j["level"], "error");
  EXPECT_EQ(j["program"], "bai-test");
  EXPECT_EQ(j["message"], "bad \"thing\"\n");
  EXPECT_EQ(j["text"], "a\tb\\\x01\x7f\xc3\xa9\xc2\x85");
  EXPECT_EQ(j["count"], 12345678901234);
  EXPECT_EQ(j["no"], true);
  EXPECT_EQ(j["raw"], "\\xff");
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 1);
}

TEST_F(LogTest, level_changes_at_run_time) {
  open(log::Format::text, log::Level::warning);
  log::info("not this");
  log::set_level(log::Level::debug);
  EXPECT_TRUE(log::enabled(log::Level::debug));
  EXPECT_FALSE(log::enabled(log::Level::trace));
  log::debug("this");
  log::set_level(log::Level::off);
  log::error("nor this");
  EXPECT_EQ(line(), "bai-test debug: this");
}

TEST_F(LogTest, reopen_follows_logrotate) {
  open(log::Format::text);
  log::info("one");
  ASSERT_EQ(::rename(file_.c_str(), (file_ + ".1").c_str()), 0);
  log::info("two");
  ASSERT_TRUE(log::reopen());
  log::info("three");
  EXPECT_EQ(line(), "bai-test info: three");
  EXPECT_NE(read_all(file_ + ".1", 1000).value().find("two"), std::string::npos);
}

TEST_F(LogTest, a_log_that_cannot_be_opened_leaves_the_old_one) {
  open(log::Format::text);
  const auto failed = log::init({log::Format::text, log::Level::info, "/nonexistent/dir/log", "x"});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().place, "/nonexistent/dir/log");
  log::info("still here");
  EXPECT_EQ(line(), "bai-test info: still here");
}

TEST_F(LogTest, threads_do_not_mix_lines) {
  open(log::Format::json);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([t] {
      for (int i = 0; i < 200; ++i) log::info("line", {{"thread", t}, {"i", i}});
    });
  for (auto& t : threads) t.join();
  const std::string all = text();
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 800);
  std::size_t begin = 0;
  for (std::size_t end; (end = all.find('\n', begin)) != std::string::npos; begin = end + 1)
    EXPECT_TRUE(nlohmann::json::accept(all.substr(begin, end - begin)));
}

TEST_F(LogTest, once_counts_what_it_leaves_out) {
  open(log::Format::text);
  log::Once once(2);
  EXPECT_TRUE(once.write(log::Level::info, "a", "first"));
  EXPECT_FALSE(once.write(log::Level::info, "a", "first"));
  EXPECT_FALSE(once.write(log::Level::info, "a", "first"));
  EXPECT_EQ(once.suppressed("a"), 2u);
  EXPECT_EQ(once.suppressed("b"), 0u);
  once.forget("a");
  EXPECT_TRUE(once.write(log::Level::info, "a", "first"));
  EXPECT_EQ(once.suppressed(), 2u);
  EXPECT_NE(text().find("left out repeated lines about=a count=2"), std::string::npos);
}

TEST_F(LogTest, once_is_bounded) {
  open(log::Format::text, log::Level::off);
  log::Once once(2);
  EXPECT_TRUE(once.write(log::Level::info, "a", "x"));
  EXPECT_TRUE(once.write(log::Level::info, "b", "x"));
  EXPECT_FALSE(once.write(log::Level::info, "b", "x"));
  EXPECT_TRUE(once.write(log::Level::info, "c", "x"));  // starts over
  EXPECT_TRUE(once.write(log::Level::info, "b", "x"));
  const std::string prefix(200, 'p');
  once.write(log::Level::info, prefix + "1", "x");
  EXPECT_FALSE(once.write(log::Level::info, prefix + "2", "x"));
}

TEST(Log, level_and_format_words) {
  EXPECT_EQ(log::parse_level("DEBUG3").value(), log::Level::trace);
  EXPECT_EQ(log::parse_level("verbose").value(), log::Level::debug);
  EXPECT_EQ(log::parse_level("warning").value(), log::Level::warning);
  EXPECT_EQ(log::parse_level("infp").error().remedy, "did you mean 'info'?");
  for (const auto l : {log::Level::trace, log::Level::debug, log::Level::info, log::Level::warning,
                       log::Level::error, log::Level::off})
    EXPECT_EQ(log::parse_level(log::level_name(l)).value(), l);
  EXPECT_EQ(log::parse_format("JSON").value(), log::Format::json);
  EXPECT_FALSE(log::parse_format("xml"));
}

}  // namespace
}  // namespace bai
