#include "agent/security_limits.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace bai::agent {
namespace {

User kim() { return {1000, "kim", "/home/kim", "/bin/sh", {100, 200}}; }

std::optional<std::uint32_t> gid(const std::string& name) {
  if (name == "users") return 100;
  if (name == "staff") return 300;
  return {};
}

UserLimits limits(std::string_view text, const User& user = kim()) {
  return limits_of(parse_limit_lines(text), user, gid);
}

TEST(SecurityLimits, ReadsWhatPamLimitsReads) {
  const auto lines = parse_limit_lines(
      "# a comment\n"
      "*  soft  nofile 1024   # and another\n"
      "kim\t-\tcore\tunlimited\n"
      "kim hard maxlogins 3\n"  // a login's, not a process's
      "kim hard nofile lots\n"
      "kim hard nofile\n"
      "@users medium nofile 3\n"
      "bob -\n");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_TRUE(lines[0].soft && !lines[0].hard);
  EXPECT_EQ(lines[0].value, 1024);
  EXPECT_TRUE(lines[1].soft && lines[1].hard);
  EXPECT_EQ(lines[1].value, -1);
  EXPECT_EQ(lines[2].item, "-");
}

TEST(SecurityLimits, AUsersOwnLineGoesBeforeHisGroupsAndThoseBeforeAll) {
  const auto own = limits("kim hard nofile 3\n@users hard nofile 2\n* hard nofile 1\n");
  EXPECT_EQ(own.hard.at(RLIMIT_NOFILE), 3u);
  const auto group = limits("@users hard nofile 2\n* hard nofile 1\n@staff hard nofile 9\n");
  EXPECT_EQ(group.hard.at(RLIMIT_NOFILE), 2u);
  const auto last = limits("* soft nofile 1\n* soft nofile 5\n");
  EXPECT_EQ(last.soft.at(RLIMIT_NOFILE), 5u);
  EXPECT_TRUE(last.hard.empty());
}

TEST(SecurityLimits, RangesAndUnits) {
  EXPECT_EQ(limits("500:1500 hard memlock 2\n").hard.at(RLIMIT_MEMLOCK), 2048u);
  EXPECT_EQ(limits("1000: hard cpu 2\n").hard.at(RLIMIT_CPU), 120u);
  EXPECT_EQ(limits("@150:250 soft stack unlimited\n").soft.at(RLIMIT_STACK), std::nullopt);
  EXPECT_TRUE(limits(":999 hard cpu 2\n2000: hard cpu 2\n@201: hard cpu 1\n").hard.empty());
  EXPECT_EQ(limits("kim hard nice -5\n").hard.at(RLIMIT_NICE), 25u);
  EXPECT_EQ(limits("kim - priority 7\n").priority, 7);
}

TEST(SecurityLimits, NeitherGroupsNorEverybodyMeansRoot) {
  User root{0, "root", "/root", "/bin/sh", {0, 100}};
  EXPECT_TRUE(limits("* hard nproc 5\n@users hard nproc 6\n", root).hard.empty());
  EXPECT_EQ(limits("root hard nproc 7\n", root).hard.at(RLIMIT_NPROC), 7u);
}

TEST(SecurityLimits, AUserMayBeExempt) { EXPECT_TRUE(limits("* hard nproc 5\nkim -\n").hard.empty()); }

TEST(JobLimits, WhatTheClientPassedGoesBeforeTheSystemsSoftLimit) {
  std::vector<std::string> env = {"A=1",
                                  "BAI_RLIMIT_NOFILE=64",
                                  "BAI_RLIMIT_CORE=infinity",
                                  "BAI_RLIMIT_X=1",
                                  "BAI_RLIMIT_NPROC=many",
                                  "BAI_RLIMIT=1"};
  const auto passed = take_passed_limits(env);
  EXPECT_EQ(env, (std::vector<std::string>{"A=1", "BAI_RLIMIT=1"}));
  EXPECT_EQ(passed.size(), 2u);
  const auto all =
      job_limits(limits("kim soft nofile 128\nkim hard nofile 256\nkim soft nproc 50\n"), passed);
  const std::vector<step::ResourceLimit> wanted = {{RLIMIT_CORE, RLIM_INFINITY, step::kKeepLimit},
                                                   {RLIMIT_NPROC, 50, step::kKeepLimit},
                                                   {RLIMIT_NOFILE, 64, 256}};
  EXPECT_EQ(all, wanted);
  EXPECT_TRUE(job_limits({}, {}).empty());
}

}  // namespace
}  // namespace bai::agent
