// Under Slurm's names: messages, exit statuses, orders and lenient formats, as Slurm 22.05.8 was seen to have them.
#include "cli/slurm_words.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "cli/cancel.h"
#include "cli/control.h"
#include "cli/info.h"
#include "cli/job_fields.h"
#include "cli/queue.h"
#include "cli/report.h"
#include "cli/submit.h"

namespace bai::cli {
namespace {

struct Said {
  int status = 0;
  std::string out, err;
};

// A command that gets no further than its command line: there is no cluster here.
template <class Run>
Said run(Run command, const char* name, std::vector<const char*> words) {
  words.insert(words.begin(), name);
  ::testing::internal::CaptureStderr();
  ::testing::internal::CaptureStdout();
  Said said;
  said.status = command(Dialect::of(name), static_cast<int>(words.size()), words.data());
  said.out = ::testing::internal::GetCapturedStdout();
  said.err = ::testing::internal::GetCapturedStderr();
  return said;
}

class SlurmWords : public ::testing::Test {
 protected:
  void SetUp() override {
    char dir[] = "/tmp/bai-slurm-words-XXXXXX";
    ASSERT_NE(mkdtemp(dir), nullptr);
    dir_ = dir;
    const std::string conf = dir_ + "/bai.conf";
    std::ofstream(conf)
        << "ClusterName=test\nCtldHost=localhost(127.0.0.1)\nCtldPort=1\nBaiUser=0\nNodeName=n1\n"
           "PartitionName=main Nodes=ALL Default=YES\n";
    setenv("BAI_CONF", conf.c_str(), 1);
  }
  void TearDown() override {
    unsetenv("BAI_CONF");
    unlink((dir_ + "/bai.conf").c_str());
    unlink((dir_ + "/job.sh").c_str());
    rmdir(dir_.c_str());
  }
  std::string script(const std::string& text) {
    std::string path = dir_ + "/job.sh";
    std::ofstream(path) << text;
    return path;
  }
  static Said sbatch(std::vector<const char*> words) {
    words.push_back("--wrap=true");
    return run(run_submit, "sbatch", std::move(words));
  }
  std::string dir_;
};

TEST_F(SlurmWords, options_that_are_none) {
  auto said = sbatch({"--bogus"});
  EXPECT_EQ(said.err, "sbatch: unrecognized option '--bogus'\nTry \"sbatch --help\" for more information\n");
  EXPECT_EQ(said.status, 255);
  said = run(run_queue, "squeue", {"-y"});
  EXPECT_EQ(said.err, "squeue: invalid option -- 'y'\nTry \"squeue --help\" for more information\n");
  EXPECT_EQ(said.status, 1);
  EXPECT_EQ(run(run_info, "sinfo", {"-t"}).err,
            "sinfo: option requires an argument -- 't'\nTry \"sinfo --help\" for more information\n");
  EXPECT_EQ(run(run_queue, "squeue", {"--states"}).err,
            "squeue: option '--states' requires an argument\nTry \"squeue --help\" for more information\n");
  EXPECT_EQ(run(run_info, "sinfo", {"--long=3"}).err,
            "sinfo: option '--long' doesn't allow an argument\nTry \"sinfo --help\" for more information\n");
}

TEST_F(SlurmWords, values_that_sbatch_refuses) {
  struct Case {
    const char* option;
    const char* err;
    int status;
  };
  const Case cases[] = {
      {"--time=abc", "sbatch: error: Invalid --time specification\n", 255},
      {"--mem=abc", "sbatch: error: Invalid --mem specification\n", 255},
      {"--mem-per-cpu=5X", "sbatch: error: Invalid --mem-per-cpu specification\n", 255},
      {"--signal=FOO", "sbatch: error: Invalid --signal specification\n", 255},
      {"--mail-type=FOO", "sbatch: error: Invalid --mail-type specification\n", 255},
      {"--open-mode=foo", "sbatch: error: Invalid --open-mode specification\n", 255},
      {"--exclusive=foo", "sbatch: error: Invalid --exclusive specification\n", 255},
      {"--begin=someday",
       "Invalid time specification (pos=0): someday\nsbatch: error: Invalid --begin specification\n", 255},
      {"-n0", "sbatch: error: Invalid numeric value \"0\" for --ntasks.\n", 1},
      {"-cx", "sbatch: error: Invalid numeric value \"x\" for --cpus-per-task.\n", 1},
      {"-Nabc", "sbatch: error: \"abc\" is not a valid node count\n", 255},
      {"-N1-x", "sbatch: error: \"x\" is not a valid node count\n", 255},
      {"-N2-1", "sbatch: error: Maximum node count 1 is less than minimum node count 2\n", 255},
      {"-N0", "sbatch: error: Batch job submission failed: Node count specification invalid\n", 1},
      {"-a5-1", "sbatch: error: Batch job submission failed: Invalid job array specification\n", 1},
      {"-dbogus:1", "sbatch: error: Batch job submission failed: Job dependency problem\n", 1},
      {"-wn[1-", "sbatch: error: Batch job submission failed: Invalid node name specified\n", 1},
      {"--deadline=2020-01-01",
       "sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or exceeds some "
       "limit)\n",
       1},
  };
  for (const auto& one : cases) {
    const auto said = sbatch({one.option});
    EXPECT_EQ(said.err, one.err) << one.option;
    EXPECT_EQ(said.status, one.status) << one.option;
  }
  const auto both = sbatch({"--mem=10", "--mem-per-cpu=10"});
  EXPECT_EQ(both.err, "sbatch: fatal: --mem, --mem-per-cpu, and --mem-per-gpu are mutually exclusive.\n");
  EXPECT_EQ(both.status, 1);
}

TEST_F(SlurmWords, scripts_that_sbatch_refuses) {
  auto submit = [](const std::string& path) { return run(run_submit, "sbatch", {path.c_str()}); };
  auto said = submit(script("echo hi\n"));
  EXPECT_EQ(said.err,
            "sbatch: error: This does not look like a batch script.  The first\n"
            "sbatch: error: line must start with #! followed by the path to an interpreter.\n"
            "sbatch: error: For instance: #!/bin/sh\n");
  EXPECT_EQ(said.status, 1);
  EXPECT_EQ(submit(script("#!/bin/sh\r\ntrue\r\n")).err,
            "sbatch: error: Batch script contains DOS line breaks (\\r\\n)\n"
            "sbatch: error: instead of expected UNIX line breaks (\\n).\n");
  EXPECT_EQ(submit(script("")).err, "sbatch: error: Batch script is empty!\n");
  said = submit(script("#!/bin/sh\n#SBATCH --bogus\n"));
  EXPECT_EQ(said.err, "sbatch: unrecognized option '--bogus'\nTry \"sbatch --help\" for more information\n");
  EXPECT_EQ(said.status, 255);
  said = submit(script("#!/bin/sh\n#SBATCH -t abc\n"));
  EXPECT_EQ(said.err, "sbatch: error: Invalid --time specification\n");
  EXPECT_EQ(said.status, 255);
  said = submit(script("#!/bin/sh\n#SBATCH -t 5 extra\n"));
  EXPECT_EQ(said.err, "sbatch: error: Invalid directive found in batch script: extra\n");
  EXPECT_EQ(said.status, 255);
  EXPECT_EQ(submit(dir_ + "/none.sh").err, "sbatch: error: Unable to open file " + dir_ + "/none.sh\n");
  said = run(run_submit, "sbatch", {"--wrap=true", "more"});
  EXPECT_EQ(said.err, "sbatch: error: Script arguments not permitted with --wrap option\n");
  EXPECT_EQ(said.status, 1);
}

TEST_F(SlurmWords, filters_that_squeue_and_sinfo_refuse) {
  EXPECT_EQ(run(run_queue, "squeue", {"-jabc"}).err, "squeue: error: Invalid job id: abc\n");
  EXPECT_TRUE(run(run_queue, "squeue", {"-tbogus"})
                  .err.starts_with("squeue: error: Invalid job state specified: bogus\nsqueue: error: Valid "
                                   "job states include: PENDING,RUNNING,"));
  EXPECT_EQ(run(run_queue, "squeue", {"-S!"}).err, "squeue: error: Invalid sort specification: !\n");
  EXPECT_EQ(run(run_queue, "squeue", {"-iabc"}).err, "squeue: error: --iterate=abc\n\n");
  EXPECT_TRUE(
      run(run_info, "sinfo", {"-tbogus"}).err.starts_with("sinfo: error: Bad state string: \"bogus\"\n"));
  EXPECT_EQ(run(run_info, "sinfo", {"-iabc"}).err, "sinfo: error: Error: invalid entry for --iterate=abc\n");
}

TEST_F(SlurmWords, what_scancel_and_scontrol_refuse) {
  EXPECT_EQ(run(run_cancel, "scancel", {"abc"}).err, "scancel: error: Invalid job id abc\n");
  EXPECT_EQ(run(run_cancel, "scancel", {"-sFOO", "1"}).err, "Unknown job signal: FOO\n");
  EXPECT_EQ(run(run_cancel, "scancel", {"-tbogus"}).err,
            "Invalid job state specified: bogus\nValid job states are PENDING, RUNNING, and SUSPENDED\n");
  auto control = [](std::vector<const char*> words) {
    return run(run_control, "scontrol", std::move(words));
  };
  const auto said = control({"bogus"});
  EXPECT_EQ(said.err, "invalid keyword: bogus\n");
  EXPECT_EQ(said.status, 1);
  EXPECT_EQ(control({"show"}).err, "too few arguments for keyword:show\n");
  EXPECT_EQ(control({"show", "bogus"}).err, "invalid entity:bogus for keyword:show \n");
  EXPECT_EQ(control({"show", "job", "1", "2"}).err, "too many arguments for keyword:show\n");
  EXPECT_EQ(control({"show", "job", "abc"}).err, "scontrol_print_job error: Invalid job id specified\n");
  EXPECT_EQ(control({"show", "hostlist"}).err, "invalid encode argument\n");
  EXPECT_EQ(control({"show", "reservation"}).out, "No reservations in the system\n");
  EXPECT_EQ(control({"hold"}).err, "too few arguments for keyword:hold\n");
  EXPECT_EQ(control({"hold", "abc"}).err,
            "Invalid job id specified for job abc\nslurm_suspend error: Invalid job id specified\n");
  EXPECT_EQ(control({"requeue", "abc"}).err, "Invalid job id specified for job abc\n");
  EXPECT_EQ(control({"update"}).err, "too few arguments for update keyword\n");
  EXPECT_EQ(control({"update", "JobId=1"}).err, "No changes specified\n");
}

TEST(SlurmNames, statuses) {
  EXPECT_EQ(slurm_status({"not_permitted", ""}), 210);  // ESLURM_ACCESS_DENIED's lowest byte
  EXPECT_EQ(slurm_status({"no_such_job", ""}), 1);
  EXPECT_EQ(Dialect::of("sbatch").option_status, 255);
  EXPECT_EQ(Dialect::of("scancel").option_status, 1);
  EXPECT_EQ(Dialect::of("bai-submit").option_status, 2);
}

TEST(SlurmNames, formats_are_read_leniently) {
  std::vector<std::string> unknown;
  auto columns = short_columns<JobView>("%i|%!|", job_fields(), &unknown);
  ASSERT_TRUE(columns.ok());
  EXPECT_EQ(unknown, (std::vector<std::string>{"!"}));
  std::string out;
  put_header(out, *columns);
  EXPECT_EQ(out, "JOBID|%!|\n");
  out.clear();
  put_header(out, *short_columns<JobView>("bogus", job_fields(), &unknown));
  put_header(out, *short_columns<JobView>("%", job_fields(), &unknown));
  EXPECT_EQ(out, "bogus\n\n");
  unknown.clear();
  out.clear();
  put_header(out, *long_columns<JobView>("jobid:6,bogus,state", job_fields(), 20, &unknown));
  EXPECT_EQ(out, "JOBID STATE               \n");
  EXPECT_EQ(unknown, (std::vector<std::string>{"bogus"}));
  EXPECT_FALSE(short_columns<JobView>("%i|%!|", job_fields()).ok());
}

}  // namespace
}  // namespace bai::cli
