#include "cluster_simulation.h"

#include <algorithm>

#include "wire/messages.h"

namespace bai::sim {
namespace {

std::shared_ptr<const ClusterConfig> config_for(Rng& rng, std::size_t nodes, std::uint32_t cpus) {
  std::string text =
      "ClusterName=sim\nBaiUser=900\nCtldHost=localhost\nAgentdTimeout=40\nAgentdLostTimeout=" +
      std::to_string(rng.range(60, 150)) +
      "\nMinJobAge=" + std::to_string(rng.chance(1, 3) ? 5 : rng.range(30, 600)) +
      "\nMaxJobRequeue=250\nNodeName=n[1-" + std::to_string(nodes) + "] CPUs=" + std::to_string(cpus) +
      " RealMemory=1000\nPartitionName=main Nodes=ALL Default=YES\n";
  auto lines = parse_config_text(text, "sim");
  if (!lines) std::abort();
  auto config = parse_config(*lines, nullptr);
  if (!config) {
    std::fprintf(stderr, "%s\n", config.error().text().c_str());
    std::abort();
  }
  return std::make_shared<const ClusterConfig>(std::move(*config));
}

RequestId request_id(Rng& rng) {
  RequestId id;
  for (auto& byte : id.bytes) byte = static_cast<std::uint8_t>(rng.next());
  return id;
}

bool passing(const wire::ReplyBody& body) {
  auto* error = std::get_if<wire::ErrorBody>(&body);
  return error && (error->error.code == "store_unavailable" || error->error.code == "not_admitting");
}

}  // namespace

std::string replay_hint(std::uint64_t seed) {
  return "seed " + std::to_string(seed) + "; play it again with BAI_SIM_SEED=" + std::to_string(seed);
}

ClusterSimulation::ClusterSimulation(std::uint64_t seed, bool trace) : world_(seed, trace), network_(world_) {
  auto count = static_cast<std::size_t>(world_.rng.range(1, 4));
  auto cpus = static_cast<std::uint32_t>(world_.rng.range(1, 4));
  auto config = config_for(world_.rng, count, cpus);
  for (int i = 0; i < 2; ++i) {
    controllers_.push_back(std::make_unique<SimulatedController>(world_, network_, i, config, state_));
    controllers_.back()->on_dead = [this, i] {
      if (i == current_) start_again();
    };
  }
  for (std::size_t i = 0; i < count; ++i)
    agents_.push_back(std::make_unique<SimulatedAgent>(world_, network_, static_cast<int>(i), cpus));
  network_.on_up = [this](int agent, auto conn) {
    agents_[static_cast<std::size_t>(agent)]->session_up(conn);
  };
  network_.on_down = [this](int agent, auto conn) {
    agents_[static_cast<std::size_t>(agent)]->session_down(conn);
  };
  network_.on_order = [this](int agent, auto conn, auto order) {
    agents_[static_cast<std::size_t>(agent)]->order(conn, std::move(order));
  };
  network_.on_agent = [this](int controller, auto conn, auto body) {
    controllers_[static_cast<std::size_t>(controller)]->agent_message(conn, std::move(body));
  };
  network_.on_closed = [this](int controller, auto conn) {
    controllers_[static_cast<std::size_t>(controller)]->closed(conn);
  };
  for (auto& one : controllers_)
    one->on_reply = [this](auto conn, const wire::Reply& reply) {
      auto it = connections_.find(conn);
      if (it == connections_.end() || world_.fault(15)) return;
      world_.after(world_.between(50, world_.fault(30) ? 20'000'000 : 2'000),
                   [this, call = it->second, reply] { on_reply(call, reply); });
    };
}

// The controller that opened the store last died. Another one starts, here or on the other host; one that was replaced may still live.
void ClusterSimulation::start_again() {
  world_.after(world_.between(1'000, world_.faults ? 30'000'000 : 1'000'000), [this] { start_controller(); });
}

void ClusterSimulation::start_controller() {
  if (controller().alive()) return;
  if (!controllers_[static_cast<std::size_t>(1 - current_)]->alive() && world_.rng.chance(1, 2))
    current_ = 1 - current_;
  controller().start();
}

// Another controller opens the store while this one lives: its connection to PostgreSQL was cut, or it stands still.
void ClusterSimulation::take_over() {
  auto other = [this]() -> SimulatedController& {
    return *controllers_[static_cast<std::size_t>(1 - current_)];
  };
  if (!controller().alive() || other().alive()) return;
  if (world_.rng.chance(1, 2)) controller().stall(world_.between(1'000'000, 120'000'000));
  world_.after(world_.between(0, 5'000'000), [this, other] {
    if (!world_.faults || !controller().alive() || other().alive()) return;
    current_ = 1 - current_;
    controller().start();
  });
}

controller::Caller ClusterSimulation::user(std::uint32_t n) const {
  controller::Caller caller;
  caller.uid = caller.gid = 1000 + n;
  caller.user = caller.group = "user" + std::to_string(n);
  return caller;
}

controller::Caller ClusterSimulation::root() const {
  controller::Caller caller;
  caller.user = caller.group = "root";
  caller.is_operator = true;
  return caller;
}

std::string ClusterSimulation::run() {
  controller().start();
  for (auto& agent : agents_) agent->start_agent();
  plan_work();
  plan_faults();
  std::int64_t faults_us = world_.between(20'000'000, world_.rng.chance(1, 5) ? 800'000'000 : 300'000'000);
  world_.after(faults_us, [this] { settle(); });
  std::int64_t limit_us = faults_us + 3 * 3600 * std::int64_t{1'000'000};
  std::uint64_t steps = 0;
  bool encore = world_.rng.chance(1, 4);
  while (world_.failure.empty() && world_.step()) {
    ++steps;
    if (steps % 97 == 0 && controller().idle()) controller().compare_with_reload();
    if (!world_.faults && steps % 64 == 0 && quiet()) {
      if (!std::exchange(encore, false)) break;
      replace_idle();
    }
    if (world_.us() > limit_us)
      world_.fail("stuck: three hours after the last fault there is still something left");
  }
  if (!world_.failure.empty() && world_.tracing()) {
    for (const auto& [id, record] : state_->jobs) {
      auto job = controller().machine() ? controller().machine()->find(id) : nullptr;
      if (job && !is_finished(job->state))
        world_.note("left: " + display_id(*job) + " " + std::string(name(job->state)) + " " +
                    std::string(name(job->reason)) + " " + job->detail.str() +
                    SimulatedController::waits_for(*job));
    }
    for (const auto& [key, process] : world_.running)
      world_.note("left: process " + World::text(key) + " on " + process.node);
    for (const auto& agent : agents_)
      world_.note("left: " + agent->name() + " knows " + std::to_string(agent->attempts()) + " attempts");
  }
  if (world_.failure.empty()) check_end();
  return world_.failure;
}

// Another controller takes over when nothing happens at all: the old one must notice all the same, for the agents are with it.
void ClusterSimulation::replace_idle() {
  world_.note("---- encore");
  current_ = 1 - current_;
  controller().start();
  auto who = user(0);
  wire::SubmitRequest request;
  request.contents = {{"#!/bin/sh\n"}, {"A=1"}};
  wire::Submission one;
  one.launch.script = hash256(request.contents[0].bytes);
  one.launch.environment = hash256(request.contents[1].bytes);
  one.spec.name = "1-" + std::to_string(++names_);
  one.spec.uid = who.uid;
  one.spec.gid = who.gid;
  const std::vector<std::string> names{one.spec.name.str()};
  request.jobs.push_back(std::move(one));
  auto index = call(who, std::move(request));
  calls_[index].names = std::move(names);
  encore_ends_us_ = world_.us() + 100'000'000;
  world_.after(100'000'000, [this, name = names[0]] {
    bool ran = std::any_of(state_->ended.begin(), state_->ended.end(),
                           [&](const auto& ended) { return ended.second->spec->name == name; });
    if (!ran) world_.fail("100 s after another controller took over in an idle cluster it has not run a job");
  });
}

// ---- what goes wrong

void ClusterSimulation::plan_faults() {
  // Some histories are calm, some are wild.
  const std::int64_t pace_us =
      world_.rng.chance(1, 8) ? 1'000'000'000 : world_.between(1'000'000, 60'000'000);
  world_.after(world_.between(0, pace_us), [this, pace_us] {
    if (!world_.faults) return;
    auto& agent = *agents_[world_.rng.below(agents_.size())];
    switch (world_.rng.below(11)) {
      case 0:
      case 1:
        controller().kill();
        break;
      case 2:
      case 3:
        agent.kill_agent();
        break;
      case 4:
        agent.kill_shepherd();
        break;
      case 5:
        agent.reboot();
        break;
      case 6:
        update_node();
        break;
      case 7:
        take_over();
        break;
      case 8:
        controller().stall(world_.between(100'000, 100'000'000));
        break;
      case 9:
        if (world_.rng.chance(1, 4)) world_.set_wall(world_.between(-600'000'000, 600'000'000));
        [[fallthrough]];
      default:
        network_.cut_one();
        break;
    }
    plan_faults();
  });
}

void ClusterSimulation::update_node() {
  wire::UpdateRequest update;
  update.kind = wire::UpdateKind::kNode;
  update.names.push_back(agents_[world_.rng.below(agents_.size())]->name());
  static constexpr const char* kStates[] = {"drain", "down", "resume", "resume"};
  update.values = {{"state", kStates[world_.rng.below(4)]}, {"reason", "tests"}};
  call(root(), update);
}

// ---- what is asked for

void ClusterSimulation::plan_work() {
  auto jobs = world_.rng.range(3, 25);
  for (std::int64_t i = 0; i < jobs; ++i) world_.after(world_.between(0, 100'000'000), [this] { submit(); });
  auto actions = world_.rng.range(0, 15);
  for (std::int64_t i = 0; i < actions; ++i)
    world_.after(world_.between(0, 150'000'000), [this] {
      static constexpr wire::JobAction kActions[] = {
          wire::JobAction::kCancel,  wire::JobAction::kCancel,  wire::JobAction::kHold,
          wire::JobAction::kRelease, wire::JobAction::kRequeue, wire::JobAction::kRequeueHold,
          wire::JobAction::kSuspend, wire::JobAction::kSuspend, wire::JobAction::kResume};
      act(kActions[world_.rng.below(std::size(kActions))]);
    });
}

JobId ClusterSimulation::some_job() {
  if (acknowledged_.empty()) return 1;
  auto it = acknowledged_.begin();
  std::advance(it, world_.rng.below(acknowledged_.size()));
  return it->first;
}

void ClusterSimulation::submit() {
  wire::SubmitRequest request;
  request.contents = {{"#!/bin/sh\n"}, {"A=1"}};
  auto who = user(static_cast<std::uint32_t>(world_.rng.below(2)));
  auto count = world_.rng.chance(1, 5) ? world_.rng.range(2, 5) : 1;
  std::vector<std::string> names;
  auto& rng = world_.rng;
  for (std::int64_t i = 0; i < count; ++i) {
    wire::Submission one;
    one.launch.script = hash256(request.contents[0].bytes);
    one.launch.environment = hash256(request.contents[1].bytes);
    auto seconds = rng.chance(1, 10) ? 0 : rng.chance(1, 3) ? 1 : rng.range(1, 100);
    names.push_back(std::to_string(seconds) + "-" + std::to_string(++names_));
    one.spec.name = names.back();
    one.spec.uid = who.uid;
    one.spec.gid = who.gid;
    one.spec.request.cpus_per_task = static_cast<std::uint32_t>(rng.range(1, 2));
    if (rng.chance(1, 6)) one.spec.request.min_nodes = one.spec.request.tasks = 2;
    one.spec.request.exclusive = rng.chance(1, 10);
    one.spec.time_limit = rng.chance(1, 3) ? rng.range(1, 3) * 60 : 0;
    one.spec.requeue = rng.chance(1, 3) ? Requeue::kNo : rng.chance(1, 2) ? Requeue::kYes : Requeue::kDefault;
    if (rng.chance(1, 5)) {
      IdSet tasks;
      tasks.insert(0, static_cast<std::uint32_t>(rng.below(5)));
      one.array_tasks = std::move(tasks);
      one.array_max_running = static_cast<std::uint32_t>(rng.below(3));
    }
    JobExtras extras;
    if (rng.chance(1, 4)) {
      extras.dependencies.any = rng.chance(1, 4);
      auto n = rng.range(1, 2);
      for (std::int64_t d = 0; d < n; ++d) {
        Dependency dependency;
        dependency.kind = static_cast<DependencyKind>(rng.below(6));
        dependency.job = dependency.kind == DependencyKind::kSingleton ? 0 : some_job();
        if (dependency.kind == DependencyKind::kAfter && rng.chance(1, 3)) dependency.delay_min = 1;
        extras.dependencies.list.push_back(dependency);
      }
    }
    if (rng.chance(1, 10)) extras.begin = world_.now() + rng.range(1, 100);
    if (rng.chance(1, 10)) extras.deadline = world_.now() + rng.range(20, 400);
    one.spec.set_extras(std::move(extras));
    one.hold = rng.chance(1, 12);
    request.jobs.push_back(std::move(one));
  }
  auto index = call(who, std::move(request));
  calls_[index].names = std::move(names);
}

void ClusterSimulation::act(wire::JobAction action) {
  wire::ActionRequest request;
  request.action = action;
  wire::JobRef ref{some_job(), kNoTask};
  if (world_.rng.chance(1, 4)) ref.task = static_cast<std::uint32_t>(world_.rng.below(4));
  request.filter.jobs.push_back(ref);
  if (action == wire::JobAction::kCancel && world_.rng.chance(1, 4)) request.signal = 9;
  const bool root_only = action == wire::JobAction::kSuspend || action == wire::JobAction::kResume;
  call(root_only || world_.rng.chance(1, 3) ? root() : user(static_cast<std::uint32_t>(world_.rng.below(2))),
       request);
}

// When all is well again, what stands still is what is suspended; then it goes on.
void ClusterSimulation::check_standing() {
  if (!controller().machine()) return;
  wire::ActionRequest resume;
  resume.action = wire::JobAction::kResume;
  for (const auto& [key, process] : world_.running) {
    auto job = controller().machine()->find(key.job);
    if (!job || job->attempt != key.attempt) continue;
    if (job->state == JobState::kSuspended ? !process.stands
                                           : job->state == JobState::kRunning && process.stands)
      world_.fail("job " + display_id(*job) + " is " + std::string(name(job->state)) +
                  ", its process is not");
  }
  resume.filter.states = {JobState::kSuspended};
  call(root(), resume);
}

std::size_t ClusterSimulation::call(controller::Caller caller, wire::RequestBody body,
                                    std::function<void(const wire::ReplyBody&)> then) {
  calls_.push_back({std::move(caller),
                    {request_id(world_.rng), false, std::move(body)},
                    {},
                    0,
                    false,
                    {},
                    std::move(then)});
  std::size_t index = calls_.size() - 1;
  world_.after(0, [this, index] { send(index); });
  return index;
}

void ClusterSimulation::send(std::size_t index) {
  Call& c = calls_[index];
  if (c.answered) return;
  wire::Request request = c.request;
  request.repeat = c.sent++ > 0;
  SimulatedController& other = *controllers_[static_cast<std::size_t>(1 - current_)];
  SimulatedController& to = other.alive() && world_.fault(2) ? other : controller();
  if (to.alive() && !world_.fault(15)) {
    auto conn = network_.new_id();
    connections_[conn] = index;
    std::int64_t delay = world_.between(50, world_.fault(20) ? 20'000'000 : 2'000);
    world_.after(delay, [&to, conn, life = to.life(), caller = c.caller, request = std::move(request)] {
      to.command(life, conn, caller, request);
    });
  }
  world_.after(world_.between(1'000'000, 5'000'000), [this, index] { send(index); });
}

void ClusterSimulation::on_reply(std::size_t index, const wire::Reply& reply) {
  Call& c = calls_[index];
  if (passing(reply.body)) return;  // it tries again
  std::string bytes = wire::encode_reply(reply);
  if (c.answered) {
    if (bytes != c.answer) world_.fail("a repeated request got another answer");
    return;
  }
  c.answered = true;
  c.answer = std::move(bytes);
  const auto& durable = *state_;
  if (!durable.requests.contains(reply.id)) world_.fail("an answer came that is not durable");
  if (auto* submitted = std::get_if<wire::SubmitReply>(&reply.body)) {
    for (std::size_t i = 0; i < submitted->results.size(); ++i) {
      const auto& one = submitted->results[i];
      if (one.error) continue;
      JobId id = one.ref.job;
      world_.note("acknowledged: job " + std::to_string(id) + " " + c.names[i]);
      if (id > durable.lineage.last_job_id) world_.fail("an id was acknowledged that is not durable");
      if (!acknowledged_.emplace(id, c.names[i]).second)
        world_.fail("job id " + std::to_string(id) + " was acknowledged twice");
    }
  }
  if (c.then) c.then(reply.body);
}

// ---- the end

void ClusterSimulation::settle() {
  world_.note("---- the faults are over");
  world_.faults = false;
  start_controller();
  for (auto& agent : agents_) agent->start_agent();
  wire::UpdateRequest resume;
  resume.kind = wire::UpdateKind::kNode;
  for (auto& agent : agents_) resume.names.push_back(agent->name());
  resume.values = {{"state", "resume"}};
  for (std::int64_t after_s : {0, 60, 120})  // an earlier "down" may still be on its way
    world_.after(after_s * 1'000'000, [this, resume] { call(root(), resume); });
  for (std::int64_t after_s : {190, 240, 290})
    world_.after(after_s * 1'000'000, [this] { check_standing(); });
  // Whoever is held is released; whoever would run or wait for ever is cancelled after a while.
  world_.after(200'000'000, [this] {
    wire::ActionRequest release;
    release.action = wire::JobAction::kRelease;
    release.filter.states = {JobState::kPending};
    call(root(), release);
  });
  for (std::int64_t after_s = 300; after_s < 3'000; after_s += 100)
    world_.after(after_s * 1'000'000, [this] {
      wire::ActionRequest cancel;
      cancel.filter.states = {JobState::kRunning, JobState::kSuspended};
      call(root(), cancel);
    });
  world_.after(1'000'000'000, [this] { check_stuck(); });
}

// Every job has ended but those that can never start, and those that wait for them.
void ClusterSimulation::check_stuck() {
  if (!controller().machine()) return;
  bool active = !world_.running.empty();
  for (const auto& [id, record] : state_->jobs)
    if (auto job = controller().machine()->find(id)) active = active || is_active(job->state);
  // A long queue is not a stuck one, nor is the job of the encore.
  if (active || world_.us() < encore_ends_us_) return world_.after(50'000'000, [this] { check_stuck(); });
  auto unfinished = [this](JobId id) {
    for (const auto& [other, record] : state_->jobs) {
      auto job = controller().machine()->find(other);
      if (job && (job->id == id || job->array_id == id) && !is_finished(job->state)) return true;
    }
    return false;
  };
  for (const auto& [id, record] : state_->jobs) {
    auto job = controller().machine()->find(id);
    if (!job || is_finished(job->state)) continue;
    bool impossible = job->state == JobState::kPending && job->reason == Reason::kPartitionConfig;
    bool waits = job->state == JobState::kPending &&
                 (job->reason == Reason::kDependencyNeverSatisfied || job->eligible > world_.now());
    for (const auto& dependency : job->spec->extras().dependencies.list) {
      auto target = controller().machine()->find(dependency.job);
      waits = waits || (dependency.delay_min && target &&
                        target->started + dependency.delay_min * 60 + 2 > world_.now());
      waits = waits || (job->reason == Reason::kDependency &&
                        (dependency.kind == DependencyKind::kSingleton || unfinished(dependency.job)));
    }
    if (!impossible && !waits && job->state != JobState::kRunning)
      world_.fail("job " + display_id(*job) + " is stuck: " + std::string(name(job->state)) + ", " +
                  std::string(name(job->reason)));
  }
  call(root(), wire::ActionRequest{});  // what is left never starts
}

bool ClusterSimulation::quiet() {
  if (!controller().idle() || !world_.running.empty()) return false;
  for (const auto& c : calls_)
    if (!c.answered) return false;
  for (const auto& one : controllers_)
    if (one->superseded()) return false;
  for (const auto& agent : agents_)
    if (!agent->alive() || agent->attempts()) return false;
  for (const auto& [id, record] : state_->jobs) {
    auto job = controller().machine()->find(id);
    if (!job || !is_finished(job->state)) return false;
  }
  return true;
}

void ClusterSimulation::check_end() {
  controller().compare_with_reload();
  const auto& durable = *state_;
  std::map<std::string, std::set<JobId>> by_name;
  std::map<JobId, std::uint64_t> ended;
  for (const auto& [key, job] : durable.ended) {
    JobId shown = job->array_id ? job->array_id : job->id;
    by_name[job->spec->name.str()].insert(shown);
    ended[shown]++;
  }
  for (const auto& [id, name] : acknowledged_) {
    if (!ended.contains(id))
      return world_.fail("acknowledged job " + std::to_string(id) + " (" + name + ") never ended");
    if (by_name[name] != std::set<JobId>{id})
      return world_.fail("submission " + name + " became more than one job");
  }
  for (const auto& [name, ids] : by_name)
    if (ids.size() != 1)
      return world_.fail("submission " + name + " became " + std::to_string(ids.size()) + " jobs");
  if (durable.jobs.empty() && !durable.launches.empty())
    world_.fail("launch records are left of jobs that are gone");
}

}  // namespace bai::sim
