// What commands print of given jobs and nodes, byte by byte as Slurm 22.05 does.
#include "cli/show.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

#include "cli/acct.h"
#include "cli/info.h"
#include "cli/job_list.h"
#include "cli/queue.h"
#include "cli/step_list.h"

namespace bai::cli {
namespace {

class Show : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("TZ", "UTC", 1);
    tzset();
  }

  static JobPtr job(JobId id, JobState state) {
    auto spec = std::make_shared<JobSpec>();
    spec->name = "train-model";
    spec->user = "ada";
    spec->group = "users";
    spec->uid = 1000;
    spec->gid = 100;
    spec->partition = "main";
    spec->workdir = "/home/ada";
    spec->std_out = "bai-%j.out";
    spec->command = "/home/ada/job.sh";
    spec->request.cpus_per_task = 2;
    auto out = std::make_shared<Job>();
    out->id = id;
    out->state = state;
    out->priority = 1000;
    out->submitted = out->eligible = Time::from_seconds(1'800'000'000);
    out->spec = spec;
    if (state == JobState::kPending) {
      out->reason = Reason::kResources;
      return out;
    }
    out->started = Time::from_seconds(1'800'000'010);
    auto allocation = std::make_shared<Allocation>();
    allocation->partition = "main";
    allocation->nodes = {{"n1", 1, 100}, {"n2", 1, 100}};
    out->allocation = allocation;
    if (is_finished(state)) out->ended = Time::from_seconds(1'800'000'100);
    return out;
  }

  JobList list(const std::vector<JobPtr>& jobs) {
    wire::JobTableBuilder builder;
    for (const auto& one : jobs) builder.add(*one, 3600);
    wire::JobsReply reply;
    reply.now = Time::from_seconds(1'800'000'073);
    reply.table = builder.take();
    JobList out;
    out.add(std::move(reply));
    return out;
  }

  static JobPtr array_head() {
    auto head = std::make_shared<Job>(*job(9, JobState::kPending));
    auto array = std::make_shared<ArrayHead>();
    array->waiting.insert(1, 4);
    array->max_running = 2;
    head->array_id = 9;
    head->array = array;
    return head;
  }
};

TEST_F(Show, queue) {
  auto jobs = list({job(7, JobState::kRunning), job(8, JobState::kPending), array_head()});
  QueueView view;
  view.columns = *short_columns<JobView>("%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R", job_fields());
  view.sort = "P,t,-p";
  std::string out;
  put_queue(out, jobs.jobs, view);
  EXPECT_EQ(out,
            "             JOBID PARTITION     NAME     USER ST       TIME  NODES NODELIST(REASON)\n"
            "                 8      main train-mo      ada PD       0:00      1 (Resources)\n"
            "         9_[1-4%2]      main train-mo      ada PD       0:00      1 (Resources)\n"
            "                 7      main train-mo      ada  R       1:03      2 n[1-2]\n");
}

TEST_F(Show, queue_expands_arrays_and_sorts) {
  auto jobs = list({array_head(), job(12, JobState::kPending)});
  expand_arrays(jobs.jobs);
  ASSERT_EQ(jobs.jobs.size(), 5u);
  ASSERT_TRUE(sort_jobs(jobs.jobs, "-i").ok());
  std::string out;
  for (const auto& one : jobs.jobs) {
    put_job_id(out, one);
    out += ' ';
  }
  EXPECT_EQ(out, "12 9_4 9_3 9_2 9_1 ");
  EXPECT_EQ(sort_jobs(jobs.jobs, "P,!").error().code, "bad_sort");
}

TEST_F(Show, every_field_can_be_shown) {
  for (auto state : {JobState::kPending, JobState::kRunning, JobState::kFailed}) {
    auto jobs = list({job(7, state)});
    for (const auto& field : job_fields()) {
      std::string out;
      field.put(out, jobs.jobs[0]);
      EXPECT_EQ(out.find('\n'), std::string::npos) << field.title;
    }
  }
}

TEST_F(Show, job) {
  auto jobs = list({job(7, JobState::kRunning)});
  std::string out;
  show_job(out, jobs.jobs[0], false);
  EXPECT_EQ(out,
            "JobId=7 JobName=train-model\n"
            "   UserId=ada(1000) GroupId=users(100) MCS_label=N/A\n"
            "   Priority=1000 Nice=0 Account=(null) QOS=(null)\n"
            "   JobState=RUNNING Reason=None Dependency=(null)\n"
            "   Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0\n"
            "   RunTime=00:01:03 TimeLimit=01:00:00 TimeMin=N/A\n"
            "   SubmitTime=2027-01-15T08:00:00 EligibleTime=2027-01-15T08:00:00\n"
            "   AccrueTime=2027-01-15T08:00:00\n"
            "   StartTime=2027-01-15T08:00:10 EndTime=2027-01-15T09:00:10 Deadline=N/A\n"
            "   SuspendTime=None SecsPreSuspend=0 LastSchedEval=2027-01-15T08:00:10 Scheduler=Main\n"
            "   Partition=main AllocNode:Sid=N/A:0\n"
            "   ReqNodeList=(null) ExcNodeList=(null)\n"
            "   NodeList=n[1-2]\n"
            "   BatchHost=n1\n"
            "   NumNodes=2 NumCPUs=2 NumTasks=1 CPUs/Task=2 ReqB:S:C:T=0:0:*:*\n"
            "   TRES=cpu=2,mem=200M,node=2,billing=2\n"
            "   Socks/Node=* NtasksPerN:B:S:C=0:0:*:* CoreSpec=*\n"
            "   MinCPUsNode=2 MinMemoryNode=0 MinTmpDiskNode=0\n"
            "   Features=(null) DelayBoot=00:00:00\n"
            "   OverSubscribe=OK Contiguous=0 Licenses=(null) Network=(null)\n"
            "   Command=/home/ada/job.sh\n"
            "   WorkDir=/home/ada\n"
            "   StdErr=/home/ada/bai-7.out\n"
            "   StdIn=/dev/null\n"
            "   StdOut=/home/ada/bai-7.out\n"
            "   Power=\n   \n\n");
  out.clear();
  show_job(out, jobs.jobs[0], true);
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1);
}

TEST_F(Show, accounting) {
  auto ended = std::make_shared<Job>(*job(7, JobState::kCancelled));
  ended->ended_by_uid = 1000;
  ended->exit.signal = 15;
  auto jobs = list({ended});
  const Step batch = *batch_step(jobs.jobs[0]);
  Step step;
  step.job = 7;
  step.id = 0;
  step.spec.name = "first";
  step.spec.distribution = Distribution::kCyclic;
  step.nodes = {{"n1", 0, 1, 0, {}, {0}}, {"n2", 1, 1, 0, {}, {1, 2}}};
  step.state = JobState::kFailed;
  step.exit.code = 3;
  step.started = Time::from_seconds(1'800'000'020);
  step.ended = Time::from_seconds(1'800'000'025);
  step.usage.max_rss_kib = 1234;
  auto columns = *parse_acct_format("jobid,jobname,partition,account,alloccpus,state,exitcode");
  std::string out;
  put_print_header(out, columns, PrintStyle::kColumns, "|");
  put_print_row(out, columns, AcctRow{jobs.jobs[0]}, PrintStyle::kColumns, "|");
  put_print_row(out, columns, AcctRow{jobs.jobs[0], &batch}, PrintStyle::kColumns, "|");
  EXPECT_EQ(out,
            "JobID           JobName  Partition    Account  AllocCPUS      State ExitCode \n"
            "------------ ---------- ---------- ---------- ---------- ---------- -------- \n"
            "7            train-mod+       main                     2 CANCELLED+      0:0 \n"
            "7.batch           batch                                1  CANCELLED     0:15 \n");
  out.clear();
  put_print_row(out,
                *parse_acct_format("jobid,jobname,partition,state,exitcode,ntasks,nnodes,alloccpus,elapsed,"
                                   "maxrss,layout,nodelist,user"),
                AcctRow{jobs.jobs[0], &step}, PrintStyle::kParsable2, "|");
  step.state = JobState::kCancelled;
  step.ended_by_uid = 1001;
  put_print_row(out, *parse_acct_format("jobidraw,state"), AcctRow{jobs.jobs[0], &step},
                PrintStyle::kParsable2, "|");
  step.ended_by_uid = kNoUid;
  put_print_row(out, *parse_acct_format("jobidraw,state"), AcctRow{jobs.jobs[0], &step},
                PrintStyle::kParsable2, "|");
  EXPECT_EQ(
      out,
      "7.0|first||FAILED|3:0|3|2|2|00:00:05|1234K|Cyclic|n[1-2]|\n7.0|CANCELLED by 1001\n7.0|CANCELLED\n");
  out.clear();
  put_print_row(out, *parse_acct_format("JobID,State,Elapsed"), AcctRow{jobs.jobs[0]}, PrintStyle::kParsable2,
                "|");
  put_print_row(out, *parse_acct_format("jobid%4,state%-20"), AcctRow{jobs.jobs[0]}, PrintStyle::kParsable,
                "|");
  put_print_row(out, *parse_acct_format("jobid%4,state%-20"), AcctRow{jobs.jobs[0]}, PrintStyle::kColumns,
                "|");
  EXPECT_EQ(out, "7|CANCELLED by 1000|00:01:30\n7|CANCELLED by 1000|\n   7 CANCELLED by 1000    \n");
  EXPECT_EQ(parse_acct_format("jobid,stat%").error().code, "bad_format");
  EXPECT_EQ(parse_acct_format("nonsense").error().code, "bad_format");
}

// The bytes that Slurm 22.05.8 printed for such a step, but for the client's host and process.
TEST_F(Show, steps) {
  auto jobs = list({job(2, JobState::kRunning)});
  Step step;
  step.job = 2;
  step.spec.name = "first";
  step.spec.distribution = Distribution::kCyclic;
  step.nodes = {{"n1", 0, 2, 0, {}, {0}}, {"n2", 1, 2, 0, {}, {1}}};
  step.state = JobState::kRunning;
  step.started = Time::from_seconds(1'800'000'058);
  const Step batch = *batch_step(jobs.jobs[0]);
  std::vector<StepView> views{{jobs.jobs[0], &batch}, {jobs.jobs[0], &step}};
  std::string out;
  ASSERT_TRUE(sort_steps(views, "").ok());
  auto columns = *short_columns<StepView>("%.15i %.8j %.9P %.8u %.9M %N", step_fields());
  put_header(out, columns);
  for (const auto& view : views) put_row(out, columns, view);
  EXPECT_EQ(out,
            "         STEPID     NAME PARTITION     USER      TIME NODELIST\n"
            "            2.0    first      main      ada      0:15 n[1-2]\n"
            "        2.batch    batch      main      ada      1:03 n1\n");
  EXPECT_EQ(sort_steps(views, "Z").error().code, "bad_sort");
  out.clear();
  show_step(out, views[0], false);
  EXPECT_EQ(out,
            "StepId=2.0 UserId=0 StartTime=2027-01-15T08:00:58 TimeLimit=UNLIMITED\n"
            "   State=RUNNING Partition=main NodeList=n[1-2]\n"
            "   Nodes=2 CPUs=4 Tasks=2 Name=first Network=(null)\n"
            "   TRES=cpu=4,node=2\n"
            "   ResvPorts=(null)\n"
            "   CPUFreqReq=Default Dist=Cyclic\n"
            "   SrunHost:Pid=(null):0\n\n");
  out.clear();
  JsonWriter json(out);
  put_step_json(json, views[0]);
  EXPECT_TRUE(out.starts_with(
      "{\"job_id\":2,\"step_id\":\"0\",\"display_id\":\"2.0\",\"name\":\"first\",\"state\":\"RUNNING\""))
      << out;
  narrow_steps(views, {{2, kNoTask, kBatchStep}});
  ASSERT_EQ(views.size(), 1u);
  EXPECT_EQ(views[0].step->id, kBatchStep);
}

TEST_F(Show, an_allocation_has_no_batch_step) {
  auto allocation = std::make_shared<Job>(*job(3, JobState::kRunning));
  auto spec = std::make_shared<JobSpec>(*allocation->spec);
  JobExtras extras;
  extras.no_batch = true;
  spec->set_extras(extras);
  allocation->spec = spec;
  auto jobs = list({allocation, job(4, JobState::kPending)});
  for (const auto& one : jobs.jobs) EXPECT_FALSE(batch_step(one).has_value()) << one.row->id;
}

TEST_F(Show, json_of_a_job) {
  auto jobs = list({job(8, JobState::kPending)});
  std::string out;
  JsonWriter json(out);
  put_job_json(json, jobs.jobs[0]);
  EXPECT_TRUE(out.starts_with(
      "{\"job_id\":8,\"display_id\":\"8\",\"name\":\"train-model\",\"user\":\"ada\",\"uid\":1000"));
  EXPECT_NE(out.find("\"time_limit_s\":3600"), std::string::npos);
  EXPECT_NE(out.find("\"submitted_at\":1800000000"), std::string::npos);
  EXPECT_NE(out.find("\"started_at\":null"), std::string::npos);
}

TEST_F(Show, json_escapes) {
  std::string out;
  JsonWriter(out)
      .begin_object()
      .field("a\"b", "x\n\\\x01\xff")
      .flag("t", true)
      .key("l")
      .begin_array()
      .integer(-1)
      .number(0.5)
      .null()
      .end_array()
      .end_object();
  EXPECT_EQ(out, "{\"a\\\"b\":\"x\\\\n\\\\\\\\x01\\\\xff\",\"t\":true,\"l\":[-1,0.5,null]}");
}

class InfoTest : public Show {
 protected:
  InfoTest() {
    for (int i = 1; i <= 4; ++i) {
      Node node;
      node.name = "n" + std::to_string(i);
      node.declared.cpus = 8;
      node.declared.mem_mib = 4096;
      node.condition = NodeCondition::kUp;
      node.responding = true;
      nodes_.push_back(node);
    }
    nodes_[0].cpus_used = 8;
    nodes_[0].jobs = 1;
    nodes_[2].drain = true;
    nodes_[2].reason = "bad disk";
    Partition main;
    main.name = "main";
    main.is_default = true;
    for (const auto& node : nodes_) main.nodes.push_back(node.name);
    Partition small;
    small.name = "a-long-partition";
    small.nodes = {"n2"};
    small.max_time = 3600;
    partitions_ = {main, small};
  }
  std::string render(std::string_view format, bool by_node = false) {
    auto columns = *short_columns<InfoRow>(format, info_fields());
    std::string out;
    put_header(out, columns);
    auto rows = make_info_rows(nodes_, partitions_, columns, by_node);
    EXPECT_TRUE(sort_info_rows(rows, by_node ? "N" : "#P,-t"));
    for (const auto& row : rows) put_row(out, columns, row);
    return out;
  }
  std::vector<Node> nodes_;
  std::vector<Partition> partitions_;
};

TEST_F(InfoTest, partitions) {
  EXPECT_EQ(render("%9P %.5a %.10l %.6D %.6t %N"),
            "PARTITION AVAIL  TIMELIMIT  NODES  STATE NODELIST\n"
            "main*        up   infinite      1  drain n3\n"
            "main*        up   infinite      1  alloc n1\n"
            "main*        up   infinite      2   idle n[2,4]\n"
            "a-long-pa    up    1:00:00      1   idle n2\n");
}

TEST_F(InfoTest, summary_and_nodes) {
  EXPECT_EQ(render("%R|%F|%C|%c|%m"),
            "PARTITION|NODES(A/I/O/T)|CPUS(A/I/O/T)|CPUS|MEMORY\nmain|1/2/1/4|8/16/8/"
            "32|8|4096\na-long-partition|0/1/0/1|0/8/0/8|8|4096\n");
  EXPECT_EQ(render("%N %P %6t|", true),
            "NODELIST PARTITION STATE |\nn1 main* alloc |\nn2 main* idle  |\nn2 a-long-partition idle  |\nn3 "
            "main* drain |\nn4 main* idle  |\n");
}

TEST_F(InfoTest, every_field_can_be_shown) {
  const InfoRow empty{&partitions_[0], {}};
  const InfoRow one{&partitions_[0], {&nodes_[2]}};
  for (const auto& field : info_fields()) {
    std::string out;
    field.put(out, empty);
    field.put(out, one);
  }
}

}  // namespace
}  // namespace bai::cli
