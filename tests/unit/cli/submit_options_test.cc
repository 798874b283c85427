#include "cli/submit_options.h"

#include <gtest/gtest.h>

#include "cli/values.h"

namespace bai::cli {
namespace {

class SubmitOptions : public ::testing::Test {
 protected:
  Result<wire::Submission> submit(const std::vector<std::string>& words, const char* name = "bai-submit") {
    dialect_ = Dialect::of(name);
    table_ = submit_table(dialect_);
    auto parsed = OptionParser(table_).parse(words);
    if (!parsed.ok()) return parsed.error();
    SubmitContext context;
    context.dialect = &dialect_;
    context.cwd = "/home/ada";
    context.host = "login";
    context.session = 77;
    context.uid = 1000;
    context.gid = 100;
    context.now = Time::from_seconds(1'800'000'000);
    warnings_.clear();
    return make_submission(*parsed, context, warnings_);
  }
  std::vector<std::string> warnings_;
  Dialect dialect_;
  OptionTable table_;
};

TEST_F(SubmitOptions, defaults) {
  auto job = submit({});
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(job->spec.request.tasks, 1u);
  EXPECT_EQ(job->spec.request.min_nodes, 1u);
  EXPECT_EQ(job->spec.workdir, "/home/ada");
  EXPECT_EQ(job->spec.std_out, "bai-%j.out");
  EXPECT_EQ(job->spec.time_limit, 0);
  EXPECT_EQ(job->spec.uid, 1000u);
  EXPECT_EQ(job->spec.extras_or_null, nullptr);
  EXPECT_EQ(submit({"--array=1-3"})->spec.std_out, "bai-%A_%a.out");
  EXPECT_EQ(submit({}, "sbatch")->spec.std_out, "slurm-%j.out");
}

TEST_F(SubmitOptions, resources) {
  auto job = submit({"-N2-4", "-c", "3", "--mem=2G", "-w", "n[1-2]", "-x", "n9", "-C", "a&b", "-L",
                     "matlab:2", "--exclusive"});
  ASSERT_TRUE(job.ok()) << job.error().text();
  const auto& r = job->spec.request;
  EXPECT_EQ(r.min_nodes, 2u);
  EXPECT_EQ(r.max_nodes, 4u);
  EXPECT_EQ(r.tasks, 2u);
  EXPECT_EQ(r.cpus_per_task, 3u);
  EXPECT_EQ(r.mem_per_node_mib, 2048u);
  EXPECT_TRUE(r.exclusive);
  EXPECT_TRUE(submit({"--exclusive=user"})->spec.request.exclusive_user);
  EXPECT_FALSE(submit({"--exclusive=user"})->spec.request.exclusive);
  EXPECT_EQ(submit({"-N2", "--ntasks-per-node=4"})->spec.request.tasks, 8u);
  EXPECT_EQ(submit({"-n4"})->spec.request.max_nodes, 0u);
}

TEST_F(SubmitOptions, what_was_asked_is_told_from_defaults) {
  EXPECT_EQ(submit({})->spec.request.asked, 0);
  EXPECT_EQ(submit({"-n1"})->spec.request.asked, kAskedTasks);
  EXPECT_EQ(submit({"-c1"})->spec.request.asked, kAskedCpusPerTask);
  EXPECT_EQ(submit({"-N1"})->spec.request.asked, kAskedNodes);
  EXPECT_EQ(submit({"--ntasks-per-node=1"})->spec.request.asked, kAskedTasks);
  EXPECT_EQ(submit({})->spec.host, "login");
  EXPECT_EQ(submit({})->spec.session, 77u);
}

TEST_F(SubmitOptions, nodes_tasks_and_lists_are_made_to_agree) {
  auto job = submit({"-n2", "-N3-4"});
  EXPECT_EQ(job->spec.request.min_nodes, 2u);
  EXPECT_EQ(job->spec.request.max_nodes, 2u);
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_EQ(warnings_[0], "Warning: can't run 2 processes on 3 nodes, setting nnodes to 2");
  job = submit({"-n1", "-N1-2"});
  EXPECT_EQ(job->spec.request.max_nodes, 1u);
  EXPECT_TRUE(warnings_.empty());
  job = submit({"-w", "n2,n1,n2"});
  EXPECT_EQ(job->spec.request.nodes_wanted, "n[1-2]");
  EXPECT_EQ(job->spec.request.min_nodes, 2u);
  EXPECT_EQ(job->spec.request.max_nodes, 0u);
  EXPECT_EQ(job->spec.request.tasks, 2u);
  job = submit({"-w", "n[1-2]", "-n1"});
  EXPECT_EQ(job->spec.request.nodes_wanted, "n1");
  EXPECT_EQ(job->spec.request.min_nodes, 1u);
  auto refused = submit({"-w", "n1,n2", "-N1"}, "sbatch");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "invalid number of nodes (-N 2-1)");
}

TEST_F(SubmitOptions, times_and_arrays) {
  auto job = submit({"-t", "1-2:30", "-a", "0-15:4%2", "--begin=now+1hour", "--signal=B:USR1@120", "--nice",
                     "--open-mode=append"});
  ASSERT_TRUE(job.ok()) << job.error().text();
  EXPECT_EQ(job->spec.time_limit, 86400 + 2 * 3600 + 30 * 60);
  EXPECT_EQ(job->array_tasks->count(), 4u);
  EXPECT_EQ(job->array_max_running, 2u);
  EXPECT_EQ(job->spec.extras().begin.seconds(), 1'800'003'600);
  EXPECT_EQ(job->spec.extras().signal.number, 10);
  EXPECT_TRUE(job->spec.extras().signal.batch_only);
  EXPECT_EQ(job->spec.extras().signal.before_end_s, 120u);
  EXPECT_EQ(job->spec.nice, 100);
  EXPECT_EQ(job->spec.open_mode, OpenMode::kAppend);
  EXPECT_EQ(submit({"-t0"})->spec.time_limit, kUnlimited);
}

TEST_F(SubmitOptions, the_last_of_two_counts) {
  EXPECT_EQ(submit({"--requeue", "--no-requeue"})->spec.requeue, Requeue::kNo);
  EXPECT_EQ(submit({"-J", "a", "-J", "b"})->spec.name, "b");
  EXPECT_TRUE(submit({"--priority=0"})->hold);
}

TEST_F(SubmitOptions, malformed_values_name_the_option) {
  for (auto [words, place] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"-t", "soon"}, "-t"},
           {{"--mem=1x"}, "--mem"},
           {{"-N0"}, "-N"},
           {{"-n", "-1"}, "-n"},
           {{"-a", "5-1"}, "-a"},
           {{"-w", "n["}, "-w"},
           {{"--begin=x"}, "--begin"},
           {{"-d", "afterok"}, "-d"},
           {{"--signal=NOPE"}, "--signal"},
           {{"--mail-type=x"}, "--mail-type"},
           {{"--mem=1G", "--mem-per-cpu=1G"}, "--mem-per-cpu"},
           {{"--exclusive=no"}, "--exclusive"},
           {{"--deadline=2001-01-01"}, "--deadline"},
           {{"-J", "a\nb"}, "-J"}}) {
    auto job = submit(words);
    ASSERT_FALSE(job.ok()) << place;
    EXPECT_EQ(job.error().place, place);
  }
}

TEST(Values, dependencies) {
  auto all = parse_dependencies("afterok:7:8_3,after:9+10,singleton");
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->list.size(), 4u);
  EXPECT_FALSE(all->any);
  EXPECT_EQ(all->list[1].task, 3u);
  EXPECT_EQ(all->list[2].delay_min, 10u);
  EXPECT_EQ(wire::format_dependencies(*all),
            "afterok:7(unfulfilled),afterok:8_3(unfulfilled),after:9+10(unfulfilled),singleton(unfulfilled)");
  EXPECT_TRUE(parse_dependencies("afterany:1?afterok:2")->any);
  EXPECT_TRUE(parse_dependencies("")->list.empty());
  EXPECT_EQ(parse_dependencies("7")->list[0].kind, DependencyKind::kAfterAny);
  for (const char* bad : {"afterok:7,afterany:8?afterok:9", "afterok:x", "afterok:7+3", "singleton:3",
                          "afterok:0", "aftrok:7", "x7"})
    EXPECT_EQ(parse_dependencies(bad).error().code, "bad_dependency") << bad;
}

TEST(Values, job_refs) {
  auto refs = parse_job_refs("7,8_3,9_[1-3,5]");
  ASSERT_TRUE(refs.ok());
  ASSERT_EQ(refs->size(), 6u);
  EXPECT_EQ((*refs)[0], (wire::JobRef{7, kNoTask}));
  EXPECT_EQ((*refs)[5], (wire::JobRef{9, 5}));
  for (const char* bad : {"", "x", "7_", "0", "-3", "7_x", "99999999999"})
    EXPECT_EQ(parse_job_refs(bad).error().code, "bad_job_id") << bad;
  auto steps = parse_job_refs("7.0,8_3.batch,9", StepRefs::kAllowed);
  ASSERT_TRUE(steps.ok());
  EXPECT_EQ(*steps, (std::vector<wire::JobRef>{{7, kNoTask, 0}, {8, 3, kBatchStep}, {9, kNoTask, kNoStep}}));
  for (const char* bad : {"7.", "7.x", "7.-1", "7.0.1", ".0", "7.0_3"})
    EXPECT_EQ(parse_job_refs(bad, StepRefs::kAllowed).error().code, "bad_job_id") << bad;
  EXPECT_EQ(parse_job_refs("7.0").error().code, "bad_job_id");
}

TEST(Values, states_signals_mail) {
  EXPECT_EQ(parse_job_states("pd,RUNNING")->size(), 2u);
  EXPECT_EQ(parse_job_states("all")->size(), static_cast<std::size_t>(kJobStates));
  EXPECT_EQ(parse_job_states("runing").error().remedy, "did you mean 'RUNNING'?");
  EXPECT_EQ(*parse_signal("SIGusr1"), 10);
  EXPECT_EQ(*parse_signal("9"), 9);
  EXPECT_FALSE(parse_signal("0").ok());
  EXPECT_EQ(format_mail_events(*parse_mail_events("END,fail")), "END,FAIL");
  EXPECT_EQ(*parse_mail_events("BEGIN,NONE"), 0);
}

TEST_F(SubmitOptions, alternatives) {
  auto job = submit({"-N1", "-n64", "--mem=1G", "--alternative=-N 2 -n64 --gpus-per-node=a100:4",
                     "--alternative", "-c 3 -C 'a|b'"});
  ASSERT_TRUE(job.ok()) << job.error().text();
  const auto& others = job->spec.request.extras().alternatives;
  ASSERT_EQ(others.size(), 2u);
  EXPECT_EQ(others[0].min_nodes, 2u);
  EXPECT_EQ(others[0].tasks, 64u);
  EXPECT_EQ(others[0].mem_per_node_mib, 0u) << "is a request of its own";
  EXPECT_EQ(others[0].asked, kAskedNodes | kAskedTasks);
  ASSERT_EQ(others[0].extras().devices.size(), 1u);
  EXPECT_EQ(others[0].extras().devices[0].type, "a100");
  EXPECT_EQ(others[1].cpus_per_task, 3u);
  EXPECT_EQ(others[1].constraint, "a|b");
  for (const auto* wrong :
       {"", "-n x", "-n 4 more", "--time=3", "--exclusive", "-L x", "--alternative=-n1", "-n '4"}) {
    auto refused = submit({std::string("--alternative=") + wrong});
    ASSERT_FALSE(refused.ok()) << wrong;
    EXPECT_EQ(refused.error().place, "--alternative") << refused.error().text();
  }
  EXPECT_NE(submit({"--alternative=-n x"}).error().message.find("-n"), std::string::npos);
  EXPECT_FALSE(submit(std::vector<std::string>(17, "--alternative=-n1")).ok());
}

TEST_F(SubmitOptions, devices_and_shapes) {
  auto job = submit({"-G", "a100:4", "--gres=net:2", "--cpus-per-gpu=8", "--mem-per-gpu=4G",
                     "--switches=2@10", "--tmp=1G", "--contiguous", "--mincpus=3"});
  ASSERT_TRUE(job.ok()) << job.error().text();
  const auto& extras = job->spec.request.extras();
  ASSERT_EQ(extras.devices.size(), 2u);
  EXPECT_EQ(extras.devices[0].kind, "net");
  EXPECT_EQ(extras.devices[0].per, DevicePer::kNode);
  EXPECT_EQ(extras.devices[1].type, "a100");
  EXPECT_EQ(extras.devices[1].per, DevicePer::kJob);
  EXPECT_EQ(extras.devices[1].amount, 4 * kWholeDevice);
  EXPECT_EQ(extras.cpus_per_gpu, 8u);
  EXPECT_EQ(extras.mem_per_gpu_mib, 4096u);
  EXPECT_EQ(extras.switches, 2u);
  EXPECT_EQ(extras.switches_wait, 600);
  EXPECT_EQ(extras.tmp_mib, 1024u);
  EXPECT_EQ(extras.min_cpus_per_node, 3u);
  EXPECT_TRUE(extras.contiguous);
  EXPECT_EQ(submit({})->spec.request.extras_or_null, nullptr);
  EXPECT_EQ(submit({"--gpus=0.25"})->spec.request.extras().devices[0].amount, 250u);
  EXPECT_EQ(submit({"--gpus=1.5"}).error().place, "--gpus");
  EXPECT_EQ(submit({"--mem=1", "--mem-per-gpu=1"}).error().place, "--mem-per-gpu");
  EXPECT_EQ(submit({"--gpus-per-socket=1"}).error().place, "--gpus-per-socket");
  EXPECT_EQ(submit({"-C", "a&&b"}).error().place, "-C");
}

}  // namespace
}  // namespace bai::cli
