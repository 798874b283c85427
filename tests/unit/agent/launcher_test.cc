// Signatures, users, environment and files of a launch.
#include "agent/launcher.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "agent/environment.h"

namespace bai::agent {
namespace {

using namespace std::string_literals;

Uuid cluster() {
  Uuid id;
  id.bytes.fill(3);
  return id;
}

struct Signed {
  wire::LaunchOrder order;
  wire::Credential credential;
};

// A job of this test's user, signed as a command would.
Signed signed_job(const std::shared_ptr<JobSpec>& spec = std::make_shared<JobSpec>(),
                  std::uint32_t tasks_nodes = 1) {
  Signed s;
  spec->uid = getuid();
  spec->gid = getgid();
  spec->user = "ada";
  if (spec->name.empty()) spec->name = "sim";
  spec->workdir = "/home/ada/work";
  if (spec->std_out.empty()) spec->std_out = "bai-%j.out";
  Job job;
  job.id = 7;
  job.attempt = 1;
  job.started = Time::from_seconds(1'700'000'000);
  auto allocation = std::make_shared<Allocation>();
  allocation->partition = "batch";
  for (std::uint32_t i = 1; i <= tasks_nodes; ++i)
    allocation->nodes.push_back({"n" + std::to_string(i), 4, 1000});
  job.allocation = allocation;
  job.spec = spec;
  auto& o = s.order;
  o.key = {7, 1};
  o.job = std::make_shared<const Job>(std::move(job));
  o.script = "#!/bin/sh\ntrue\n";
  o.environment = "PATH=/bin\0SLURM_JOB_ID=1\0A=b\0"s;
  o.time_limit = 3600;
  o.launch.args = {"x", "y z"};
  o.launch.script = hash256(o.script);
  o.launch.environment = hash256(o.environment);
  o.launch.nonce = Uuid::random();
  o.launch.credential = "MUNGE:test:";
  s.credential.uid = spec->uid;
  s.credential.gid = spec->gid;
  s.credential.encode_time = 1'700'000'000;
  s.credential.payload = o.launch.root(o.launch.digest(*spec, cluster())).view();
  return s;
}

Launcher launcher(const Signed& s, int* asked = nullptr) {
  Launcher l(
      LauncherNode{"n1", "boot"},
      SignatureCheck([&s, asked](const std::string&, const wire::MungeDecode&) -> Result<wire::Credential> {
        if (asked) ++*asked;
        return s.credential;
      }));
  l.policy.node = "n1";
  l.policy.allow_root = true;
  l.policy.own_uid = geteuid();
  l.cluster_name = "test";
  return l;
}

Result<step::StepLaunch> prepare(Launcher& l, const Signed& s) {
  return l.prepare(s.order, cluster(), "mark", Time::from_seconds(1'700'000'100), 1000);
}

std::string refusal(Launcher l, const Signed& s) {
  auto launch = prepare(l, s);
  return launch.ok() ? "" : launch.error().code;
}

std::string value(const std::vector<std::string>& env, const std::string& name) {
  std::string found = "(unset)";
  for (const auto& entry : env)
    if (entry.starts_with(name + "=")) {
      EXPECT_EQ(found, "(unset)") << name << " comes twice";
      found = entry.substr(name.size() + 1);
    }
  return found;
}

TEST(AgentLauncher, MakesAStepOfASignedJob) {
  const Signed s = signed_job();
  Launcher l = launcher(s);
  auto launch = prepare(l, s);
  ASSERT_TRUE(launch.ok()) << launch.error().text();
  EXPECT_EQ(launch->job_id, 7u);
  EXPECT_EQ(launch->uid, getuid());
  EXPECT_EQ(launch->argv, (std::vector<std::string>{"sim", "x", "y z"}));
  EXPECT_EQ(launch->workdir, "/home/ada/work");
  EXPECT_EQ(launch->stdout_path, "/home/ada/work/bai-7.out");
  EXPECT_EQ(launch->stderr_path, launch->stdout_path);
  EXPECT_EQ(launch->stdin_path, "/dev/null");
  EXPECT_EQ(launch->time_limit_s, 3600u);
  EXPECT_TRUE(step::decode_launch(step::encode_launch(*launch)).ok());
}

TEST(AgentLauncher, RefusesWhatItsUserDidNotSign) {
  const Signed good = signed_job();
  auto changed = [&](auto&& change) {
    Signed s = good;
    change(s);
    return refusal(launcher(s), s);
  };
  EXPECT_EQ(changed([](Signed&) {}), "");
  EXPECT_EQ(changed([](Signed& s) { s.order.script += "rm -rf /\n"; }), "bad_signature");
  EXPECT_EQ(
      changed([](Signed& s) { s.order.script += "\n", s.order.launch.script = hash256(s.order.script); }),
      "bad_signature");
  EXPECT_EQ(changed([](Signed& s) { s.order.environment += std::string("LD_PRELOAD=x\0", 13); }),
            "bad_signature");
  EXPECT_EQ(changed([](Signed& s) { s.order.launch.args.push_back("more"); }), "bad_signature");
  EXPECT_EQ(changed([](Signed& s) { s.order.launch.nonce = Uuid::random(); }), "bad_signature");
  auto spec = [&](auto&& change) {
    return changed([&](Signed& s) {
      auto job = std::make_shared<Job>(*s.order.job);
      auto copy = std::make_shared<JobSpec>(*job->spec);
      change(*copy);
      job->spec = std::move(copy);
      s.order.job = std::move(job);
    });
  };
  EXPECT_EQ(spec([](JobSpec& s) { s.std_out = "/home/ada/.profile"; }), "bad_signature");
  EXPECT_EQ(spec([](JobSpec& s) { s.std_err = "/home/ada/.profile"; }), "bad_signature");
  EXPECT_EQ(spec([](JobSpec& s) { s.open_mode = OpenMode::kAppend; }), "bad_signature");
  EXPECT_EQ(spec([](JobSpec& s) {
              JobExtras extras = s.extras();
              extras.std_in = "/home/ada/.netrc";
              s.set_extras(std::move(extras));
            }),
            "bad_signature");
  EXPECT_EQ(spec([](JobSpec& s) { s.name = "../../.profile"; }), "") << "update may change it; see %x";
  EXPECT_EQ(changed([](Signed& s) { s.credential.uid += 1; }), "bad_signature");
  EXPECT_EQ(changed([](Signed& s) { s.credential.gid += 1; }), "bad_signature");
  EXPECT_EQ(changed([](Signed& s) { s.credential.payload[0] ^= 1; }), "bad_signature");
  EXPECT_EQ(changed([](Signed& s) { s.credential.only_uid = 0; }), "bad_signature");
}

TEST(AgentLauncher, SignaturesAreForOneCluster) {
  const Signed s = signed_job();
  Launcher l = launcher(s);
  EXPECT_FALSE(l.prepare(s.order, Uuid::random(), "mark", Time::from_seconds(1'700'000'100), 0).ok());
}

TEST(AgentLauncher, RefusesWhomTheNodeRefuses) {
  const Signed s = signed_job();
  Launcher old = launcher(s);
  old.policy.signature_max_age = 50;
  EXPECT_EQ(refusal(std::move(old), s), "signature_expired");
  Launcher other = launcher(s);
  other.policy.own_uid = getuid() + 1;
  EXPECT_EQ(refusal(std::move(other), s), "refused_user");
  if (getuid() == 0) {
    Launcher no_root = launcher(s);
    no_root.policy.allow_root = false;
    EXPECT_EQ(refusal(std::move(no_root), s), "refused_user");
  } else {
    Launcher high = launcher(s);
    high.policy.minimum_uid = getuid() + 1;
    EXPECT_EQ(refusal(std::move(high), s), "refused_user");
  }
}

TEST(AgentLauncher, AStoppedMungedIsNoReasonToFailAJob) {
  const Signed s = signed_job();
  Launcher l(LauncherNode{"n1", "boot"},
             SignatureCheck([](const std::string&, const wire::MungeDecode&) -> Result<wire::Credential> {
               return Error{"munge_unavailable", "munged is not answering"};
             }));
  l.policy.allow_root = true;
  auto launch = prepare(l, s);
  ASSERT_FALSE(launch.ok());
  EXPECT_TRUE(is_passing(launch.error()));
}

TEST(AgentLauncher, AsksMungedOncePerCredential) {
  const Signed s = signed_job();
  int asked = 0;
  Launcher l = launcher(s, &asked);
  EXPECT_TRUE(prepare(l, s).ok());
  EXPECT_TRUE(prepare(l, s).ok());
  EXPECT_EQ(asked, 1);
}

TEST(AgentLauncher, NamesAUserThatTheNodeDoesNotKnow) {
  Users users;
  auto user = users.find(3'999'999'999u, 1, 0);
  ASSERT_FALSE(user.ok());
  EXPECT_EQ(user.error().code, "unknown_user");
  EXPECT_NE(user.error().message.find("3999999999"), std::string::npos);
}

TEST(AgentLauncher, SaysWhatNoProgramCanBeGiven) {
  Signed s = signed_job();
  s.order.environment = "LONG=" + std::string(step::kMaxWord, 'x') + std::string(1, '\0');
  s.order.launch.environment = hash256(s.order.environment);
  const auto& spec = *s.order.job->spec;
  s.credential.payload = s.order.launch.root(s.order.launch.digest(spec, cluster())).view();
  EXPECT_EQ(refusal(launcher(s), s), "bad_order");
}

TEST(AgentEnvironment, BothNamesAndTheUsersOwn) {
  auto spec = std::make_shared<JobSpec>();
  spec->request.tasks = 4;
  spec->request.cpus_per_task = 2;
  spec->request.mem_per_node_mib = 500;
  spec->request.asked = kAskedTasks | kAskedCpusPerTask;
  const Signed s = signed_job(spec, 2);
  const User user{getuid(), "ada", "/home/ada", "/bin/bash", {}};
  const auto env = job_environment({s.order, user, "test", "n1", 0});
  EXPECT_EQ(value(env, "PATH"), "/bin");
  EXPECT_EQ(value(env, "A"), "b");
  EXPECT_EQ(value(env, "HOME"), "/home/ada");
  EXPECT_EQ(value(env, "USER"), "ada");
  EXPECT_EQ(value(env, "BAI_JOB_ID"), "7");
  EXPECT_EQ(value(env, "SLURM_JOB_ID"), "7");  // ours, not what the user had
  EXPECT_EQ(value(env, "SLURM_JOBID"), "7");
  EXPECT_EQ(value(env, "SLURM_JOB_NODELIST"), "n[1-2]");
  EXPECT_EQ(value(env, "SLURM_NNODES"), "2");
  EXPECT_EQ(value(env, "SLURM_NTASKS"), "4");
  EXPECT_EQ(value(env, "BAI_NPROCS"), "4");
  EXPECT_EQ(value(env, "SLURM_CPUS_PER_TASK"), "2");
  EXPECT_EQ(value(env, "SLURM_JOB_CPUS_PER_NODE"), "4(x2)");
  EXPECT_EQ(value(env, "SLURM_TASKS_PER_NODE"), "2(x2)");
  EXPECT_EQ(value(env, "SLURM_CPUS_ON_NODE"), "4");
  EXPECT_EQ(value(env, "SLURM_MEM_PER_NODE"), "500");
  EXPECT_EQ(value(env, "SLURM_MEM_PER_CPU"), "(unset)");
  EXPECT_EQ(value(env, "SLURM_SUBMIT_DIR"), "/home/ada/work");
  EXPECT_EQ(value(env, "SLURM_JOB_PARTITION"), "batch");
  EXPECT_EQ(value(env, "SLURM_JOB_USER"), "ada");
  EXPECT_EQ(value(env, "SLURMD_NODENAME"), "n1");
  EXPECT_EQ(value(env, "SLURM_PROCID"), "0");
  EXPECT_EQ(value(env, "SLURM_ARRAY_TASK_ID"), "(unset)");
  EXPECT_EQ(value(env, "SLURM_RESTART_COUNT"), "(unset)");
  EXPECT_EQ(value(env, "SLURM_JOB_START_TIME"), "1700000000");
  EXPECT_EQ(value(env, "SLURM_JOB_END_TIME"), "1700003600");
}

TEST(AgentEnvironment, IsSilentOfWhatNobodyAskedFor) {
  auto spec = std::make_shared<JobSpec>();
  spec->request.cpus_per_task = 2;
  spec->request.mem_per_node_mib = kAllMemory;
  const User user{getuid(), "ada", "/home/ada", "/bin/bash", {}};
  auto env = [&](std::uint8_t asked) {
    spec->request.asked = asked;
    return job_environment({signed_job(spec, 2).order, user, "test", "n1", 0});
  };
  for (const char* name : {"SLURM_NTASKS", "BAI_NPROCS", "SLURM_CPUS_PER_TASK", "SLURM_MEM_PER_NODE"})
    EXPECT_EQ(value(env(kAskedNodes), name), "(unset)") << name;
  // Then there are as many tasks as processors have room for.
  EXPECT_EQ(value(env(0), "SLURM_TASKS_PER_NODE"), "2(x2)");
  EXPECT_EQ(value(env(kAskedTasks), "SLURM_NTASKS"), "1");
  EXPECT_EQ(value(env(kAskedTasks), "SLURM_CPUS_PER_TASK"), "(unset)");
  EXPECT_EQ(value(env(kAskedCpusPerTask), "SLURM_CPUS_PER_TASK"), "2");
}

TEST(AgentEnvironment, ArrayTasks) {
  Signed s = signed_job();
  Job job = *s.order.job;
  job.array_id = 5;
  job.array_task = 3;
  job.restarts = 1;
  s.order.job = std::make_shared<const Job>(std::move(job));
  const User user{getuid(), "ada", "/home/ada", "/bin/bash", {}};
  const auto env = job_environment({s.order, user, "test", "n1", 0});
  EXPECT_EQ(value(env, "SLURM_ARRAY_JOB_ID"), "5");
  EXPECT_EQ(value(env, "BAI_ARRAY_TASK_ID"), "3");
  EXPECT_EQ(value(env, "SLURM_RESTART_COUNT"), "1");
}

}  // namespace
}  // namespace bai::agent
