#include "step/task_hooks.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace bai::step {
namespace {

using Env = std::vector<std::string>;

TEST(TaskProlog, ItsLinesChangeTheEnvironment) {
  Env env = {"A=1", "AB=2", "PATH=/bin", "BAI_STEP_MARK=x"};
  const std::string printed = apply_prolog(
      "export NEW=a b = c\n"
      "export A=changed\n"
      "unset PATH\n"
      "print hello there\n"
      "print   indented\n"
      "echo nothing\n"
      "export NOVALUE\n"
      "export =x\n"
      "exportB=1\n"
      "unset BAI_STEP_MARK\n"
      "export BAI_STEP_MARK=y\n"
      "\n"
      "export LAST=without a newline",
      &env);
  EXPECT_EQ(printed, "hello there\nindented\n");
  EXPECT_EQ(env, (Env{"AB=2", "BAI_STEP_MARK=x", "NEW=a b = c", "A=changed", "LAST=without a newline"}));
}

class TaskProgram : public ::testing::Test {
 protected:
  TaskProgram() {
    char name[] = "/tmp/taskXXXXXX";
    dir_ = mkdtemp(name);
  }
  ~TaskProgram() override {
    for (const char* file : {"program", "second", "ran"}) unlink((dir_ + "/" + file).c_str());
    rmdir(dir_.c_str());
  }
  std::string program(const std::string& text, const char* name = "program") {
    const std::string path = dir_ + "/" + name;
    std::ofstream(path) << "#!/bin/sh\n" << text << "\n";
    chmod(path.c_str(), 0700);
    return path;
  }
  std::string dir_;
};

TEST_F(TaskProgram, APrologSeesTheEnvironmentThatTheOneBeforeMade) {
  Env env = {"PATH=/bin:/usr/bin"};
  const std::string first = program("echo export GREETING=$SLURM_SCRIPT_CONTEXT");
  EXPECT_EQ(run_task_prologs({first, program("echo export AGAIN=$GREETING", "second")}, &env), 0);
  EXPECT_EQ(env, (Env{"PATH=/bin:/usr/bin", "GREETING=prolog_task", "AGAIN=prolog_task"}));
}

TEST_F(TaskProgram, OneThatFailsIsTheEnd) {
  Env env = {"PATH=/bin:/usr/bin"};
  EXPECT_EQ(run_task_prologs({program("echo export A=1; exit 3"), program("touch ran", "second")}, &env), 3);
  EXPECT_EQ(env.size(), 1u);
  EXPECT_EQ(run_task_prologs({dir_ + "/nosuch"}, &env), 127);
  EXPECT_EQ(run_task_prologs({program("kill -9 $$")}, &env), 137);
}

TEST_F(TaskProgram, WhatAPrologLeavesBehindIsNotWaitedFor) {
  Env env = {"PATH=/bin:/usr/bin"};
  EXPECT_EQ(run_task_prologs({program("echo export A=1; sleep 600 & echo $! > " + dir_ + "/ran")}, &env), 0);
  EXPECT_EQ(env.back(), "A=1");
  int pid = 0;
  std::ifstream(dir_ + "/ran") >> pid;
  ASSERT_GT(pid, 0);
  kill(pid, SIGKILL);
}

TEST_F(TaskProgram, ALotOfOutputIsReadToItsEnd) {
  Env env = {"PATH=/bin:/usr/bin"};
  EXPECT_EQ(run_task_prologs({program("echo export A=1; head -c 3000000 /dev/zero | tr '\\0' x")}, &env), 0);
  EXPECT_EQ(env.back(), "A=1");
}

TEST_F(TaskProgram, EpilogsAllRunWhateverTheyEndWith) {
  run_task_epilogs({program("exit 1"), program("echo $SLURM_SCRIPT_CONTEXT > " + dir_ + "/ran", "second")},
                   {"PATH=/bin:/usr/bin"});
  std::string word;
  std::ifstream(dir_ + "/ran") >> word;
  EXPECT_EQ(word, "epilog_task");
}

}  // namespace
}  // namespace bai::step
