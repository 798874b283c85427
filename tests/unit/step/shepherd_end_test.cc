// How steps end: limits, cancellation, what a script leaves behind, a shepherd that dies.
#include <sys/mount.h>

#include <algorithm>

#include "shepherd_fixture.h"
#include "step/cgroup.h"
#include "step/protocol.h"

namespace bai::step {
namespace {

pid_t pid_in(const std::string& file) { return static_cast<pid_t>(atoi(slurp(file).c_str())); }

bool process_alive(pid_t pid) {
  auto stat = process_stat(pid);
  return stat && stat->state != 'Z';
}

// A daemon by the book: another session, its parents gone.
constexpr const char* kEscapee =
    "(setsid bash -c 'trap \"\" TERM HUP; echo $BASHPID >escaped.tmp; mv escaped.tmp escaped; while :; do "
    "sleep 1000; done' &) &\n"
    "until [ -e escaped ]; do sleep 0.01; done\n";

class ShepherdEnd : public ShepherdTest {
 protected:
  // Makes a cgroup for the test below `parent`; skips the test where that cannot be done.
  bool use_cgroup(const std::string& parent) {
    group_ = parent + "/bai-test-" + std::to_string(getpid());
    if (mkdir(group_.c_str(), 0755) != 0) return false;
    launch_.cgroups = {group_};
    return true;
  }
  void TearDown() override {
    ShepherdTest::TearDown();
    if (!group_.empty()) {
      rmdir(group_.c_str());
    }
  }
  void end_all_with(const std::string& parent, const char* file) {
    if (access((parent + "/" + file).c_str(), W_OK) != 0 || !use_cgroup(parent))
      GTEST_SKIP() << "no writable cgroup at " << parent;
    launch_.leftover_grace_ms = 50;
    script(std::string(kEscapee) + "cat /proc/self/cgroup >groups\n");
    EXPECT_EQ(run().reason, EndReason::kExited);
    EXPECT_FALSE(process_alive(pid_in(work_ + "/escaped")));
    EXPECT_NE(slurp(work_ + "/groups").find("/step-7.1.batch-" + launch_.mark.substr(0, 16)),
              std::string::npos);
    for (const auto& dir : cgroup_dirs(launch_)) EXPECT_NE(access(dir.c_str(), F_OK), 0);
  }
  std::string group_;
};

TEST_F(ShepherdEnd, EndsByTimeLimit) {
  launch_.time_limit_s = 1;
  script("sleep 1000\n");
  const StepStatus status = run();
  EXPECT_EQ(status.reason, EndReason::kTimeout);
  EXPECT_EQ(status.signal, static_cast<uint32_t>(SIGTERM));
  EXPECT_EQ(status.message, "time limit of 1 s reached");
}

TEST_F(ShepherdEnd, KillsWhatIgnoresTheTimeLimit) {
  launch_.time_limit_s = 1;
  launch_.kill_wait_s = 1;
  script("trap '' TERM; while :; do sleep 0.1; done\n");
  const StepStatus status = run();
  EXPECT_EQ(status.reason, EndReason::kTimeout);
  EXPECT_EQ(status.signal, static_cast<uint32_t>(SIGKILL));
}

TEST_F(ShepherdEnd, EndsByDeadline) {
  launch_.deadline_us = env_.now().us + 300'000;
  script("trap 'exit 4' TERM; while :; do sleep 0.05; done\n");
  const StepStatus status = run();
  EXPECT_EQ(status.reason, EndReason::kDeadline);
  EXPECT_EQ(status.exit_code, 4u);
}

TEST_F(ShepherdEnd, WarnsTheScriptBeforeTheLimit) {
  launch_.time_limit_s = 60;
  launch_.warning_signal = SIGUSR1;
  launch_.warning_before_s = 60;
  launch_.warning_to_batch_only = true;
  script("trap 'echo warned; exit 0' USR1; while :; do sleep 0.05; done\n");
  // At once: the whole limit is the warning time. The trap may not stand yet, and then the signal ends the script.
  const StepStatus status = run();
  EXPECT_TRUE((status.reason == EndReason::kExited && output() == "warned\n") || status.signal == SIGUSR1);
}

// A shell that is told to end while it forks leaves a child that was told nothing.
TEST_F(ShepherdEnd, WhatTheScriptForksWhenItIsToldToEndIsToldToo) {
  launch_.kill_wait_s = 600;
  script("trap 'sleep 1000 & exit 3' TERM; touch up; while :; do sleep 0.05; done\n");
  start();
  ASSERT_TRUE(await_file("up"));
  StepClient client = connect();
  ASSERT_TRUE(client.call(TerminateRequest{EndReason::kCancelled, ""}, kPatienceMs).ok());
  EXPECT_EQ(end().exit_code, 3u);
}

TEST_F(ShepherdEnd, IsCancelled) {
  script("touch up; sleep 1000\n");
  start();
  ASSERT_TRUE(await_file("up"));
  StepClient client = connect();
  auto state = client.call(SubscribeRequest{}, kPatienceMs);
  ASSERT_TRUE(state.ok());
  ASSERT_TRUE(std::holds_alternative<StateReply>(*state));
  EXPECT_EQ(std::get<StateReply>(*state).phase, Phase::kRunning);
  EXPECT_EQ(std::get<StateReply>(*state).mark, launch_.mark);
  state = client.call(TerminateRequest{EndReason::kCancelled, "by root"}, kPatienceMs);
  ASSERT_TRUE(state.ok());
  auto ended = client.wait(kPatienceMs);
  ASSERT_TRUE(ended.ok()) << ended.error().text();
  ASSERT_TRUE(std::holds_alternative<EndedReply>(*ended));
  // Whoever is told can read it.
  auto status = read_status(dir_);
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(*status, std::get<EndedReply>(*ended).status);
  EXPECT_EQ(status->reason, EndReason::kCancelled);
  EXPECT_EQ(status->message, "by root");
  EXPECT_EQ(status->signal, static_cast<uint32_t>(SIGTERM));
  end();
}

TEST_F(ShepherdEnd, CancelsAStoppedStep) {
  script("touch up; kill -STOP $$; echo resumed\n");
  start();
  ASSERT_TRUE(await_file("up"));
  StepClient client = connect();
  ASSERT_TRUE(client.send(TerminateRequest{EndReason::kPreempted, "", 10'000}).ok());
  EXPECT_EQ(end().reason, EndReason::kPreempted);
}

TEST_F(ShepherdEnd, DeliversSignalsByScope) {
  script(
      "trap 'echo script' USR1\nbash -c 'trap \"echo child\" USR1; touch up; until [ -e enough ]; do sleep "
      "0.02; done' &\n"
      "wait; until [ -e enough ]; do sleep 0.02; done\n");
  start();
  ASSERT_TRUE(await_file("up"));
  StepClient client = connect();
  ASSERT_TRUE(client.call(SignalRequest{SIGUSR1, Scope::kBatch}, kPatienceMs).ok());
  EXPECT_TRUE(eventually([&] { return output() == "script\n"; })) << output();
  // sleep(1) of the script dies of USR1; the child and its trap stay.
  ASSERT_TRUE(client.call(SignalRequest{SIGUSR1, Scope::kChildren}, kPatienceMs).ok());
  EXPECT_TRUE(eventually([&] { return output().find("child\n") != std::string::npos; })) << output();
  std::ofstream(work_ + "/enough") << "\n";
  EXPECT_EQ(end().reason, EndReason::kExited);
}

TEST_F(ShepherdEnd, TakesANewTimeLimit) {
  launch_.time_limit_s = 3600;
  script("touch up; sleep 1000\n");
  start();
  ASSERT_TRUE(await_file("up"));
  StepClient client = connect();
  auto state = client.call(SetTimeLimitRequest{1}, kPatienceMs);
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(std::get<StateReply>(*state).time_limit_s, 1u);
  EXPECT_EQ(end().reason, EndReason::kTimeout);
}

TEST_F(ShepherdEnd, SurvivesBadClients) {
  script("touch up; until [ -e enough ]; do sleep 0.02; done\n");
  start();
  ASSERT_TRUE(await_file("up"));
  StepClient good = connect();
  for (int i = 0; i < 40; ++i) {
    auto bad = StepClient::connect(dir_);
    if (!bad.ok()) continue;  // the queue may be full for a moment
    const std::string junk(static_cast<size_t>(1 + i * 400), static_cast<char>(i));
    send(bad->fd(), junk.data(), junk.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  auto state = good.call(QueryRequest{}, kPatienceMs);
  ASSERT_TRUE(state.ok()) << state.error().text();
  std::ofstream(work_ + "/enough") << "\n";
  EXPECT_EQ(end().reason, EndReason::kExited);
}

TEST_F(ShepherdEnd, EndsWithTheNode) {
  script("touch up; sleep 1000\n");
  start();
  ASSERT_TRUE(await_file("up"));
  kill(shepherd_.pid, SIGTERM);
  EXPECT_EQ(end().reason, EndReason::kNodeShutdown);
}

TEST_F(ShepherdEnd, EndsWhatTheScriptLeftBehind) {
  launch_.leftover_grace_ms = 50;
  script(std::string(kEscapee) + "exit 5\n");
  const StepStatus status = run();
  EXPECT_EQ(status.reason, EndReason::kExited);
  EXPECT_EQ(status.exit_code, 5u);
  const pid_t escaped = pid_in(work_ + "/escaped");
  ASSERT_GT(escaped, 0);
  EXPECT_FALSE(process_alive(escaped));
}

TEST_F(ShepherdEnd, GivesLeftoversTimeToEnd) {
  script(
      "bash -c 'trap \"echo tidied; exit\" TERM; touch up; while :; do sleep 0.02; done' &\nuntil [ -e up ]; "
      "do sleep 0.01; done\n");
  launch_.leftover_grace_ms = 20'000;
  run();
  EXPECT_NE(output().find("tidied\n"), std::string::npos);
}

TEST_F(ShepherdEnd, EndsEverythingInAV2Cgroup) {
  const std::string unified =
      access("/sys/fs/cgroup/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
  end_all_with(unified, "cgroup.procs");
}

TEST_F(ShepherdEnd, EndsEverythingInAFreezerCgroup) {
  end_all_with("/sys/fs/cgroup/freezer", "cgroup.procs");
}

TEST_F(ShepherdEnd, EndsEverythingInAPidsCgroup) { end_all_with("/sys/fs/cgroup/pids", "cgroup.procs"); }

TEST_F(ShepherdEnd, RunsWithoutACgroupThatCannotBe) {
  launch_.cgroups = {root_ + "/no/such"};
  script("exit 6\n");
  EXPECT_EQ(run().exit_code, 6u);
  EXPECT_NE(slurp(dir_ + "/stepd.log").find("cannot make cgroup"), std::string::npos);
}

// The whole of a step is found when its shepherd is dead, also what escaped and what dropped the mark below something that carries it.
TEST_F(ShepherdEnd, RemainsOfADeadShepherdAreEnded) {
  script(std::string(kEscapee) +
         "env -i /bin/bash -c 'echo $$ >bare.tmp; mv bare.tmp bare; while :; do sleep 1000; done'\n");
  start();
  ASSERT_TRUE(await_file("bare"));
  auto refused = kill_step_remains(dir_, launch_);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, "shepherd_alive");
  EXPECT_GE(find_step_remains(dir_, launch_).size(), 3u);
  kill(shepherd_.pid, SIGKILL);
  waitpid(shepherd_.pid, nullptr, 0);
  reaped_ = true;
  const pid_t escaped = pid_in(work_ + "/escaped"), bare = pid_in(work_ + "/bare");
  EXPECT_TRUE(process_alive(escaped));
  auto ended = kill_step_remains(dir_, launch_);
  EXPECT_TRUE(ended.ok()) << ended.error().text();
  EXPECT_FALSE(process_alive(escaped));
  EXPECT_FALSE(process_alive(bare));
  EXPECT_TRUE(find_step_remains(dir_, launch_).empty());
  EXPECT_TRUE(kill_step_remains(dir_, launch_).ok());  // again is harmless
}

TEST_F(ShepherdEnd, KillsAProcessThatForksWithoutEnd) {
  launch_.leftover_grace_ms = 0;
  // Each generation starts the next and goes; at most a few live at once.
  script(
      "cat >gen <<'X'\n#!/bin/bash\ntrap '' TERM\ntouch up\n./gen &\nX\nchmod +x gen; setsid ./gen & until [ "
      "-e up ]; do sleep 0.01; done\n");
  EXPECT_EQ(run().reason, EndReason::kExited);
  EXPECT_TRUE(find_step_remains(dir_, launch_).empty());
}

TEST_F(ShepherdEnd, EndsAlsoWhereThereIsNoRoomLeft) {
  if (mount("none", dir_.c_str(), "tmpfs", 0, "size=256k,mode=711") != 0)
    GTEST_SKIP() << "no file system may be mounted here";
  launch_.end_file = root_ + "/end";
  launch_.argv = {"bash", "-c",
                  "dd if=/dev/zero of=" + dir_ + "/fill bs=4k; (echo >" + dir_ + "/more) || exit 4"};
  const StepStatus status = run();
  EXPECT_EQ(umount2(dir_.c_str(), MNT_DETACH), 0);
  EXPECT_EQ(status.exit_code, 4u);
}

TEST_F(ShepherdEnd, ItsScriptIsGoneWhenItHasEnded) {
  script("exit 5\n");
  EXPECT_EQ(run().exit_code, 5u);
  EXPECT_NE(access((dir_ + "/script").c_str(), F_OK), 0);
}

// The numbers of a process's children, also of those that have ended.
size_t count_children(pid_t pid) {
  const std::string number = std::to_string(pid);
  const std::string text = slurp("/proc/" + number + "/task/" + number + "/children");
  return static_cast<size_t>(std::count(text.begin(), text.end(), ' '));
}

// Thousands of orphans wait to be reaped; whoever asks something meanwhile is not kept waiting for the last of them.
TEST_F(ShepherdEnd, AnswersWhileThereIsMuchToReap) {
  constexpr int kOrphans = 3000;
  std::ofstream(work_ + "/many.py") << "import os, time\n"
                                    << "for _ in range(" << kOrphans << "):\n"
                                    << "  if os.fork() == 0: os._exit(0)\n"
                                    << "open('made', 'w').close()\n"
                                    << "while not os.path.exists('go'): time.sleep(0.01)\n";
  script("python3 many.py & until [ -e enough ]; do sleep 0.02; done\n");
  start();
  ASSERT_TRUE(await_file("made"));
  if (count_children(shepherd_.pid) == 0) GTEST_SKIP() << "this kernel does not list children";
  StepClient client = connect();
  ASSERT_TRUE(client.call(QueryRequest{}, kPatienceMs).ok());
  kill(shepherd_.pid, SIGSTOP);
  std::ofstream(work_ + "/go") << "\n";
  EXPECT_TRUE(eventually([&] { return count_children(shepherd_.pid) > kOrphans; }));
  ASSERT_TRUE(client.send(QueryRequest{}).ok());
  kill(shepherd_.pid, SIGCONT);
  auto state = client.wait(kPatienceMs);
  EXPECT_GT(count_children(shepherd_.pid), kOrphans / 3u);
  EXPECT_TRUE(state.ok());
  EXPECT_TRUE(eventually([&] { return count_children(shepherd_.pid) < 5; }));
  std::ofstream(work_ + "/enough") << "\n";
  EXPECT_EQ(end().reason, EndReason::kExited);
}

// Dies at every crash point; nothing of the step remains, and no status is made up.
TEST_F(ShepherdEnd, DiesAtAnyPointWithoutLeavingProcesses) {
  int n = 0;
  for (const char* point :
       {"step.before_fork", "step.after_fork", "step.before_status", "step.after_status"}) {
    launch_.attempt = static_cast<uint32_t>(++n);
    launch_.mark[0] = static_cast<char>('0' + n);
    dir_ = root_ + "/spool" + std::to_string(n);
    ASSERT_EQ(mkdir(dir_.c_str(), 0711), 0);
    script("if [ -e wait ]; then sleep 1000; fi\n");
    setenv("BAI_CRASH_POINT", point, 1);
    nursery_.emplace(stepd_path(), 1000);
    start();
    unsetenv("BAI_CRASH_POINT");
    pollfd p{shepherd_.pidfd.get(), POLLIN, 0};
    ASSERT_EQ(poll(&p, 1, kPatienceMs), 1) << point;
    int wait_status = 0;
    waitpid(shepherd_.pid, &wait_status, 0);
    reaped_ = true;
    EXPECT_TRUE(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL) << point;
    EXPECT_TRUE(kill_step_remains(dir_, launch_).ok()) << point;
    EXPECT_EQ(read_status(dir_).ok(), std::string(point) == "step.after_status") << point;
    auto started = read_started(dir_);
    ASSERT_TRUE(started.ok()) << point;
    EXPECT_FALSE(shepherd_alive(*started)) << point;
  }
}

bool is_stopped(pid_t pid) {
  const auto stat = process_stat(pid);
  return stat && stat->state == 'T';
}

// One that writes its processes' numbers: its own and that of a child in another session.
constexpr const char* kTwo =
    "(setsid bash -c 'echo $BASHPID >b.tmp; mv b.tmp b; while :; do sleep 0.02; done' &)\n"
    "until [ -e b ]; do sleep 0.01; done\n"
    "echo $BASHPID >a.tmp; mv a.tmp a\n";

TEST_F(ShepherdEnd, StandsStillAndGoesOnWithoutACgroup) {
  launch_.time_limit_s = 1;
  script(std::string(kTwo) + "until [ -e go ]; do sleep 0.01; done; exit 6\n");
  start();
  StepClient client = connect();
  ASSERT_TRUE(await_file("a"));
  const pid_t a = pid_in(work_ + "/a"), b = pid_in(work_ + "/b");
  auto state = client.call(SuspendRequest{true, 2}, kPatienceMs);
  ASSERT_TRUE(state.ok());
  EXPECT_TRUE(std::get<StateReply>(*state).suspended);
  EXPECT_TRUE(eventually([&] { return is_stopped(a) && is_stopped(b); }));
  // An older word comes late.
  state = client.call(SuspendRequest{false, 1}, kPatienceMs);
  EXPECT_TRUE(std::get<StateReply>(*state).suspended);
  // The limit is over long ago, and does not count.
  std::this_thread::sleep_for(std::chrono::milliseconds(1200));
  EXPECT_TRUE(is_stopped(a) && is_stopped(b));
  std::ofstream(work_ + "/go") << "go";
  state = client.call(SuspendRequest{false, 3}, kPatienceMs);
  EXPECT_FALSE(std::get<StateReply>(*state).suspended);
  const StepStatus status = end();
  EXPECT_EQ(status.reason, EndReason::kExited);
  EXPECT_EQ(status.exit_code, 6u);
}

TEST_F(ShepherdEnd, TheLimitEndsItAfterItWentOn) {
  launch_.time_limit_s = 1;
  script("touch up; while :; do sleep 0.05; done\n");
  start();
  ASSERT_TRUE(await_file("up"));
  StepClient client = connect();
  ASSERT_TRUE(client.call(SuspendRequest{true, 1}, kPatienceMs).ok());
  ASSERT_TRUE(client.call(SuspendRequest{false, 2}, kPatienceMs).ok());
  EXPECT_EQ(end().reason, EndReason::kTimeout);
}

TEST_F(ShepherdEnd, WhatStandsStillIsEndedAllTheSame) {
  script(std::string(kTwo) + "trap 'exit 5' TERM; touch up; while :; do sleep 0.01; done\n");
  start();
  ASSERT_TRUE(await_file("up"));
  StepClient client = connect();
  ASSERT_TRUE(client.call(SuspendRequest{true, 1}, kPatienceMs).ok());
  const pid_t b = pid_in(work_ + "/b");
  EXPECT_TRUE(eventually([&] { return is_stopped(b); }));
  ASSERT_TRUE(client.call(TerminateRequest{EndReason::kCancelled, ""}, kPatienceMs).ok());
  const StepStatus status = end();
  EXPECT_EQ(status.reason, EndReason::kCancelled);
  EXPECT_EQ(status.exit_code, 5u);
  EXPECT_FALSE(process_alive(b));
}

TEST_F(ShepherdEnd, ItsDeadlineEndsWhatStandsStill) {
  launch_.deadline_us = env_.now().us + 1'000'000;
  script("touch up; while :; do sleep 0.05; done\n");
  start();
  ASSERT_TRUE(await_file("up"));
  StepClient client = connect();
  ASSERT_TRUE(client.call(SuspendRequest{true, 1}, kPatienceMs).ok());
  EXPECT_EQ(end().reason, EndReason::kDeadline);
}

TEST_F(ShepherdEnd, HandlersOfTheStopSignalAreToldFirst) {
  script("trap 'touch told' TSTP; trap 'touch on; exit 0' CONT; touch up; while :; do sleep 0.02; done\n");
  start();
  ASSERT_TRUE(await_file("up"));
  StepClient client = connect();
  ASSERT_TRUE(client.call(SuspendRequest{true, 1}, kPatienceMs).ok());
  EXPECT_TRUE(await_file("told"));
  auto state = client.call(QueryRequest{}, kPatienceMs);
  const pid_t process = std::get<StateReply>(*state).script_pid;
  EXPECT_FALSE(is_stopped(process));  // it has its two seconds
  EXPECT_TRUE(eventually([&] { return is_stopped(process); }));
  ASSERT_TRUE(client.call(SuspendRequest{false, 2}, kPatienceMs).ok());
  EXPECT_EQ(end().exit_code, 0u);
  EXPECT_EQ(access((work_ + "/on").c_str(), F_OK), 0);
}

TEST_F(ShepherdEnd, AGraceBeginsWithTheWarningAndEndsInSigterm) {
  launch_.warning_signal = SIGUSR1;
  launch_.warning_to_batch_only = true;
  script("trap 'echo warned' USR1; trap 'echo told; exit 3' TERM; touch up; while :; do sleep 0.02; done\n");
  start();
  ASSERT_TRUE(await_file("up"));
  StepClient client = connect();
  const TerminateRequest request{EndReason::kPreempted, "", -1, 700, Notice::kOwnSignalOrTerm};
  auto state = client.call(request, kPatienceMs);
  EXPECT_EQ(std::get<StateReply>(*state).phase, Phase::kRunning);
  ASSERT_TRUE(client.call(request, kPatienceMs).ok());  // a repeat warns nobody again
  const StepStatus status = end();
  EXPECT_EQ(status.reason, EndReason::kPreempted);
  EXPECT_EQ(status.exit_code, 3u);
  // Between the two the shell may tell of a child's end.
  EXPECT_TRUE(output().starts_with("warned\n") && output().ends_with("told\n")) << output();
  EXPECT_EQ(output().find("warned", 1), std::string::npos);
}

TEST_F(ShepherdEnd, AGraceWithoutAWarningIsToldToProgramsBySigterm) {
  script(
      "trap 'echo script; exit 3' TERM\n"
      "python3 -c 'import signal\n"
      "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
      "open(\"up\", \"w\").close()\n"
      "signal.sigwait([signal.SIGTERM])\n"
      "print(\"program\")' & wait $!\n"
      "touch alone; while :; do sleep 0.02; done\n");
  start();
  ASSERT_TRUE(await_file("up"));
  StepClient client = connect();
  ASSERT_TRUE(client
                  .call(TerminateRequest{EndReason::kCancelled, "", -1, 600'000, Notice::kOwnSignalOrTerm},
                        kPatienceMs)
                  .ok());
  EXPECT_TRUE(await_file("alone"));
  // A cancel does not wait for it.
  ASSERT_TRUE(client.call(TerminateRequest{EndReason::kCancelled, ""}, kPatienceMs).ok());
  EXPECT_EQ(end().exit_code, 3u);
  EXPECT_NE(output().find("program\n"), std::string::npos) << output();
  EXPECT_TRUE(output().ends_with("script\n")) << output();
}

TEST_F(ShepherdEnd, StandsStillByTheFreezerOfItsCgroup) {
  const char* file = "cgroup.freeze";
  bool made = false;
  for (const char* parent : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"})
    if (!made && access((std::string(parent) + "/cgroup.procs").c_str(), W_OK) == 0)
      made = use_cgroup(parent);
  if (!made && access("/sys/fs/cgroup/freezer/cgroup.procs", W_OK) == 0) {
    made = use_cgroup("/sys/fs/cgroup/freezer");
    file = "freezer.state";
  }
  if (!made) GTEST_SKIP() << "no writable cgroup with a freezer";
  script(std::string(kTwo) + "until [ -e go ]; do sleep 0.01; done; exit 6\n");
  start();
  StepClient client = connect();
  ASSERT_TRUE(await_file("a"));
  ASSERT_TRUE(client.call(SuspendRequest{true, 1}, kPatienceMs).ok());
  const std::string state = cgroup_dirs(launch_)[0] + "/" + file;
  EXPECT_TRUE(slurp(state) == "1\n" || slurp(state).starts_with("FR")) << state << ": " << slurp(state);
  EXPECT_FALSE(is_stopped(pid_in(work_ + "/b")));
  std::ofstream(work_ + "/go") << "go";
  ASSERT_TRUE(client.call(SuspendRequest{false, 2}, kPatienceMs).ok());
  EXPECT_EQ(end().exit_code, 6u);
}

}  // namespace
}  // namespace bai::step
