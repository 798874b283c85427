#include "step/shepherd.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include "shepherd_fixture.h"
#include "step/protocol.h"
#include "step/script_file.h"

namespace bai::step {
namespace {

TEST_F(ShepherdTest, ReportsTheExitCode) {
  script("echo hello; echo oops >&2; exit 3\n");
  const StepStatus status = run();
  EXPECT_EQ(exit_, 0);
  EXPECT_EQ(status.reason, EndReason::kExited);
  EXPECT_EQ(status.exit_code, 3u);
  EXPECT_EQ(status.signal, 0u);
  EXPECT_EQ(status.message, "");
  EXPECT_GT(status.start_us, 0);
  EXPECT_GE(status.end_us, status.start_us);
  EXPECT_GT(status.use.max_rss_kib, 0u);
  EXPECT_EQ(output(), "hello\noops\n");
}

TEST_F(ShepherdTest, ReportsTheSignal) {
  script("kill -SEGV $$\n");
  const StepStatus status = run();
  EXPECT_EQ(status.reason, EndReason::kSignalled);
  EXPECT_EQ(status.signal, static_cast<uint32_t>(SIGSEGV));
  EXPECT_EQ(status.exit_code, 0u);
}

TEST_F(ShepherdTest, GivesArgumentsEnvironmentAndNothingElse) {
  launch_.argv = {"job.sh", "a b", "", "c"};
  launch_.env.push_back("GREETING=hello\nworld");
  launch_.umask = 027;
  script(
      "printf '[%s]' \"$0\" \"$@\"; echo; echo \"$GREETING\"; echo $BAI_STEP_MARK; umask; pwd; ls "
      "/proc/self/fd | tr '\\n' ' '\n"
      "echo; env | cut -d= -f1 | sort | tr '\\n' ' '\n");
  run();
  EXPECT_EQ(output(), "[" + dir_ + "/script][a b][][c]\nhello\nworld\n" + launch_.mark + "\n0027\n" + work_ +
                          "\n0 1 2 3 \nBAI_STEP_MARK GREETING HOME PATH PWD SHLVL _ world ");
}

TEST_F(ShepherdTest, LeadsASessionWithDefaultSignals) {
  script("cut -d' ' -f6 /proc/$$/stat; echo $$; grep -E 'SigBlk|SigIgn' /proc/self/status\n");
  run();
  const std::string text = output();
  const std::string sid = text.substr(0, text.find('\n'));
  EXPECT_EQ(text, sid + "\n" + sid + "\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_F(ShepherdTest, RunsACommandFoundInThePath) {
  launch_.script.clear();
  launch_.argv = {"expr", "20", "+", "3"};
  EXPECT_EQ(run().exit_code, 0u);
  EXPECT_EQ(output(), "23\n");
}

TEST_F(ShepherdTest, ReadsStandardInput) {
  script("cat; echo end\n");
  run();
  EXPECT_EQ(output(), "end\n");  // /dev/null
}

TEST_F(ShepherdTest, ReadsStandardInputFromAFile) {
  std::ofstream(work_ + "/in") << "some text\n";
  launch_.stdin_path = "in";
  script("cat\n");
  run();
  EXPECT_EQ(output(), "some text\n");
}

TEST_F(ShepherdTest, TruncatesOrAppends) {
  std::ofstream(work_ + "/out") << "before\n";
  launch_.open_mode = OpenMode::kAppend;
  script("echo after\n");
  run();
  EXPECT_EQ(output(), "before\nafter\n");
}

TEST_F(ShepherdTest, TruncatesByDefaultAndKeepsTheStreamsApart) {
  std::ofstream(work_ + "/out") << "before and much more\n";
  launch_.stderr_path = work_ + "/err";
  script("echo after; echo wrong >&2\n");
  run();
  EXPECT_EQ(output(), "after\n");
  EXPECT_EQ(slurp(work_ + "/err"), "wrong\n");
}

TEST_F(ShepherdTest, SaysThatTheWorkingDirectoryIsMissing) {
  launch_.workdir = root_ + "/gone";
  script("true\n");
  const StepStatus status = run();
  EXPECT_EQ(status.reason, EndReason::kLaunchFailed);
  EXPECT_EQ(status.message, "working directory " + root_ + "/gone does not exist");
  EXPECT_EQ(status.start_us, 0);
  EXPECT_EQ(status.exit_code, 1u);
}

TEST_F(ShepherdTest, SaysThatTheOutputDirectoryIsMissing) {
  launch_.stdout_path = launch_.stderr_path = root_ + "/no/out";
  script("true\n");
  const StepStatus status = run();
  EXPECT_EQ(status.reason, EndReason::kLaunchFailed);
  EXPECT_EQ(status.message,
            "cannot open output file " + root_ + "/no/out: directory " + root_ + "/no does not exist");
}

TEST_F(ShepherdTest, SaysThatTheInputFileIsMissing) {
  launch_.stdin_path = "in";
  script("true\n");
  EXPECT_EQ(run().message, "cannot open input file " + work_ + "/in: it does not exist");
}

TEST_F(ShepherdTest, SaysThatTheInterpreterIsMissing) {
  launch_.script = "#!/bin/nosuch -x\necho\n";
  EXPECT_EQ(run().message, "interpreter /bin/nosuch of the script does not exist");
}

TEST_F(ShepherdTest, SaysThatTheScriptHasDosLineEnds) {
  launch_.script = "#!/bin/bash\r\necho\r\n";
  EXPECT_EQ(run().message, "the script has DOS line ends: its interpreter would be /bin/bash\\r");
}

TEST_F(ShepherdTest, SaysThatTheScriptHasNoInterpreterLine) {
  launch_.script = "echo hello\n";
  EXPECT_EQ(run().message, "the script does not begin with #! and the path of an interpreter");
}

TEST_F(ShepherdTest, RefusesRootWithoutPermission) {
  if (getuid() != 0) GTEST_SKIP() << "needs root";
  launch_.as_root = false;
  script("true\n");
  const StepStatus status = run();
  EXPECT_EQ(status.reason, EndReason::kLaunchFailed);
  EXPECT_EQ(status.message, "this node does not run jobs of root");
}

TEST_F(ShepherdTest, BecomesTheUser) {
  if (getuid() != 0) GTEST_SKIP() << "needs root";
  launch_.uid = 65534;
  launch_.gid = 65533;
  launch_.groups = {65533, 12345};
  launch_.as_root = false;
  script("id -u; id -g; id -G; stat -c %u:%g out; grep -E '^(Uid|CapEff)' /proc/self/status\n");
  EXPECT_EQ(run().exit_code, 0u);
  EXPECT_EQ(output(),
            "65534\n65533\n65533 "
            "12345\n65534:65533\nUid:\t65534\t65534\t65534\t65534\nCapEff:\t0000000000000000\n");
}

// Its room is all jobs'.
TEST_F(ShepherdTest, TheScriptIsTheUsersToReadAndRunOnly) {
  if (getuid() != 0) GTEST_SKIP() << "needs root";
  const std::string acl = acl_for(65534);
  if (setxattr(dir_.c_str(), "system.posix_acl_access", acl.data(), acl.size(), 0) != 0)
    GTEST_SKIP() << "no access control lists here";
  ASSERT_EQ(removexattr(dir_.c_str(), "system.posix_acl_access"), 0);
  chmod(dir_.c_str(), 0711);
  launch_.uid = launch_.gid = 65534;
  launch_.groups = {65534};
  script(
      "exec 2>/dev/null; stat -c %u $0; head -c 2 $0; echo; echo more >>$0 && echo written; chmod 777 $0 && "
      "echo changed\n"
      "touch up; until [ -e go ]; do sleep 0.01; done\n");
  start();
  ASSERT_TRUE(await_file("up"));
  const pid_t other = fork();
  if (other == 0) {
    if (setresgid(65533, 65533, 65533) != 0 || setresuid(65533, 65533, 65533) != 0) _exit(2);
    _exit(access((dir_ + "/script").c_str(), R_OK) == 0 ? 1 : errno == EACCES ? 0 : 3);
  }
  int status = -1;
  waitpid(other, &status, 0);
  EXPECT_EQ(status, 0);
  std::ofstream(work_ + "/go") << "\n";
  EXPECT_EQ(end().exit_code, 0u);
  EXPECT_EQ(output(), "0\n#!\n");
}

TEST_F(ShepherdTest, OpensFilesAsTheUser) {
  if (getuid() != 0) GTEST_SKIP() << "needs root";
  launch_.uid = launch_.gid = 65534;
  chmod(work_.c_str(), 0755);
  script("true\n");
  EXPECT_EQ(run().message, "cannot open output file " + work_ + "/out: Permission denied");
}

TEST_F(ShepherdTest, EntersTheWorkingDirectoryAsTheUser) {
  if (getuid() != 0) GTEST_SKIP() << "needs root";
  launch_.uid = launch_.gid = 65534;
  chmod(work_.c_str(), 0700);
  script("true\n");
  EXPECT_EQ(run().message, "cannot enter working directory " + work_ + ": Permission denied");
}

TEST_F(ShepherdTest, RefusesASecondStart) {
  script("echo once >>runs\n");
  run();
  start();
  end();
  EXPECT_NE(exit_, 0);
  EXPECT_EQ(slurp(work_ + "/runs"), "once\n");
  EXPECT_NE(slurp(dir_ + "/stepd.log").find("started already"), std::string::npos);
}

TEST_F(ShepherdTest, DoesNotStartWhereItWasForbidden) {
  script("echo once >>runs\n");
  auto forbidden = forbid_start(dir_);
  ASSERT_TRUE(forbidden.ok());
  EXPECT_TRUE(*forbidden);
  start();
  pollfd p{shepherd_.pidfd.get(), POLLIN, 0};
  ASSERT_EQ(poll(&p, 1, kPatienceMs), 1);
  waitpid(shepherd_.pid, &exit_, 0);
  reaped_ = true;
  EXPECT_NE(exit_, 0);
  EXPECT_FALSE(read_status(dir_).ok());
  EXPECT_EQ(slurp(work_ + "/runs"), "");
}

TEST_F(ShepherdTest, LeavesItsMarksInStarted) {
  script("touch up; read -r line <fifo\n");
  ASSERT_EQ(mkfifo((work_ + "/fifo").c_str(), 0666), 0);
  start();
  ASSERT_TRUE(await_file("up"));
  auto started = read_started(dir_);
  ASSERT_TRUE(started.ok());
  EXPECT_EQ(started->pid, shepherd_.pid);
  EXPECT_EQ(started->boot_id, boot_id());
  EXPECT_TRUE(shepherd_alive(*started));
  auto stat = process_stat(started->script_pid);
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->parent, shepherd_.pid);
  auto forbidden = forbid_start(dir_);
  ASSERT_TRUE(forbidden.ok());
  EXPECT_FALSE(*forbidden);
  std::ofstream(work_ + "/fifo") << "go\n";
  EXPECT_EQ(end().reason, EndReason::kExited);
  EXPECT_FALSE(shepherd_alive(*started));
}

TEST_F(ShepherdTest, WorksInADirectoryWithALongName) {
  std::string deep = root_;
  for (int i = 0; i < 4; ++i) {
    deep += "/" + std::string(60, 'x');
    ASSERT_EQ(mkdir(deep.c_str(), 0711), 0);
  }
  dir_ = deep;
  script("sleep 1000\n");
  start();
  StepClient client = connect();
  ASSERT_TRUE(client.send(KillRequest{}).ok());
  EXPECT_EQ(end().reason, EndReason::kCancelled);
}

}  // namespace
}  // namespace bai::step
