#include "simulated_controller.h"

#include <algorithm>

#include "controller/engine.h"

namespace bai::sim {

using controller::Output;

SimulatedController::SimulatedController(World& world, Network& network, int index,
                                         std::shared_ptr<const ClusterConfig> config,
                                         std::shared_ptr<store::MemoryStore::State> state)
    : world_(world), network_(network), index_(index), config_(std::move(config)), state_(std::move(state)) {}

std::string SimulatedController::waits_for(const Job& job) {
  static constexpr const char* kKinds[] = {"after",      "afterany",  "afterok",
                                           "afternotok", "aftercorr", "singleton"};
  static constexpr const char* kStates[] = {"waiting", "satisfied", "failed"};
  std::string out;
  for (const auto& d : job.spec->extras().dependencies.list)
    out += std::string(job.spec->extras().dependencies.any ? " ?" : " ") + kKinds[static_cast<int>(d.kind)] +
           ":" + std::to_string(d.job) + "+" + std::to_string(d.delay_min) + " " +
           kStates[static_cast<int>(d.state)];
  return out;
}

void SimulatedController::later(std::int64_t delay_us, std::function<void()> what) {
  world_.after(delay_us, [this, life = life_, what = std::move(what)]() mutable {
    if (!store_ || life != life_) return;
    if (world_.us() < stalled_until_us_) return later(stalled_until_us_ - world_.us(), std::move(what));
    what();
  });
}

void SimulatedController::start() {
  if (store_) return;
  ++life_;
  store_ = std::make_unique<store::MemoryStore>(state_);
  reader_ = std::move(*store_->open_reader());
  world_.note("controller starts, epoch " + std::to_string(state_->lineage.epoch) + ", LSN " +
              std::to_string(state_->lineage.lsn));
  generation_ = committed_generation_ = 0;
  stalled_until_us_ = 0;
  confirmed_us_ = world_.us();
  over_ = committing_ = false;
  careful_until_ms_ = 0;
  lost_ = commit_planned_ = engine_planned_ = false;
  decided_us_ = 0;
  queue_.clear();
  load();
  network_.listen(index_, true);
  run_tick();
  run_confirm();
}

void SimulatedController::kill() {
  if (!store_) return;
  world_.note("controller is killed");
  machine_.reset();
  store_.reset();
  queue_.clear();
  network_.listen(index_, false);
  network_.controller_dies(index_);
  on_dead();
}

void SimulatedController::stall(std::int64_t for_us) {
  if (!store_) return;
  world_.note("controller stalls for " + std::to_string(for_us / 1'000'000) + " s");
  stalled_until_us_ = std::max(stalled_until_us_, world_.us() + for_us);
  network_.controller_is_silent(index_);
}

void SimulatedController::load() {
  scheduler_ = sokovan::Scheduler();
  feed_.clear();
  met_.clear();
  Output out;
  controller::MachineStart start{config_, store_->lineage(), *store_->load(), world_.now(), world_.ms(),
                                 0,       generation_};
  machine_ = std::make_unique<controller::Machine>(std::move(start), out);
  emit(std::move(out));
}

void SimulatedController::run_tick() {
  std::int64_t wait = 1'000'000;
  if (world_.fault(1'000)) wait = world_.between(1'000'000, 60'000'000);  // a stall
  later(wait, [this] {
    input(controller::Tick{});
    if (store_) run_tick();
  });
}

// ---- the front

void SimulatedController::command(std::uint64_t life, Conn conn, const controller::Caller& caller,
                                  const wire::Request& request) {
  if (!store_ || life != life_) return;
  if (world_.us() < stalled_until_us_)
    return later(stalled_until_us_ - world_.us(), [=, this] { command(life, conn, caller, request); });
  if (lost_ && !std::holds_alternative<wire::WaitRequest>(request.body))
    return on_reply(conn, {request.id, wire::ErrorBody{{"store_unavailable", "lost"}}});
  controller::FromCommand command{conn, caller, request, {}, std::nullopt};
  if (auto* submit = std::get_if<wire::SubmitRequest>(&command.request.body)) {
    for (auto& content : submit->contents) {
      auto bytes = std::make_shared<const std::string>(content.bytes);
      command.contents.emplace_back(hash256(*bytes), bytes);
    }
    submit->contents.clear();
  }
  bool look_up = request.repeat || world_.ms() < careful_until_ms_;
  if (look_up) {
    auto found = reader_->request(request.id);
    if (*found) command.earlier = **found;
  }
  later(look_up ? world_.between(0, 5'000) : 0,
        [this, command = std::move(command)]() mutable { input(std::move(command)); });
}

void SimulatedController::agent_message(Conn conn, wire::AgentBody body) {
  if (world_.tracing() && store_ && std::holds_alternative<wire::AgentRegister>(body))
    world_.note("session " + std::to_string(conn) + ": " + std::get<wire::AgentRegister>(body).node +
                " registers");
  if (!store_ || lost_) return;
  if (world_.us() < stalled_until_us_)
    return later(stalled_until_us_ - world_.us(),
                 [this, conn, body = std::move(body)]() mutable { agent_message(conn, std::move(body)); });
  input(controller::FromAgent{conn, std::move(body)});
}

void SimulatedController::closed(Conn conn) {
  if (!store_) return;
  if (world_.us() < stalled_until_us_)
    return later(stalled_until_us_ - world_.us(), [this, conn] { closed(conn); });
  input(controller::Closed{conn});
}

// ---- the state thread

void SimulatedController::input(controller::InputBody body) {
  if (!store_) return;
  if (!machine_) {
    if (auto* command = std::get_if<controller::FromCommand>(&body))
      on_reply(command->conn, {command->request.id, wire::ErrorBody{{"store_unavailable", "no machine"}}});
    return;
  }
  Output out;
  machine_->handle({world_.now(), world_.ms(), std::move(body)}, out);
  if (out.batch.first) {
    if (auto broken = machine_->check_invariants(); !broken.empty()) world_.fail(broken);
  }
  if (out.effects.trouble && !out.effects.trouble->empty() && !superseded())
    world_.fail("trouble: " + *out.effects.trouble);
  emit(std::move(out));
}

void SimulatedController::emit(Output out) {
  out.generation = generation_;
  for (const auto& change : out.feed) {
    if (auto* set = std::get_if<sokovan::JobSet>(&change)) met_[set->job->id] = set->dependencies_met;
    if (auto* gone = std::get_if<sokovan::JobGone>(&change)) met_.erase(gone->job);
  }
  if (!out.feed.empty()) {
    feed_.insert(feed_.end(), out.feed.begin(), out.feed.end());
    if (!std::exchange(engine_planned_, true))
      later(world_.between(10, world_.fault(20) ? 2'000'000 : 2'000), [this] { engine(); });
  }
  out.feed.clear();
  if (world_.tracing())
    for (const auto& node : out.effects.nodes)
      world_.note("  node " + node->name.str() + " is " + node_state_long(*node) + " " + node->reason.str() +
                  " responding " + std::to_string(node->responding));
  if (!out.batch.first && out.effects.empty()) return;
  queue_.push_back(std::move(out));
  plan_commit();
}

void SimulatedController::engine() {
  engine_planned_ = false;
  for (const auto& change : std::exchange(feed_, {})) scheduler_.apply(change);
  Time wakeup;
  for (bool complete = false; !complete;) {
    sokovan::Budget budget;
    if (world_.rng.chance(1, 4)) budget.max_starts = 2;
    auto decisions = scheduler_.decide(world_.now(), budget);
    complete = decisions.complete;
    wakeup = decisions.next_wakeup;
    if (decisions.starts.empty() && decisions.waiting.empty()) continue;
    // Through a queue: none overtakes an earlier one.
    decided_us_ = std::max(decided_us_, world_.us() + world_.between(10, world_.fault(20) ? 500'000 : 1'000));
    later(decided_us_ - world_.us(),
          [this, generation = generation_, decisions = std::move(decisions)]() mutable {
            if (generation == generation_) input(controller::Decided{generation, std::move(decisions)});
          });
  }
  if (wakeup.is_set()) {
    auto wait = controller::engine_wait_us(wakeup, world_.now());
    later(std::max<std::int64_t>(wait, 1'000), [this] {
      if (!std::exchange(engine_planned_, true)) engine();
    });
  }
}

// ---- the store thread

void SimulatedController::plan_commit() {
  if (committing_ || queue_.empty() || std::exchange(commit_planned_, true)) return;
  later(world_.between(100, world_.fault(20) ? 1'500'000 : 5'000), [this] { commit(); });
}

void SimulatedController::run_confirm() {
  later(1'000'000, [this] {
    if (!committing_ && !lost_ && world_.us() - confirmed_us_ >= 10'000'000) confirm();
    if (store_) run_confirm();
  });
}

void SimulatedController::confirm() {
  confirmed_us_ = world_.us();
  if (!over_ && !store_->confirm()) give_up();
}

// The process ends, but not at once: the other threads go on for a moment.
void SimulatedController::give_up() {
  world_.note("controller learns that another has taken over");
  over_ = true;
  later(world_.between(0, 500'000), [this] { kill(); });
}

void SimulatedController::commit() {
  commit_planned_ = false;
  if (over_) return queue_.clear();
  std::vector<Output> outputs;
  for (auto& output : std::exchange(queue_, {})) {
    if (output.generation == committed_generation_)
      outputs.push_back(std::move(output));
    else
      refuse(output);
  }
  if (outputs.empty()) return;
  store::Batch batch;
  controller::Effects effects;
  for (auto& output : outputs) {
    if (output.batch.first) {
      if (!batch.first) batch.first = output.batch.first;
      batch.last = output.batch.last;
      batch.changes.insert(batch.changes.end(), output.batch.changes.begin(), output.batch.changes.end());
    }
    batch.last_job_id = std::max(batch.last_job_id, output.batch.last_job_id);
  }
  bool reload = false;
  bool leaves = std::any_of(outputs.begin(), outputs.end(), [](const Output& output) {
    const auto& e = output.effects;
    return !e.replies.empty() || !e.orders.empty() || !e.launches.empty();
  });
  if (superseded() && (batch.first || leaves)) {
    if (batch.first ? store_->commit(batch).ok() : store_->confirm().ok())
      world_.fail("a controller that was replaced has committed");
    return give_up();
  }
  if (batch.first || leaves) confirmed_us_ = world_.us();
  if (batch.first) {
    if (world_.fault(400)) return kill();
    bool lost = world_.fault(400), applied = lost && world_.rng.chance(1, 2);
    if (lost)
      store_->faults.push_back(applied ? store::MemoryStore::Fault::kAfter
                                       : store::MemoryStore::Fault::kBefore);
    if (!lost || applied) look_at(batch);
    auto done = store_->commit(batch);
    if (!store_->broken.empty()) world_.fail(store_->broken);
    if (!done) {
      world_.note("a commit fails, " + std::string(applied ? "and is there" : "and is not there"));
      lost_ = true;
      later(world_.between(0, 3'000), [this, generation = generation_] {  // the state thread hears of it
        if (generation == generation_) machine_.reset();
      });
      if (auto opened = store_->reopen(); !opened)
        world_.fail("the store does not open: " + opened.error().text());
      if (!applied) {
        for (const auto& output : outputs) refuse(output);
        return recover();
      }
      reload = true;
    }
    if (world_.fault(400)) return kill();
  }
  auto append = [](auto& to, auto& from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  };
  for (auto& output : outputs) {
    append(effects.replies, output.effects.replies);
    append(effects.orders, output.effects.orders);
    append(effects.launches, output.effects.launches);
    append(effects.close, output.effects.close);
  }
  // It may be held up here, and another may take over meanwhile: what leaves is durable, and agents who know better refuse it.
  auto leave = [this, effects = std::move(effects), reload]() mutable {
    committing_ = false;
    release(std::move(effects));
    if (!store_) return;
    if (reload) recover();
    plan_commit();
  };
  if (!world_.fault(30)) return leave();
  committing_ = true;
  later(world_.between(0, 3'000'000), std::move(leave));
}

// What became durable, as the world's truth must have it.
void SimulatedController::look_at(const store::Batch& batch) {
  for (const auto& change : batch.changes) {
    if (auto* put = std::get_if<store::JobPut>(&change)) {
      if (is_active(put->job->state)) world_.intended.insert({put->job->id, put->job->attempt});
      if (world_.tracing())
        world_.note("job " + display_id(*put->job) + " (" + std::to_string(put->job->id) + "." +
                    std::to_string(put->job->attempt) + ") is " + std::string(name(put->job->state)) + " " +
                    std::string(name(put->job->reason)) + waits_for(*put->job));
    }
    if (auto* node = std::get_if<store::NodePut>(&change);
        node && node->decision.down && node->decision.reason == "Not responding") {
      world_.note("node " + node->name.str() + " is declared lost");
      world_.lost_us[node->name.str()] = world_.us();
    }
    if (auto* ended = std::get_if<store::JobEnded>(&change)) {
      const Job& job = *ended->job;
      auto [it, fresh] = state_->ended.try_emplace({job.id, job.attempt}, ended->job);
      if (!fresh && it->second->allocation && it->second->state != job.state)
        world_.fail("job " + std::to_string(job.id) + ": the record of attempt " +
                    std::to_string(job.attempt) + " is overwritten");
      auto exit = world_.exit_codes.find({job.id, job.attempt});
      if (job.state == JobState::kCompleted && (exit == world_.exit_codes.end() || exit->second != 0))
        world_.fail("job " + std::to_string(job.id) + " is COMPLETED, but its attempt did not exit with 0");
      if (job.state == JobState::kFailed && job.reason == Reason::kNonZeroExitCode && job.exit.code == 3 &&
          (exit == world_.exit_codes.end() || exit->second != 3))
        world_.fail("job " + std::to_string(job.id) + " is FAILED, but its attempt did not exit so");
    }
  }
}

void SimulatedController::refuse(const Output& output) {
  for (const auto& reply : output.effects.replies)
    on_reply(reply.conn, {reply.reply.id, wire::ErrorBody{{"store_unavailable", "refused"}}});
}

void SimulatedController::recover() {
  ++committed_generation_;
  later(world_.between(1'000, 5'000'000), [this, generation = committed_generation_] {
    if (superseded()) return give_up();
    generation_ = generation;
    lost_ = false;
    careful_until_ms_ = world_.ms() + controller::kAnswerMemoryMs;
    world_.note("the store is well again, LSN " + std::to_string(store_->lineage().lsn));
    network_.controller_dies(index_);  // it closes all of its agents' sessions: they register anew
    load();
  });
}

void SimulatedController::release(controller::Effects effects) {
  auto died = [this] {
    if (!world_.fault(2'000)) return false;
    kill();
    return true;
  };
  for (auto& reply : effects.replies) {
    if (died()) return;
    on_reply(reply.conn, reply.reply);
  }
  auto lineage = store_->lineage();
  auto send_orders = [&](bool about_attempts) {
    for (auto& order : effects.orders)
      if (std::holds_alternative<wire::AgentOrders>(order.order) == about_attempts)
        network_.to_agent(order.conn, std::move(order.order));
  };
  send_orders(false);
  for (auto& launch : effects.launches) {
    if (died()) return;
    if (!state_->jobs.contains(launch.key.job)) continue;  // it ended and was forgotten in the same batch
    wire::AgentOrders orders;
    orders.lineage = lineage;
    wire::LaunchOrder order;
    order.key = launch.key;
    order.job = launch.job;
    order.time_limit = launch.time_limit;
    auto record = reader_->launch(launch.launch_id);
    if (!record) {
      world_.fail("no launch record for job " + std::to_string(launch.key.job));
      continue;
    }
    order.launch = std::move(*record);
    orders.launches.push_back(std::move(order));
    network_.to_agent(launch.conn, std::move(orders));
  }
  if (died()) return;
  send_orders(true);
  for (Conn conn : effects.close) network_.controller_closes(conn);
}

void SimulatedController::compare_with_reload() {
  if (std::exchange(compared_, state_->lineage.lsn) == state_->lineage.lsn) return;
  Output out;
  controller::Machine other(
      {config_, state_->lineage, store::MemoryStore::load(*state_), world_.now(), world_.ms(), 0, 0}, out);
  if (auto broken = other.check_invariants(); !broken.empty()) world_.fail("after a reload: " + broken);
  if (other.job_count() != machine_->job_count())
    world_.fail("a reload finds " + std::to_string(other.job_count()) + " jobs, not " +
                std::to_string(machine_->job_count()));
  if (other.lsn() != machine_->lsn()) world_.fail("a reload finds another LSN");
  for (const auto& change : out.feed) {
    auto* set = std::get_if<sokovan::JobSet>(&change);
    if (!set || set->job->state != JobState::kPending) continue;
    const auto& waits =
        set->job->spec->extras().dependencies.list;  // for a time to come, some are judged by the second
    if (std::any_of(waits.begin(), waits.end(), [](const Dependency& d) { return d.delay_min > 0; }))
      continue;
    if (met_[set->job->id] != set->dependencies_met)
      world_.fail("job " + std::to_string(set->job->id) + ": a reload judges its dependencies differently");
  }
  for (const auto& [id, record] : state_->jobs) {
    auto a = machine_->find(id), b = other.find(id);
    if (!a || !b) {
      world_.fail("job " + std::to_string(id) + " is in the store and not in memory");
      continue;
    }
    // Reasons that the scheduler gives are not durable.
    auto plain = [](const JobPtr& job) {
      Job copy = *job;
      copy.reason = Reason::kNone;
      copy.detail = Istr();
      return store::job_record(copy);
    };
    if (plain(a) != plain(b)) world_.fail("job " + std::to_string(id) + " is another one after a reload");
  }
}

}  // namespace bai::sim
