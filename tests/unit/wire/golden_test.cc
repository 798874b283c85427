// The bytes of protocol version 1, as released: a message that encodes otherwise would not be understood by the other side of
// an upgrade. BAI_WRITE_GOLDEN=1 writes tests/data/wire/v1.txt anew; a change of an existing line needs a new version.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include "wire/agent_messages.h"
#include "wire/messages.h"

namespace bai::wire {
namespace {

std::string golden_path() { return "tests/data/wire/v1.txt"; }

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (unsigned char c : bytes) {
    out += kDigits[c >> 4];
    out += kDigits[c & 15];
  }
  return out;
}

Uuid id() {
  Uuid out;
  for (std::size_t i = 0; i < 16; ++i) out.bytes[i] = static_cast<std::uint8_t>(i * 17);
  return out;
}

JobSpec spec() {
  JobSpec s;
  s.name = "train";
  s.user = "ada";
  s.group = "users";
  s.uid = 1000;
  s.gid = 100;
  s.account = "physics";
  s.partition = "main";
  s.workdir = "/home/ada";
  s.std_out = "bai-%j.out";
  s.command = "/home/ada/train.sh";
  s.request.min_nodes = 2;
  s.request.tasks = 4;
  s.request.cpus_per_task = 8;
  s.request.mem_per_node_mib = 4096;
  s.request.constraint = "a100&ib";
  s.time_limit = 3600;
  s.nice = -5;
  JobExtras extras;
  extras.begin = Time::from_seconds(1'700'000'000);
  extras.dependencies.list.push_back({DependencyKind::kAfterOk, 7, 3, 0, DependencyState::kWaiting});
  extras.signal = {10, true, 90};
  extras.mail_events = kMailEnd | kMailFail;
  extras.mail_user = "ada@example.org";
  s.set_extras(extras);
  return s;
}

LaunchRecord launch() {
  LaunchRecord l;
  l.args = {"--epochs", "3"};
  l.script.bytes[0] = 1;
  l.environment.bytes[1] = 2;
  l.nonce = id();
  l.credential = "MUNGE:golden:";
  l.path = {l.script};
  l.index = 5;
  return l;
}

Job job() {
  Job j;
  j.id = 12;
  j.array_id = 9;
  j.array_task = 3;
  j.state = JobState::kRunning;
  j.priority = 1'000'000;
  j.attempt = 2;
  j.submitted = Time{1'700'000'000'123'456};
  j.started = Time{1'700'000'001'000'000};
  j.lsn = 99;
  j.spec = std::make_shared<const JobSpec>(spec());
  Allocation allocation;
  allocation.partition = "main";
  allocation.nodes = {{"n1", 16, 4096}, {"n2", 16, 4096}};
  j.allocation = std::make_shared<const Allocation>(allocation);
  return j;
}

Step step() {
  Step s;
  s.job = 12;
  s.attempt = 2;
  s.id = 3;
  s.uid = 1000;
  s.spec.tasks = 3;
  s.spec.distribution = Distribution::kCyclic;
  s.spec.devices = {{"gpu", "a100", 1000, DevicePer::kTask}};
  s.nodes = {{"n1", 0, 2, 100, {}, {0, 2}}, {"n2", 1, 1, 50, {}, {1}}};
  s.state = JobState::kRunning;
  s.created = Time{1'700'000'001'500'000};
  s.command = "hostname";
  return s;
}

StepRun step_run() {
  StepRun run;
  run.client = {{"127.0.0.1:40000"}, std::string(32, 'k')};
  run.workdir = "/home/ada";
  run.pty = true;
  run.rows = 24;
  run.mpi = "pmi1";
  return run;
}

std::map<std::string, std::string> samples() {
  std::map<std::string, std::string> out;
  auto request = [&out](const std::string& name, RequestBody body) {
    out["request " + name] = hex(encode_request({id(), true, std::move(body)}));
  };
  auto reply = [&out](const std::string& name, ReplyBody body) {
    out["reply " + name] = hex(encode_reply({id(), std::move(body)}));
  };
  JobFilter filter;
  filter.jobs = {{7, kNoTask}, {8, 2}};
  filter.users = {"ada"};
  filter.states = {JobState::kPending};
  filter.mine = true;
  Submission submission;
  submission.spec = spec();
  submission.launch = launch();
  submission.array_tasks = IdSet();
  submission.array_tasks->insert(1, 10);
  submission.array_max_running = 2;
  submission.priority = 5;
  request("ping", PingRequest{});
  request("submit", SubmitRequest{{{"#!/bin/sh\n"}}, {submission}, false});
  request("queue", QueueRequest{filter, true});
  request("watch", WatchRequest{filter});
  request("wait", WaitRequest{7});
  request("history", HistoryRequest{{7, 3}});
  request("accounting", AccountingRequest{filter, Time{1}, Time{2}, true});
  request("cluster", ClusterRequest{});
  request("config", ConfigRequest{});
  request("diag", DiagRequest{true});
  request("action", ActionRequest{JobAction::kCancel, filter, 10, true, false, false, {3, 0}});
  request("update", UpdateRequest{UpdateKind::kNode, {}, {"n1"}, {{"state", "drain"}, {"reason", "fan"}}});
  request("reconfigure", ReconfigureRequest{});
  request("shutdown", ShutdownRequest{true});
  request("log_level", LogLevelRequest{"debug"});
  request("why", WhyRequest{{7, 3}});
  request("drain_plan", DrainPlanRequest{{"n[1-2]"}});
  request("hold", HoldRequest{12, true});
  request("step",
          StepRequest{12, step().spec, step_run(), launch(), "0 hostname\n", std::string("A=1\0", 4), true});
  request("attach", AttachRequest{12, 3, step_run().client, true});
  request("steps", StepsRequest{{12}});
  request("use", UseRequest{{{12, kNoTask, 3}, {13}}, true, false});
  request("script", ScriptRequest{{12, 3}});
  reply("script", ScriptReply{"#!/bin/sh\n", std::string("A=1\0", 4)});
  request("create_partition", UpdateRequest{UpdateKind::kCreatePartition, {}, {"night"}, {{"nodes", "n1"}}});
  LiveUse use;
  use.tasks = 2;
  use.processes = 3;
  use.cpu_us = {9'000'000, 5'000'000, 4'000'000, 1, 0};
  use.rss_kib = {2048, 1500, 900, 0, 1};
  use.pids = {100, 101, 200};
  reply("use",
        UseReply{Time{6},
                 {{12, 9, 3, 2, 3, "train", "ada", Time{5}, 2, 4, {{"n1", "", use}, {"n2", "gone", {}}}}},
                 {{{13}, ErrorBody{{"not_running", "no", "", ""}}, ""}}});
  reply("allocation", AllocationReply{std::make_shared<const Job>(job()), 3600});
  reply("step", StepReply{step()});
  reply("step_end", StepEndReply{step(), {{"n2", "killed"}}});
  reply("steps", StepsReply{Time{6}, true, {step()}});
  JobTableBuilder rows;
  rows.add(job(), 3600, "n1");
  reply("error", ErrorBody{{"no_such_job", "there is no job 7", "-j", "see bai-queue"}});
  reply("submit", SubmitReply{{{{7, kNoTask}, {}, "held"}}, Time{5}, 8, "n[1-2]", "main", {"warning"}});
  reply("jobs", JobsReply{99, Time{6}, false, true, {"nobody"}, rows.take()});
  reply("wait", WaitReply{JobState::kFailed, {3, 9}});
  reply("history",
        HistoryReply{{{7, 1, 98, Time{4}, JobState::kPending, JobState::kConfiguring, "scheduler", 0}}});
  reply("action", ActionReply{{{{7, 3}, ErrorBody{{"not_permitted", "no", "", ""}}, ""}}});
  reply("done", DoneReply{{"nothing changed"}});
  Explanation explanation;
  explanation.asks = "--nodes=2";
  explanation.reason = Reason::kResources;
  explanation.places = {
      {"main", Reason::kNone, "", 2, 9, 1, 1, 5, 1, 1, 1, 2, {{"memory", 1}}, {{"CPUs", 5}}}};
  explanation.blockers = {{5, Time{9}, "n1"}};
  explanation.what_if = {{"--nodes=1", Time{6}, true}};
  explanation.estimates = {3, -1, -5, 60};
  reply("why", WhyReply{Time{6}, {}, explanation});
  reply("drain_plan", DrainPlanReply{Time{6}, {{7, Time{8}, Time{9}}}, {5}});
  AttemptReport report{{12, 2}, AttemptPhase::kEnded, AttemptEnd::kTimeout, Time{1}, Time{2},
                       {1, 15}, "time limit",         {10, 20, 30}};
  AgentRegister hello;
  hello.node = "n1";
  hello.boot_id = id();
  hello.found.cpus = 64;
  hello.seen = {id(), 3, 77, 12};
  hello.attempts = {report};
  out["agent register"] = hex(encode_agent(hello));
  out["agent heartbeat"] = hex(encode_agent(AgentHeartbeat{150, 2048, 7, "", {}, 0, ""}));
  out["agent attempts"] = hex(encode_agent(AgentAttempts{{report}}));
  out["agent use"] = hex(encode_agent(AgentUse{5, {12, 2, 3}, true, use}));
  out["order welcome"] =
      hex(encode_order(AgentWelcome{{id(), 3, 77, 12}, "blue", 7, "ClusterName=blue\n", 10}));
  AgentOrders orders;
  orders.lineage = {id(), 3, 78, 12};
  LaunchOrder start;
  start.key = {12, 2};
  start.job = std::make_shared<const Job>(job());
  start.launch = launch();
  start.time_limit = 3600;
  start.script = "#!/bin/sh\n";
  start.environment = std::string("A=1\0", 4);
  orders.launches.push_back(start);
  orders.signals.push_back({{12, 2}, 4, 10, true, false, AttemptEnd::kCancelled});
  LaunchOrder its_step = start;
  its_step.key.step = 3;
  its_step.step = std::make_shared<const Step>(step());
  its_step.run = step_run();
  orders.launches.push_back(its_step);
  orders.forget = {{11, 1}};
  orders.signals.push_back({{12, 2}, 5, 0, false, false, AttemptEnd::kPreempted, 90, Notice::kOwnSignal});
  orders.attaches = {{{12, 2, 3}, step_run().client, true}};
  orders.uses = {{5, {{12, 2, 3}, {12, 2}}}};
  orders.suspends = {{{12, 2, 3}, 6, true}};
  orders.limits = {{{12, 2, 3}, 1800}};
  out["order orders"] = hex(encode_order(std::move(orders)));
  return out;
}

TEST(Golden, version_1_is_what_it_was) {
  auto now = samples();
  if (std::getenv("BAI_WRITE_GOLDEN")) {
    std::ofstream file(golden_path());
    for (const auto& [name, bytes] : now) file << name << ' ' << bytes << '\n';
  }
  std::ifstream file(golden_path());
  ASSERT_TRUE(file.good()) << golden_path();
  std::map<std::string, std::string> released;
  for (std::string line; std::getline(file, line);) {
    auto space = line.rfind(' ');
    released[line.substr(0, space)] = line.substr(space + 1);
  }
  EXPECT_EQ(released.size(), now.size());
  for (const auto& [name, bytes] : released) EXPECT_EQ(now[name], bytes) << name;
}

}  // namespace
}  // namespace bai::wire
