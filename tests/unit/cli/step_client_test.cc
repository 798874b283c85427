#include "cli/step_client.h"

#include <fcntl.h>

#include <algorithm>
#include <set>

#include "../step/shepherd_fixture.h"
#include "../step/stream_client.h"

namespace bai::cli {
namespace {

// Shepherds of one step on nodes n1, n2..., and a client of it in a process of its own, whose words and exit status are the result.
class StepClientTest : public step::ShepherdTest {
 protected:
  struct Said {
    std::string out, err;
    int code = -1;
  };

  void SetUp() override {
    step::ShepherdTest::SetUp();
    layout_ = {};
    layout_.job = 7;
    dialect_.program = "srun";
  }
  void TearDown() override {
    for (auto& node : others_) {
      kill(node.shepherd.pid, SIGKILL);
      waitpid(node.shepherd.pid, nullptr, 0);
      EXPECT_TRUE(step::kill_step_remains(node.dir, node.launch).ok());
    }
    others_.clear();
    step::ShepherdTest::TearDown();
  }
  // For the next step of a test.
  void again() {
    end();
    TearDown();
    launch_ = {};
    SetUp();
  }

  // As many tasks on each node.
  void layout(std::size_t nodes, std::uint32_t tasks_each) {
    std::uint32_t rank = 0;
    for (std::size_t n = 0; n < nodes; ++n) {
      layout_.nodes.push_back("n" + std::to_string(n + 1));
      layout_.ranks.emplace_back();
      for (std::uint32_t i = 0; i < tasks_each; ++i) layout_.ranks.back().push_back(rank++);
    }
  }

  // Starts the shepherds and the client.
  void begin(const std::string& lines) {
    StepClient* client = new StepClient(options_, reporter_);  // lives in the child
    ASSERT_TRUE(client->listen({"127.0.0.1"}).ok());
    for (std::size_t n = 0; n < layout_.nodes.size(); ++n) launch_node(n, lines, *client);
    auto out = make_pipe(), err = make_pipe(), in = make_pipe();
    ASSERT_TRUE(out.ok() && err.ok() && in.ok());
    pid_ = fork();
    if (pid_ == 0) {
      dup2(in->read.get(), 0);
      dup2(out->write.get(), 1);
      dup2(err->write.get(), 2);
      for (Fd* ours : {&in->write, &out->read, &err->read}) ours->reset();
      if (watched_ >= 0)
        client->watch(watched_, POLLIN, [&](short) {
          client->watch(-1, 0, {});
          client->node_lost(0, "Node failure on n1");
        });
      if (auto begun = client->begin(layout_); !begun.ok()) _exit(reporter_.refused(begun.error()));
      _exit(client->run());
    }
    delete client;
    out_ = std::move(out->read);
    err_ = std::move(err->read);
    stdin_ = std::move(in->write);
  }
  Said finish() {
    Said said;
    stdin_.reset();
    auto out = std::thread([&] { said.out = read_all(out_.get(), 1 << 26).value(); });
    said.err = read_all(err_.get(), 1 << 26).value();
    out.join();
    int status = 0;
    waitpid(pid_, &status, 0);
    said.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    return said;
  }
  Said run(const std::string& lines) {
    begin(lines);
    return finish();
  }
  // What the client says first on a stream.
  std::string first_line(const Fd& fd) {
    std::string line;
    char c;
    while (read(fd.get(), &c, 1) == 1) {
      line += c;
      if (c == '\n') break;
    }
    return line;
  }

  StepClientOptions options_;
  StepLayout layout_;
  Dialect dialect_ = Dialect::of("squeue");
  Reporter reporter_{dialect_};
  Fd stdin_, out_, err_;
  pid_t pid_ = 0;
  int watched_ = -1;      // something to read loses n1
  bool pmi_ = false;      // the tasks are ranks
  bool refused_ = false;  // the launch on the last node

 private:
  struct OtherNode {
    std::string dir;
    step::StepLaunch launch;
    step::SpawnedShepherd shepherd;
  };
  void launch_node(std::size_t n, const std::string& lines, const StepClient& client) {
    step::StepLaunch launch = launch_;
    launch.tasks.clear();
    launch.step = "0";
    launch.node = layout_.nodes[n];
    launch.argv = {"sh", "-c", lines};
    for (std::uint32_t rank : layout_.ranks[n]) {
      launch.tasks.emplace_back();
      launch.tasks.back().rank = rank;
      launch.tasks.back().env = {"RANK=" + std::to_string(rank)};
    }
    launch.streams.clients = client.endpoints();
    launch.streams.key = client.key();
    launch.streams.node_index = static_cast<std::uint32_t>(n);
    launch.streams.node_count = static_cast<std::uint32_t>(layout_.nodes.size());
    launch.streams.task_count = layout_.task_count();
    launch.streams.pty = options_.pty;
    launch.streams.speaker = "slurmstepd";
    if (pmi_) {
      launch.streams.mpi = step::MpiKind::kPmi1;
      launch.streams.node_names = layout_.nodes;
      launch.streams.rank_nodes.clear();
      for (std::size_t i = 0; i < layout_.nodes.size(); ++i)
        launch.streams.rank_nodes.insert(launch.streams.rank_nodes.end(), layout_.ranks[i].size(),
                                         static_cast<std::uint32_t>(i));
      if (n > 0) launch.streams.parent_addresses = {"127.0.0.1"};
    }
    if (refused_ && n + 1 == layout_.nodes.size()) {
      launch.uid = getuid() == 0 ? 0 : getuid() + 1;
      launch.as_root = false;
    }
    if (n == 0) {
      launch_ = launch;
      return start();
    }
    OtherNode node{dir_ + std::to_string(n), launch, {}};
    ASSERT_EQ(mkdir(node.dir.c_str(), 0711), 0);
    node.launch.mark = std::string(32, static_cast<char>('a' + n));
    ASSERT_TRUE(step::write_launch(env_, node.dir, node.launch).ok());
    auto spawned = nursery_->spawn(node.dir, node.launch.mark);
    ASSERT_TRUE(spawned.ok());
    node.shepherd = std::move(*spawned);
    others_.push_back(std::move(node));
  }
  std::vector<OtherNode> others_;
};

// Ranks that speak PMI-1: `say LINE` gives the answer in $answer.
std::string ranks(const std::string& lines) {
  return "exec bash -c 'say() { echo \"$1\" >&$PMI_FD; read -r -u $PMI_FD answer; }; "
         "say \"cmd=init pmi_version=1 pmi_subversion=1\"; " +
         lines + "'";
}

TEST_F(StepClientTest, RanksOnSeveralNodesMeet) {
  layout(3, 2);
  pmi_ = true;
  const Said said =
      run(ranks("say \"cmd=put kvsname=$PMI_JOBID key=k$RANK value=v$RANK\"; say cmd=barrier_in; "
                "for r in 0 1 2 3 4 5; do say \"cmd=get kvsname=$PMI_JOBID key=k$r\"; echo -n \" "
                "${answer##*=}\"; done; "
                "echo; say cmd=finalize"));
  std::string all;
  for (int i = 0; i < 6; ++i) all += " v0 v1 v2 v3 v4 v5\n";
  EXPECT_EQ(said.out, all);
  EXPECT_EQ(said.err, "");
  EXPECT_EQ(said.code, 0);
}

TEST_F(StepClientTest, TheCodeOfAnAbortIsTheExitCode) {
  for (const std::size_t nodes : {1u, 3u}) {
    if (nodes > 1) again();
    layout(nodes, 2);
    pmi_ = true;
    const Said said =
        run(ranks("if [ $RANK = 1 ]; then echo cmd=abort exitcode=3 >&$PMI_FD; exit 9; fi; sleep 1000"));
    EXPECT_EQ(said.code, 3);
    EXPECT_NE(said.err.find("srun: error: n1: task 1 called MPI_Abort(3)\n"), said.err.npos) << said.err;
    const step::StepStatus status = end();
    EXPECT_EQ(status.reason, step::EndReason::kExited);
    EXPECT_EQ(status.exit_code, 3u);
    EXPECT_EQ(status.signal, 0u);
  }
}

TEST_F(StepClientTest, ARankThatGoesWithoutAFarewellEndsTheStep) {
  layout(3, 1);
  pmi_ = true;
  const Said said = run(ranks("[ $RANK = 2 ] && exit 0; sleep 1000"));
  EXPECT_EQ(said.code, 128 + SIGTERM);
  EXPECT_NE(said.err.find("srun: error: n3: task 2 ended without MPI_Finalize\n"), said.err.npos) << said.err;
}

TEST_F(StepClientTest, ATaskThatIsNoRankMayGo) {
  layout(2, 1);
  pmi_ = true;
  const Said said = run("[ $RANK = 1 ] && exit 0; sleep 0.1; echo on");
  EXPECT_EQ(said.code, 0);
  EXPECT_EQ(said.out, "on\n");
}

TEST_F(StepClientTest, ALaunchThatFailsOnOneNodeEndsTheStepOnAll) {
  layout(2, 1);
  refused_ = true;
  const Said said = run("sleep 1000");
  EXPECT_EQ(said.code, 128 + SIGKILL);
  EXPECT_NE(said.err.find("srun: error: n2: "), said.err.npos) << said.err;
  EXPECT_NE(said.err.find("srun: Job step aborted: "), said.err.npos) << said.err;
}

TEST_F(StepClientTest, CopiesBothStreamsAndReturnsTheExitCode) {
  layout(1, 1);
  const Said said = run("echo out; echo err >&2; exit 3");
  EXPECT_EQ(said.out, "out\n");
  EXPECT_EQ(said.err, "err\nsrun: error: n1: task 0: Exited with exit code 3\n");
  EXPECT_EQ(said.code, 3);
}

TEST_F(StepClientTest, LabelsLinesAndJoinsWhatIsAlike) {
  layout(2, 6);
  options_.output.label = true;
  const Said said = run("printf \"$RANK\\nend\"; exit 2");
  for (int rank = 0; rank < 12; ++rank) {
    const std::string label = (rank < 10 ? " " : "") + std::to_string(rank) + ": ";
    EXPECT_NE(said.out.find(label + std::to_string(rank) + "\n"), said.out.npos) << said.out;
    EXPECT_NE(said.out.find(label + "end\n"), said.out.npos) << said.out;
  }
  EXPECT_EQ(said.code, 2);
  EXPECT_NE(said.err.find("srun: error: n2: task"), said.err.npos) << said.err;
}

TEST_F(StepClientTest, ASignalIsAddedTo128) {
  layout(1, 2);
  const Said said = run("if [ $RANK = 1 ]; then kill -KILL $$; fi; exit 200");
  EXPECT_EQ(said.code, 128 + SIGKILL);
  EXPECT_NE(said.err.find("srun: error: n1: task 1: Killed\n"), said.err.npos) << said.err;
  EXPECT_NE(said.err.find("srun: error: n1: task 0: Exited with exit code 200\n"), said.err.npos) << said.err;
  EXPECT_TRUE(said.err.ends_with("srun: Force Terminated StepId=7.0\n")) << said.err;
}

TEST_F(StepClientTest, InputGoesToAllToOneToNoneOrComesFromAFile) {
  const std::string file = "/tmp/bai-step-input-" + std::to_string(getpid());
  std::ofstream(file) << "filed\n";
  const std::pair<std::string, std::string> cases[] = {{"", "0 typed\n1 typed\n2 typed\n3 typed\n"},
                                                       {"2", "2 typed\n"},
                                                       {"none", ""},
                                                       {file, "0 filed\n1 filed\n2 filed\n3 filed\n"}};
  for (const auto& [word, expected] : cases) {
    layout(2, 2);
    options_.input = word;
    begin("sed \"s/^/$RANK /\"");
    EXPECT_TRUE(write_all(stdin_.get(), "typed\n").ok());
    const Said said = finish();
    std::multiset<std::string> lines;
    std::stringstream text(said.out);
    for (std::string line; std::getline(text, line);) lines.insert(line + "\n");
    std::string sorted;
    for (const auto& line : lines) sorted += line;
    EXPECT_EQ(sorted, expected) << word;
    EXPECT_EQ(said.code, 0);
    again();
  }
  unlink(file.c_str());
}

TEST_F(StepClientTest, OutputGoesToOneTasksOrIntoFiles) {
  layout(2, 2);
  options_.output.output = "1";
  EXPECT_EQ(run("echo $RANK; echo e$RANK >&2").out, "1\n");
  again();
  layout(2, 2);
  options_.output.output = work_ + "/%j.%J.%N.%n.%2t";
  options_.output.error = "none";
  const Said said = run("echo $RANK; echo e$RANK >&2");
  EXPECT_EQ(said.out + said.err, "");
  EXPECT_EQ(step::slurp(work_ + "/7.7.0.n1.0.00"), "0\n");
  EXPECT_EQ(step::slurp(work_ + "/7.7.0.n2.1.03"), "3\n");
  again();
  layout(1, 3);
  options_.output.output = work_ + "/all";
  options_.output.error = "";
  EXPECT_EQ(run("echo line; echo line >&2").code, 0);
  EXPECT_EQ(step::slurp(work_ + "/all"), "line\nline\nline\nline\nline\nline\n");
  again();
  layout(1, 1);
  options_.output.output = "/nosuch/file";
  const Said failed = run("exit 0");
  EXPECT_EQ(failed.err, "srun: error: Could not open stdout file: No such file or directory\n");
  EXPECT_EQ(failed.code, 1);
}

TEST_F(StepClientTest, InterruptedOnceItTellsTwiceItPassesItOn) {
  layout(2, 1);
  begin("trap 'exit 5' INT; echo ready; while :; do sleep 0.01; done");
  EXPECT_EQ(first_line(out_), "ready\n");
  EXPECT_EQ(first_line(out_), "ready\n");
  kill(pid_, SIGINT);
  EXPECT_EQ(first_line(err_), "srun: interrupt (one more within 1 sec to abort)\n");
  EXPECT_EQ(first_line(err_), "srun: StepId=7.0 tasks 0-1: running\n");
  kill(pid_, SIGINT);
  const Said said = finish();
  EXPECT_TRUE(said.err.starts_with("srun: sending Ctrl-C to StepId=7.0\n")) << said.err;
  EXPECT_EQ(said.code, 5);
}

TEST_F(StepClientTest, TerminatedItEndsTheStep) {
  layout(2, 1);
  options_.kill_wait_s = 5;
  begin("trap '' TERM INT; echo ready; sleep 1000; sleep 1000");
  first_line(out_);
  first_line(out_);
  kill(pid_, SIGTERM);
  const Said said = finish();
  EXPECT_TRUE(
      said.err.starts_with("srun: forcing job termination\n"
                           "srun: Job step aborted: Waiting up to 7 seconds for job step to finish.\n"))
      << said.err;
  EXPECT_EQ(said.code, 128 + SIGKILL);
}

TEST_F(StepClientTest, OtherSignalsGoToTheTasks) {
  layout(2, 1);
  begin("trap 'exit 4' USR1; echo ready; while :; do sleep 0.01; done");
  first_line(out_);
  first_line(out_);
  kill(pid_, SIGUSR1);
  EXPECT_EQ(finish().code, 4);
}

TEST_F(StepClientTest, ABadExitEndsTheOthersWhenAsked) {
  layout(2, 1);
  options_.kill_on_bad_exit = true;
  const Said said = run("if [ $RANK = 1 ]; then exit 5; fi; sleep 1000");
  EXPECT_EQ(said.err.substr(0, said.err.find("n1")),
            "srun: error: n2: task 1: Exited with exit code 5\n"
            "srun: launch/slurm: _step_signal: Terminating StepId=7.0\n"
            "slurmstepd: error: *** STEP 7.0 ON ");
  EXPECT_EQ(said.code, 128 + SIGTERM);
}

TEST_F(StepClientTest, WaitsForTheOtherTasksOnlySoLong) {
  layout(2, 1);
  options_.wait_s = 1;
  const Said said = run("if [ $RANK = 1 ]; then exit 0; fi; sleep 1000");
  EXPECT_TRUE(
      said.err.starts_with("srun: First task exited 1s ago\n"
                           "srun: StepId=7.0 task 0: running\n"
                           "srun: StepId=7.0 task 1: exited\n"
                           "srun: launch/slurm: _step_signal: Terminating StepId=7.0\n"
                           "srun: Job step aborted: Waiting up to 32 seconds for job step to finish.\n"))
      << said.err;
  EXPECT_EQ(said.code, 128 + SIGKILL);
}

TEST_F(StepClientTest, EndsTheStepWhenNobodyReadsTheOutput) {
  layout(1, 1);
  begin("yes");
  first_line(out_);
  out_.reset();
  out_.reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(finish().code, 128 + SIGKILL);
}

TEST_F(StepClientTest, AReaderThatIsSlowLosesNothing) {
  layout(1, 2);
  begin("seq 300000");
  first_line(out_);  // and then not for a while: until the tasks stand still
  EXPECT_TRUE(step::eventually([&] {
    const auto pids = step::descendants(shepherd_.pid);
    return !pids.empty() && std::all_of(pids.begin(), pids.end(), [](pid_t pid) {
      auto stat = step::process_stat(pid);
      return stat && stat->state == 'S';
    });
  }));
  const Said said = finish();
  EXPECT_EQ(std::count(said.out.begin(), said.out.end(), '\n'), 599'999);
  EXPECT_EQ(said.code, 0);
}

TEST_F(StepClientTest, ANodeThatIsLostEndsThere) {
  layout(2, 1);
  auto news = make_pipe();
  ASSERT_TRUE(news.ok());
  watched_ = news->read.get();
  begin("echo ready; if [ $RANK = 0 ]; then sleep 1000; fi");
  first_line(out_);
  first_line(out_);
  ASSERT_TRUE(write_all(news->write.get(), "x").ok());
  const Said said = finish();
  EXPECT_NE(said.err.find("srun: error: Node failure on n1\n"), said.err.npos) << said.err;
  EXPECT_EQ(said.code, 1);
}

TEST(StepTarget, ReadsSrunsWords) {
  using Kind = StepTarget::Kind;
  EXPECT_EQ(parse_step_target("", 4).kind, Kind::all);
  EXPECT_EQ(parse_step_target("all", 4).kind, Kind::all);
  EXPECT_EQ(parse_step_target("none", 4).kind, Kind::none);
  EXPECT_EQ(parse_step_target("3", 4), (StepTarget{Kind::one, 3, {}}));
  EXPECT_EQ(parse_step_target("4", 4), (StepTarget{Kind::file, 0, "4"}));
  EXPECT_EQ(parse_step_target("3x", 4), (StepTarget{Kind::file, 0, "3x"}));
}

}  // namespace
}  // namespace bai::cli
