#include "model/hooks.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "model/rlimits.h"

namespace bai {
namespace {

Job job() {
  Job out;
  out.id = 7;
  out.attempt = 2;
  JobSpec spec;
  spec.uid = 1000;
  spec.gid = 100;
  spec.user = Istr("kim");
  spec.name = Istr("a job");
  out.spec = std::make_shared<const JobSpec>(std::move(spec));
  Allocation allocation;
  allocation.partition = Istr("main");
  allocation.nodes.resize(2);
  allocation.nodes[0].node = Istr("n1");
  allocation.nodes[1].node = Istr("n2");
  out.allocation = std::make_shared<const Allocation>(std::move(allocation));
  out.exit = {3, 9};
  return out;
}

bool has(const std::vector<std::string>& entries, const std::string& entry) {
  return std::find(entries.begin(), entries.end(), entry) != entries.end();
}

TEST(Hooks, TellsAJobUnderBothNames) {
  const auto env = hook_variables(Hook::kProlog, job(), "test");
  for (const char* entry :
       {"SLURM_JOB_ID=7", "BAI_JOB_ID=7", "SLURM_JOB_UID=1000", "SLURM_JOB_USER=kim",
        "BAI_JOB_PARTITION=main", "SLURM_JOB_NODELIST=n[1-2]", "SLURM_CLUSTER_NAME=test",
        "SLURM_SCRIPT_CONTEXT=prolog_slurmd", "SLURM_JOB_NAME=a job", "BAI_JOB_ATTEMPT=2"})
    EXPECT_TRUE(has(env, entry)) << entry;
  for (const auto& entry : env) EXPECT_EQ(entry.find("EXIT_CODE"), entry.npos) << entry;
}

TEST(Hooks, TellsEpilogsHowItEnded) {
  for (const Hook hook : {Hook::kEpilog, Hook::kEpilogCtld}) {
    const auto env = hook_variables(hook, job(), "test");
    EXPECT_TRUE(has(env, "SLURM_JOB_EXIT_CODE=777"));  // as wait(2) gives it
    EXPECT_TRUE(has(env, "SLURM_JOB_EXIT_CODE2=3:9"));
  }
}

TEST(Hooks, RunsOneAfterTheOtherUntilOneFails) {
  EXPECT_EQ(hook_script({}), "#!/bin/sh\n");
  EXPECT_EQ(hook_script({"/a", "/b c"}), "#!/bin/sh\n/a || exit\n'/b c' || exit\n");
}

TEST(Hooks, PatternsNameProgramsInReverseOrder) {
  char name[] = "/tmp/hooksXXXXXX";
  const std::string dir = mkdtemp(name);
  for (const char* file : {"10", "20", "a"}) std::ofstream(dir + "/" + file) << "";
  const std::vector<std::string> wanted = {dir + "/a", dir + "/20", dir + "/10", "/not/there"};
  EXPECT_EQ(hook_programs({dir + "/*", "/not/there", "/not/there/*"}), wanted);
  for (const char* file : {"10", "20", "a"}) unlink((dir + "/" + file).c_str());
  rmdir(dir.c_str());
}

TEST(Rlimits, AreNamedAsInSlurm) {
  EXPECT_EQ(*parse_rlimits("ALL"), kAllRlimits);
  EXPECT_EQ(*parse_rlimits("none"), 0u);
  EXPECT_EQ(show_rlimits(*parse_rlimits("nofile, RLIMIT_CORE")), "CORE,NOFILE");
  EXPECT_EQ(show_rlimits(*parse_rlimits("NONE")), "NONE");
  EXPECT_FALSE(parse_rlimits("NOFILE,FILES").ok());
}

}  // namespace
}  // namespace bai
