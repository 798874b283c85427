// The directories that steps of one job share, on the cgroups of this machine. Skipped where none may be made.
#include "step/cgroup.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <barrier>
#include <filesystem>
#include <fstream>
#include <thread>

namespace bai::step {
namespace {

struct Place {
  std::string dir;
  CgroupSetting limit;
};

// Version 2, alone or beside 1, and a hierarchy of 1.
std::vector<Place> places() {
  std::vector<Place> out;
  for (const Place& place : {Place{"/sys/fs/cgroup", {"cgroup.max.descendants", "77"}},
                             Place{"/sys/fs/cgroup/unified", {"cgroup.max.descendants", "77"}},
                             Place{"/sys/fs/cgroup/pids", {"pids.max", "77"}}}) {
    if (access((place.dir + "/cgroup.procs").c_str(), W_OK) != 0) continue;
    const std::string probe = place.dir + "/bai-probe-" + std::to_string(getpid());
    if (mkdir(probe.c_str(), 0755) != 0) continue;
    if (access((probe + "/" + place.limit.file).c_str(), W_OK) == 0) out.push_back(place);
    rmdir(probe.c_str());
  }
  return out;
}

std::string text_of(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

class StepCgroup : public ::testing::TestWithParam<size_t> {
 protected:
  void SetUp() override {
    if (GetParam() >= places().size()) GTEST_SKIP() << "no cgroup may be made here";
    place_ = places()[GetParam()];
    ASSERT_NE(mkdtemp(lock_.dir.data()), nullptr);
    parent_ = place_.dir + "/bai-trees-" + std::to_string(getpid());
  }
  void TearDown() override {
    rmdir(lock_.dir.c_str());
    if (!parent_.empty()) remove_cgroup(parent_);
  }
  StepLaunch launch(uint32_t job, const std::string& step) const {
    StepLaunch out;
    out.job_id = job;
    out.attempt = 1;
    out.step = step;
    out.mark = std::string(32, 'm');
    out.confinement.trees = {{parent_, {}, {place_.limit}, {}}};
    return out;
  }
  std::string job_dir(uint32_t job) const { return parent_ + "/job-" + std::to_string(job) + ".1"; }
  std::string limit_of(uint32_t job) const { return text_of(job_dir(job) + "/" + place_.limit.file); }
  Status create(const StepLaunch& launch) const {
    std::vector<std::string> made;
    return create_trees(launch, lock_, &made);
  }

  Place place_;
  std::string parent_;
  TreesLock lock_{"/tmp/bai-trees-XXXXXX"};
};

TEST_P(StepCgroup, FirstStepsThatComeTogetherBothFindTheLimits) {
  constexpr uint32_t kJobs = 100;
  std::barrier together(2);
  int without = 0, failed = 0;
  const auto steps = [&](const std::string& name, int* bare, int* errors) {
    for (uint32_t job = 1; job <= kJobs; ++job) {
      StepLaunch step = launch(job, name);
      auto& settings = step.confinement.trees[0].job;
      settings.insert(settings.begin(), 100, {place_.limit.file, "76"});  // the limit takes its time
      together.arrive_and_wait();
      *errors += !create(step).ok();
      *bare += limit_of(job) != place_.limit.value;
    }
  };
  int other_without = 0, other_failed = 0;
  std::thread other([&] { steps("1", &other_without, &other_failed); });
  steps("0", &without, &failed);
  other.join();
  EXPECT_EQ(failed + other_failed, 0);
  EXPECT_EQ(without + other_without, 0);
}

TEST_P(StepCgroup, WhatADeadMakerLeftIsSetByTheNext) {
  ASSERT_EQ(mkdir(parent_.c_str(), 0755), 0);
  ASSERT_EQ(mkdir(job_dir(1).c_str(), 0700), 0);
  ASSERT_NE(limit_of(1), place_.limit.value);
  EXPECT_TRUE(create(launch(1, "0")).ok());
  EXPECT_EQ(limit_of(1), place_.limit.value);
  // What has its settings is left as it is.
  std::ofstream(job_dir(1) + "/" + place_.limit.file) << "78";
  EXPECT_TRUE(create(launch(1, "1")).ok());
  EXPECT_EQ(limit_of(1), "78");
}

TEST_P(StepCgroup, WhereSettingsFailNothingIsTrusted) {
  StepLaunch bad = launch(1, "0");
  bad.confinement.trees[0].job.push_back({"no.such.file", "1"});
  auto done = create(bad);
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, "io_error");
  EXPECT_NE(access(job_dir(1).c_str(), F_OK), 0);
  // Also when the directory cannot be taken away.
  ASSERT_EQ(mkdir(job_dir(1).c_str(), 0700), 0);
  ASSERT_EQ(mkdir((job_dir(1) + "/else").c_str(), 0755), 0);
  EXPECT_FALSE(create(bad).ok());
  EXPECT_FALSE(create(bad).ok());
  EXPECT_TRUE(create(launch(1, "0")).ok());
}

TEST_P(StepCgroup, AStepThatHangsHoldsUpTheOthersForATime) {
  lock_.wait_ms = 50;
  {
    Fd hangs(open(lock_.dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_EQ(flock(hangs.get(), LOCK_EX), 0);
    auto done = create(launch(1, "0"));
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().code, "timed_out");
    EXPECT_NE(access(job_dir(1).c_str(), F_OK), 0);
  }
  EXPECT_TRUE(create(launch(1, "0")).ok());
}

INSTANTIATE_TEST_SUITE_P(Places, StepCgroup, ::testing::Values(0u, 1u));

}  // namespace
}  // namespace bai::step
