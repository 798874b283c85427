#include "step/streams.h"

#include <sys/wait.h>

#include "shepherd_fixture.h"
#include "step/stream_socket.h"
#include "stream_client.h"

namespace bai::step {
namespace {

// A step of tasks that run a shell's lines, and its client.
class StreamsTest : public ShepherdTest {
 protected:
  void tasks(uint32_t count, const std::string& lines) {
    launch_.step = "0";
    launch_.argv = {"sh", "-c", lines};
    for (uint32_t rank = 0; rank < count; ++rank) {
      launch_.tasks.emplace_back();
      launch_.tasks.back().rank = launch_.tasks.back().local_id = rank;
      launch_.tasks.back().env = {"RANK=" + std::to_string(rank)};
    }
    launch_.streams.task_count = count;
    launch_.streams.clients = {client_.endpoint};
    launch_.streams.key = client_.key;
  }
  StepStatus run_step() {
    start();
    EXPECT_TRUE(client_.until_end());
    return end();
  }

  StreamClient client_;
};

TEST_F(StreamsTest, BringsWhatATaskWritesAndHowItEnded) {
  tasks(1, "echo out; echo err >&2; exit 3");
  const StepStatus status = run_step();
  EXPECT_EQ(client_.out(0), "out\n");
  EXPECT_EQ(client_.err(0), "err\n");
  EXPECT_EQ(client_.exits[0], 3 << 8);
  EXPECT_EQ(client_.end->exit_code, 3u);
  EXPECT_EQ(status.exit_code, 3u);
  EXPECT_EQ(status.reason, EndReason::kExited);
  EXPECT_EQ(client_.started->ranks, std::vector<uint32_t>{0});
  EXPECT_EQ(client_.ended_streams.size(), 2u);
}

TEST_F(StreamsTest, RunsSixtyFourTasks) {
  tasks(64, "read line; echo $RANK $line");
  start();
  client_.send(FrameType::kInput, 0, kAllTasks, "hello\n");
  ASSERT_TRUE(client_.until_end());
  for (uint32_t rank = 0; rank < 64; ++rank) {
    EXPECT_EQ(client_.out(rank), std::to_string(rank) + " hello\n");
    EXPECT_EQ(client_.exits[rank], 0);
  }
  EXPECT_EQ(client_.credit, 6u);
  end();
}

TEST_F(StreamsTest, ASignalOutweighsExitCodesAndTheHighestCounts) {
  tasks(4, "case $RANK in 0) exit 200;; 1) kill -KILL $$;; 2) kill -TERM $$;; esac");
  const StepStatus status = run_step();
  EXPECT_EQ(status.reason, EndReason::kSignalled);
  EXPECT_EQ(status.signal, static_cast<uint32_t>(SIGTERM));
  EXPECT_EQ(WEXITSTATUS(client_.exits[0]), 200);
  EXPECT_EQ(WTERMSIG(client_.exits[1]), SIGKILL);
  EXPECT_EQ(client_.exits[3], 0);
}

TEST_F(StreamsTest, TasksHaveTheirOwnEnvironmentArgumentsAndCpus) {
  tasks(2, "echo $A $B; taskset -p $$ | sed 's/.*: //'");
  launch_.env.push_back("A=of the launch");
  launch_.env.push_back("B=too");
  launch_.tasks[0].env = {"A=mine"};
  launch_.tasks[0].cpu_mask = std::string("\x01", 1);
  launch_.tasks[1].argv = {"echo", "other", "words"};
  run_step();
  EXPECT_EQ(client_.out(0), "mine too\n1\n");
  EXPECT_EQ(client_.out(1), "other words\n");
}

TEST_F(StreamsTest, SaysWhatCannotBeRunAsSrunDoes) {
  tasks(1, "");
  launch_.argv = {"nosuch"};
  launch_.streams.speaker = "slurmstepd";
  EXPECT_EQ(run_step().exit_code, 2u);
  EXPECT_EQ(client_.err(0), "slurmstepd: error: execve(): nosuch: No such file or directory\n");
}

TEST_F(StreamsTest, GoesToTmpWhenItsDirectoryIsNotThere) {
  tasks(1, "pwd");
  launch_.workdir = "/nosuch";
  EXPECT_EQ(run_step().exit_code, 0u);
  EXPECT_EQ(client_.out(0), "/tmp\n");
  EXPECT_EQ(
      client_.err(0),
      "bai-stepd: error: couldn't chdir to `/nosuch': No such file or directory: going to /tmp instead\n");
}

TEST_F(StreamsTest, StreamsMayBeFilesOnTheNode) {
  tasks(2, "cat; echo $RANK; echo err >&2");
  std::ofstream(work_ + "/in") << "from a file\n";
  for (auto& task : launch_.tasks) {
    task.stdin_path = "in";
    task.stdout_path = task.stderr_path = "out." + std::to_string(task.rank);
  }
  run_step();
  EXPECT_EQ(slurp(work_ + "/out.0"), "from a file\n0\nerr\n");
  EXPECT_EQ(slurp(work_ + "/out.1"), "from a file\n1\nerr\n");
  EXPECT_EQ(client_.bytes, 0u);
}

TEST_F(StreamsTest, KeepsAllInOrderWhileTheClientIsSlow) {
  constexpr size_t kLines = 400'000;
  tasks(2, "seq " + std::to_string(kLines) + "; echo done >&2");
  client_.reading = false;
  start();
  ASSERT_TRUE(client_.until([&] { return client_.link.connected(); }));
  // The tasks come to a stand when all between them and us is full.
  StepClient agent = connect();
  auto state = agent.call(QueryRequest{}, kPatienceMs);
  ASSERT_TRUE(state.ok());
  const int shepherd = std::get<StateReply>(*state).shepherd_pid;
  auto state_of_tasks = [&] {
    for (pid_t pid : descendants(shepherd))
      if (process_stat(pid)->state != 'S') return false;
    return !descendants(shepherd).empty();
  };
  EXPECT_TRUE(eventually(state_of_tasks));
  std::string status = slurp("/proc/" + std::to_string(shepherd) + "/status");
  const int peak = std::stoi(status.substr(status.find("VmHWM:") + 6));
  if (!getenv("ASAN_OPTIONS") && !getenv("TSAN_OPTIONS")) {
    EXPECT_LE(peak, 4096) << "KiB";
  }
  client_.reading = true;
  ASSERT_TRUE(client_.until_end());
  std::string expected;
  for (size_t i = 1; i <= kLines; ++i) expected += std::to_string(i) + "\n";
  EXPECT_TRUE(client_.out(0) == expected);
  EXPECT_TRUE(client_.out(1) == expected);
  EXPECT_EQ(client_.err(1), "done\n");
  end();
}

TEST_F(StreamsTest, LosesNothingWhenConnectionsBreak) {
  constexpr size_t kLines = 200'000;
  std::string expected;
  for (size_t i = 1; i <= kLines; ++i) expected += std::to_string(i) + "\n";
  tasks(1, "seq " + std::to_string(kLines) + "; md5sum");
  start();
  // Both ways: stdin in pieces, each when there is credit for it.
  std::string sent;
  uint32_t used = 0;
  for (int i = 0; i < 40; ++i) {
    const uint64_t before = client_.bytes;
    ASSERT_TRUE(client_.until([&] {
      return client_.link.connected() && (client_.bytes > before || client_.bytes == expected.size());
    }));
    const std::string piece(7000, static_cast<char>('a' + i % 26));
    ASSERT_TRUE(client_.until([&] { return used + piece.size() <= kInputWindow + client_.credit; }));
    client_.send(FrameType::kInput, 0, kAllTasks, piece);
    used += static_cast<uint32_t>(piece.size());
    sent += piece;
    if (i % 3 == 0) client_.turn(0);
    client_.link.disconnect();
  }
  client_.send(FrameType::kInputEnd, 0, kAllTasks, {});
  ASSERT_TRUE(client_.until_end());
  EXPECT_GE(client_.connections, 40);
  std::ofstream(work_ + "/sent") << sent;
  const std::string sum = [&] {
    FILE* p = popen(("md5sum < " + work_ + "/sent").c_str(), "r");
    char line[64] = "";
    EXPECT_NE(fgets(line, sizeof line, p), nullptr);
    pclose(p);
    return std::string(line);
  }();
  EXPECT_TRUE(client_.out(0) == expected + sum);
  end();
}

TEST_F(StreamsTest, AClientThatDiedTakesTheStepWithIt) {
  tasks(2, "echo here; sleep 1000");
  start();
  ASSERT_TRUE(client_.until([&] { return client_.out(0) == "here\n"; }));
  client_.die();
  const StepStatus status = end();
  EXPECT_EQ(status.reason, EndReason::kCancelled);
  EXPECT_NE(status.message.find("is gone"), std::string::npos) << status.message;
}

TEST_F(StreamsTest, AClientThatDiedTakesTheStepWithItAlsoWhileItsInputIsNotRead) {
  tasks(1, "echo here; sleep 1000");
  start();
  ASSERT_TRUE(client_.until([&] { return client_.out(0) == "here\n"; }));
  client_.send(FrameType::kInput, 0, kAllTasks, std::string(kInputWindow, 'x'));  // into the pipe
  ASSERT_TRUE(client_.until([&] { return client_.credit == kInputWindow; }));
  client_.send(FrameType::kInput, 0, kAllTasks,
               std::string(kInputWindow / 2, 'x'));  // stays with the shepherd
  ASSERT_TRUE(client_.until([&] { return client_.link.flushed(); }));
  client_.die();
  EXPECT_EQ(end().reason, EndReason::kCancelled);
}

TEST_F(StreamsTest, AStepThatIsDetachedGoesOnWithoutItsClient) {
  tasks(1, "echo here; while [ ! -e go ]; do sleep 0.01; done; seq 100000; exit 4");
  launch_.streams.detach = true;
  start();
  ASSERT_TRUE(client_.until([&] { return client_.out(0) == "here\n"; }));
  client_.die();
  std::ofstream(work_ + "/go");
  EXPECT_EQ(end().exit_code, 4u);
}

TEST_F(StreamsTest, AClientThatTakesItsLeaveLeavesTheStepAlone) {
  tasks(1, "echo here; while [ ! -e go ]; do sleep 0.01; done; exit 4");
  start();
  ASSERT_TRUE(client_.until([&] { return client_.out(0) == "here\n"; }));
  client_.send(FrameType::kLeave, 0, 0, {});
  ASSERT_TRUE(client_.until([&] { return !client_.link.connected(); }));
  client_.die();
  std::ofstream(work_ + "/go");
  EXPECT_EQ(end().exit_code, 4u);
}

TEST_F(StreamsTest, WithoutAClientItSeesToBadExitsItself) {
  tasks(2, "if [ $RANK = 1 ]; then exit 5; fi; sleep 1000");
  launch_.streams.clients.clear();
  launch_.streams.kill_on_bad_exit = true;
  start();
  const StepStatus status = end();
  EXPECT_EQ(status.reason, EndReason::kCancelled);
  EXPECT_EQ(status.signal, static_cast<uint32_t>(SIGKILL));
}

TEST_F(StreamsTest, WithoutAClientItWaitsForTheOtherTasksOnlySoLong) {
  tasks(2, "if [ $RANK = 1 ]; then exit 0; fi; sleep 1000");
  launch_.streams.clients.clear();
  launch_.streams.wait_s = 1;
  start();
  EXPECT_EQ(end().signal, static_cast<uint32_t>(SIGKILL));
}

TEST_F(StreamsTest, InputGoesToOneTaskAndItsEndToo) {
  tasks(3, "cat");
  start();
  client_.send(FrameType::kInput, 0, 1, "for one\n");
  client_.send(FrameType::kInputEnd, 0, kAllTasks, {});
  ASSERT_TRUE(client_.until_end());
  EXPECT_EQ(client_.out(0), "");
  EXPECT_EQ(client_.out(1), "for one\n");
  EXPECT_EQ(client_.out(2), "");
  end();
}

TEST_F(StreamsTest, ATaskThatDoesNotReadHoldsUpNoSignal) {
  tasks(1, "trap 'echo got it; exit 9' USR1; echo ready; while :; do sleep 0.01; done");
  start();
  ASSERT_TRUE(client_.until([&] { return client_.out(0) == "ready\n"; }));
  client_.send(FrameType::kInput, 0, kAllTasks, std::string(kInputWindow, 'x'));
  // A pipe takes a part; the client may not send more until it was read.
  client_.send(FrameType::kSignal, SIGUSR1, kAllTasks, {});
  ASSERT_TRUE(client_.until_end());
  EXPECT_EQ(client_.out(0), "ready\ngot it\n");
  EXPECT_EQ(end().exit_code, 9u);
}

TEST_F(StreamsTest, WhoSendsMoreInputThanItMayIsShutOut) {
  tasks(1, "while [ ! -e go ]; do sleep 0.01; done");
  launch_.streams.detach = true;
  start();
  ASSERT_TRUE(client_.until([&] { return client_.link.connected(); }));
  for (int i = 0; i < 3; ++i) client_.send(FrameType::kInput, 0, kAllTasks, std::string(kInputWindow, 'x'));
  ASSERT_TRUE(client_.until([&] { return !client_.link.connected(); }));
  std::ofstream(work_ + "/go");
  EXPECT_EQ(end().exit_code, 0u);
}

TEST_F(StreamsTest, TheClientEndsTheStep) {
  tasks(2, "trap '' TERM; echo ready; sleep 1000; sleep 1000");
  launch_.kill_wait_s = 1;
  start();
  ASSERT_TRUE(client_.until([&] { return client_.out(0) == "ready\n" && client_.out(1) == "ready\n"; }));
  client_.send(FrameType::kTerminate, 0, kAllTasks, "because");
  ASSERT_TRUE(client_.until_end());
  const StepStatus status = end();
  EXPECT_EQ(status.reason, EndReason::kCancelled);
  EXPECT_EQ(status.message, "because");
  EXPECT_EQ(status.signal, static_cast<uint32_t>(SIGKILL));
}

TEST_F(StreamsTest, ATerminalHasASizeTakesKeysAndIsResized) {
  tasks(2, "tty -s && stty size; trap 'stty size; exit 7' WINCH; echo ready; while :; do sleep 0.01; done");
  launch_.tasks[1].argv = {"sh", "-c", "tty -s; echo no $?; cat"};
  launch_.streams.pty = true;
  launch_.streams.pty_rows = 24;
  launch_.streams.pty_columns = 80;
  start();
  ASSERT_TRUE(client_.until([&] { return client_.out(0).find("ready") != std::string::npos; }));
  EXPECT_EQ(client_.out(0), "24 80\r\nready\r\n");
  client_.send(FrameType::kInput, 0, 0, "typed\r");
  ASSERT_TRUE(client_.until([&] { return client_.out(0).find("typed") != std::string::npos; }));  // its echo
  client_.send(FrameType::kWindow, 0, 0, u32_payload({50, 132}));
  ASSERT_TRUE(client_.until_end());
  EXPECT_EQ(client_.out(0), "24 80\r\nready\r\ntyped\r\n50 132\r\n");
  EXPECT_EQ(client_.out(1), "");  // it has nothing
  EXPECT_EQ(end().exit_code, 7u);
}

TEST_F(StreamsTest, TheEndOfInputReachesWhoReadsATerminal) {
  tasks(1, "cat; echo over");
  launch_.streams.pty = true;
  start();
  client_.send(FrameType::kInput, 0, 0, "typed\n");
  client_.send(FrameType::kInputEnd, 0, 0, {});
  ASSERT_TRUE(client_.until_end());
  EXPECT_TRUE(client_.out(0).ends_with("typed\r\nover\r\n")) << client_.out(0);
  EXPECT_EQ(end().exit_code, 0u);
}

TEST_F(StreamsTest, KeysOfATerminalBecomeSignals) {
  tasks(1, "echo ready; sleep 1000");
  launch_.argv = {"bash", "-c", "echo ready; sleep 1000; echo not reached"};
  launch_.streams.pty = true;
  start();
  ASSERT_TRUE(client_.until([&] { return client_.out(0) == "ready\r\n"; }));
  client_.send(FrameType::kInput, 0, 0, "\x03");
  ASSERT_TRUE(client_.until_end());
  EXPECT_EQ(end().signal, static_cast<uint32_t>(SIGINT));
}

TEST_F(StreamsTest, UnbufferedOutputIsARawTerminal) {
  tasks(1, "test -t 1 && echo a; test -t 2 || echo b >&2; printf c");
  launch_.streams.unbuffered = true;
  run_step();
  EXPECT_EQ(client_.out(0), "a\nc");
  EXPECT_EQ(client_.err(0), "b\n");
}

TEST_F(StreamsTest, WhatTasksLeaveBehindIsEnded) {
  tasks(1, "setsid sleep 1000 & echo $!");
  EXPECT_EQ(run_step().exit_code, 0u);
  EXPECT_NE(kill(std::stoi(client_.out(0)), 0), 0);
}

TEST_F(StreamsTest, FurtherClientsGetWhatWasJustBeforeAndAllThatComes) {
  tasks(1, "echo early; read line; echo $line; exit 6");
  start();
  ASSERT_TRUE(client_.until([&] { return client_.out(0) == "early\n"; }));
  StreamClient other;
  other.key = std::string(kStreamKeyBytes, 'o');
  StepClient agent = connect();
  auto reply = agent.call(AttachRequest{{other.endpoint}, other.key, true}, kPatienceMs);
  ASSERT_TRUE(reply.ok());
  ASSERT_TRUE(std::holds_alternative<StateReply>(*reply));
  ASSERT_TRUE(other.until([&] { return other.out(0) == "early\n"; }));
  EXPECT_EQ(other.hello->kind, LinkKind::kAttached);
  EXPECT_EQ(other.started->ranks, std::vector<uint32_t>{0});
  other.send(FrameType::kInput, 0, kAllTasks, "from the other\n");
  ASSERT_TRUE(other.until([&] { return other.out(0) == "early\nfrom the other\n"; }));
  ASSERT_TRUE(client_.until_end());
  ASSERT_TRUE(other.until_end());
  EXPECT_EQ(client_.out(0), "early\nfrom the other\n");
  EXPECT_EQ(other.exits[0], 6 << 8);
  end();
}

TEST_F(StreamsTest, AFurtherClientThatMayNotWriteDoesNot) {
  tasks(1, "echo early; read line; echo $line");
  start();
  StreamClient other;
  StepClient agent = connect();
  ASSERT_TRUE(agent.call(AttachRequest{{other.endpoint}, other.key, false}, kPatienceMs).ok());
  ASSERT_TRUE(other.until([&] { return other.out(0) == "early\n"; }));
  other.send(FrameType::kInput, 0, kAllTasks, "not wanted\n");
  other.send(FrameType::kKill, 0, kAllTasks, "not wanted");
  ASSERT_TRUE(other.until([&] { return other.link.flushed(); }));
  client_.send(FrameType::kInput, 0, kAllTasks, "wanted\n");
  ASSERT_TRUE(client_.until_end());
  EXPECT_EQ(client_.out(0), "early\nwanted\n");
  // It does not read on: it is not waited for longer than kMaxStallMs, and here nothing is left for it that does not fit.
  other.die();
  EXPECT_EQ(end().exit_code, 0u);
}

TEST_F(StreamsTest, AFurtherClientThatDoesNotReadIsLetGo) {
  constexpr size_t kLines = 1'000'000;
  tasks(1, "read x; seq " + std::to_string(kLines));
  start();
  StreamClient other;
  StepClient agent = connect();
  ASSERT_TRUE(agent.call(AttachRequest{{other.endpoint}, other.key, false}, kPatienceMs).ok());
  ASSERT_TRUE(other.until([&] { return other.link.connected(); }));
  other.reading = false;
  client_.send(FrameType::kInput, 0, kAllTasks, "\n");
  ASSERT_TRUE(client_.until_end());
  EXPECT_EQ(client_.bytes, 6'888'896u);
  end();
}

TEST_F(StreamsTest, ABatchStepHasNoStreams) {
  script("sleep 1000\n");
  start();
  StepClient agent = connect();
  auto reply =
      agent.call(AttachRequest{{"127.0.0.1:1"}, std::string(kStreamKeyBytes, 'k'), false}, kPatienceMs);
  ASSERT_TRUE(reply.ok());
  ASSERT_TRUE(std::holds_alternative<RefusedReply>(*reply));
  ASSERT_TRUE(agent.call(KillRequest{}, kPatienceMs).ok());
  end();
}

TEST_F(StreamsTest, WhoHasAnotherKeyIsNotSpokenTo) {
  tasks(1, "echo secret");
  launch_.streams.key = std::string(kStreamKeyBytes, 'x');
  start();
  ASSERT_TRUE(client_.until([&] { return read_status(dir_).ok(); }));
  const StepStatus status = end();
  EXPECT_EQ(client_.connections, 0);
  EXPECT_EQ(client_.bytes, 0u);
  EXPECT_EQ(client_.refused.front(), "gone");  // the shepherd saw that the welcome was not made with its key
  EXPECT_TRUE(status.reason == EndReason::kCancelled || status.reason == EndReason::kExited);
}

TEST_F(StreamsTest, TheNextAddressIsTriedWhenOneDoesNotAnswer) {
  tasks(1, "echo hello");
  auto closed = listen_any(true);
  ASSERT_TRUE(closed.ok());
  const std::string nobody = endpoint_text("127.0.0.1", closed->port);
  closed->fd.reset();
  launch_.streams.clients = {nobody, "not an address", client_.endpoint};
  run_step();
  EXPECT_EQ(client_.out(0), "hello\n");
}

TEST_F(StreamsTest, ALaunchThatIsRefusedIsToldToTheClient) {
  tasks(1, "echo never");
  launch_.uid = getuid() == 0 ? 0 : getuid() + 1;
  launch_.as_root = false;
  const StepStatus status = run_step();
  EXPECT_EQ(status.reason, EndReason::kLaunchFailed);
  EXPECT_EQ(client_.end->reason, EndReason::kLaunchFailed);
  EXPECT_EQ(client_.end->message, status.message);
  EXPECT_EQ(client_.bytes, 0u);
}

}  // namespace
}  // namespace bai::step
