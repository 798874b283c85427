#include "step/nursery.h"

#include "shepherd_fixture.h"

namespace bai::step {
namespace {

class StepNursery : public ShepherdTest {
 protected:
  void SetUp() override {
    ShepherdTest::SetUp();
    ASSERT_EQ(mkfifo((work_ + "/fifo").c_str(), 0666), 0);
    script("touch up; read -r line <fifo\n");
  }
  void let_go() { std::ofstream(work_ + "/fifo") << "go\n"; }
  // Our child that forks shepherds.
  static pid_t nursery() {
    for (pid_t pid : all_processes()) {
      const auto stat = process_stat(pid);
      if (stat && stat->parent == getpid() && command(pid).find(kNurseryOption) != std::string::npos)
        return pid;
    }
    return 0;
  }
  static std::string command(pid_t pid) { return slurp("/proc/" + std::to_string(pid) + "/cmdline"); }
};

TEST_F(StepNursery, ShepherdsAreOursAndCarryTheirNames) {
  start();
  ASSERT_TRUE(await_file("up"));
  const auto stat = process_stat(shepherd_.pid);
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->parent, getpid());
  EXPECT_EQ(stat->group, shepherd_.pid);
  EXPECT_NE(stat->session, getsid(0));
  const std::string words = command(shepherd_.pid);
  EXPECT_EQ(words.substr(0, words.find_last_not_of('\0') + 1), stepd_path() + '\0' + dir_);
  EXPECT_TRUE(has_environment_entry(shepherd_.pid, std::string(kMarkVariable) + "=" + launch_.mark));
  int sockets = 0;  // the one that it listens on
  for (const auto& fd :
       std::filesystem::directory_iterator("/proc/" + std::to_string(shepherd_.pid) + "/fd")) {
    const std::string target = std::filesystem::read_symlink(fd.path());
    if (std::stoi(fd.path().filename()) <= 2) {
      EXPECT_EQ(target, "/dev/null");
    }
    sockets += target.starts_with("socket:");
  }
  EXPECT_EQ(sockets, 1);
  let_go();
  EXPECT_EQ(end().reason, EndReason::kExited);
}

TEST_F(StepNursery, AnotherTakesThePlaceOfOneThatDied) {
  start();
  ASSERT_TRUE(await_file("up"));
  const pid_t first = nursery();
  ASSERT_GT(first, 0);
  kill(first, SIGKILL);
  ASSERT_TRUE(eventually([&] { return process_stat(first)->state == 'Z'; }));
  auto late = nursery_->spawn(dir_, launch_.mark);  // refuses the second start
  ASSERT_TRUE(late.ok()) << late.error().text();
  int exit = 0;
  waitpid(late->pid, &exit, 0);
  EXPECT_EQ(WEXITSTATUS(exit), 1);
  EXPECT_NE(nursery(), first);
  let_go();
  EXPECT_EQ(end().reason, EndReason::kExited);
}

TEST_F(StepNursery, OneThatDoesNotAnswerIsGivenUp) {
  Nursery silent("/bin/cat", 1000);
  auto failed = silent.spawn(dir_, launch_.mark);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, "spawn_failed");
  Nursery absent(root_ + "/nowhere", 1000);
  EXPECT_EQ(absent.spawn(dir_, launch_.mark).error().code, "spawn_failed");
  EXPECT_EQ(nursery_->spawn(dir_ + std::string(1000, 'x'), launch_.mark).error().code, "spawn_failed");
  EXPECT_EQ(nursery_->spawn(dir_, "short").error().code, "spawn_failed");
}

// With an agent that lives, the end is left to it; without one the shepherd makes it durable.
TEST_F(StepNursery, ShepherdsOutliveTheirAgentAndSaveTheEnd) {
  launch_.end_file = root_ + "/end";
  start();
  ASSERT_TRUE(await_file("up"));
  let_go();
  EXPECT_EQ(end().reason, EndReason::kExited);
  EXPECT_FALSE(load_status(launch_.end_file).ok());

  dir_ = root_ + "/second";
  ASSERT_EQ(mkdir(dir_.c_str(), 0711), 0);
  unlink((work_ + "/up").c_str());
  ASSERT_TRUE(write_launch(env_, dir_, launch_).ok());
  const pid_t agent = fork();
  if (agent == 0) {
    Nursery nursery(stepd_path(), 1000);
    _exit(nursery.spawn(dir_, launch_.mark).ok() ? 0 : 1);
  }
  int exit = 0;
  waitpid(agent, &exit, 0);
  ASSERT_EQ(exit, 0);
  ASSERT_TRUE(await_file("up"));
  let_go();
  ASSERT_TRUE(eventually([&] { return read_status(dir_).ok(); }));
  auto saved = load_status(launch_.end_file);
  ASSERT_TRUE(saved.ok());
  EXPECT_EQ(*saved, *read_status(dir_));
  ASSERT_TRUE(eventually([&] { return !shepherd_alive(*read_started(dir_)); }));
}

}  // namespace
}  // namespace bai::step
