#include "simulated_agent.h"

#include <signal.h>

namespace bai::sim {

using agent::FoundAttempt;

SimulatedAgent::SimulatedAgent(World& world, Network& network, int index, std::uint32_t cpus)
    : world_(world), network_(network), index_(index), name_("n" + std::to_string(index + 1)), cpus_(cpus) {
  world_.cpus[name_] = cpus;
}

void SimulatedAgent::later(std::int64_t delay_us, std::function<void()> what) {
  world_.after(delay_us, [this, life = life_, what = std::move(what)] {
    if (machine_ && life == life_) what();
  });
}

void SimulatedAgent::start_agent() {
  if (machine_) return;
  ++life_;
  dialling_ = turning_ = false;
  prepared_us_ = 0;
  world_.note(name_ + ": agent starts");
  auto journal = agent::decode_journal(synced_ + unsynced_);
  agent::MachineStart start;
  start.facts.node = name_;
  start.facts.found.cpus = cpus_;
  start.facts.found.mem_mib = 1000;
  start.facts.boot_id.bytes.fill(static_cast<std::uint8_t>(boot_));
  start.facts.agent_started = world_.now();
  start.boot_id = boot_id();
  start.seen = journal.lineage;
  start.found = scan(journal);
  std::vector<Key> alive;
  for (const auto& found : start.found)
    if (found.shepherd == FoundAttempt::Shepherd::kAlive) alive.push_back(found.record.key);
  agent::Output out;
  machine_ = std::make_unique<agent::Machine>(std::move(start),
                                              agent::Input{world_.now(), world_.ms(), agent::Tick{}}, out);
  highest_epoch_ = machine_->seen().epoch;
  synced_ = machine_->snapshot();
  unsynced_.clear();
  held_ = {};
  inputs_.clear();
  for (Key key : alive) {  // adopted: told that it runs, or that it ended between
    if (shepherds_.contains(key) && shepherds_[key].alive)
      later(world_.between(0, 20'000), [this, key] {
        if (shepherds_.contains(key) && shepherds_[key].script) input(agent::StepRunning{key, world_.now()});
      });
  }
  carry_out(std::move(out));
  if (!machine_) return;  // it did not live long
  std::function<void()> tick = [this] { input(agent::Tick{}); };
  struct Ticker {
    static void run(SimulatedAgent& self, const std::function<void()>& f) {
      self.later(1'000'000, [&self, f] {
        f();
        if (self.machine_) run(self, f);
      });
    }
  };
  Ticker::run(*this, tick);
  dial_later();
}

void SimulatedAgent::dial_later() {
  if (dialling_ || conn_) return;
  dialling_ = true;
  later(world_.between(10'000, 300'000), [this] { network_.dial(index_); });
}

void SimulatedAgent::session_up(Network::Conn conn) {
  if (!machine_ || !dialling_) return network_.agent_closes(conn);
  dialling_ = false;
  conn_ = conn;
  world_.note(name_ + ": has session " + std::to_string(conn));
  input(agent::SessionUp{});
}

void SimulatedAgent::session_down(Network::Conn conn) {
  if (conn == 0) {
    dialling_ = false;
    if (machine_) dial_later();
    return;
  }
  if (!machine_ || conn != conn_) return;
  conn_ = 0;
  world_.note(name_ + ": lost session " + std::to_string(conn));
  held_.sends.clear();
  input(agent::SessionDown{});
  if (machine_) dial_later();
}

void SimulatedAgent::order(Network::Conn conn, wire::OrderBody order) {
  if (machine_ && conn == conn_) input(agent::OrderIn{std::move(order)});
}

void SimulatedAgent::kill_agent() {
  if (!machine_) return;
  world_.note(name_ + ": agent is killed");
  machine_.reset();
  dialling_ = false;
  if (conn_) network_.agent_closes(std::exchange(conn_, 0));
  // Sometimes for so long that the node is declared lost, and its jobs are forgotten, while its steps go on.
  std::int64_t longest_us = !world_.faults ? 1'000'000 : world_.rng.chance(1, 6) ? 500'000'000 : 20'000'000;
  world_.after(world_.between(1'000, longest_us), [this] { start_agent(); });
}

void SimulatedAgent::reboot() {
  world_.note(name_ + ": node is rebooted");
  for (auto& [key, shepherd] : shepherds_)
    if (shepherd.script) world_.process_ended(key, -1);
  shepherds_.clear();
  ++boot_;
  // What was written and not synced: a part of it, perhaps cut in the middle of a record.
  synced_ += unsynced_.substr(0, world_.rng.below(unsynced_.size() + 1));
  unsynced_.clear();
  directories_.clear();
  if (machine_) return kill_agent();
}

void SimulatedAgent::kill_shepherd() {
  if (shepherds_.empty()) return;
  auto it = shepherds_.begin();
  std::advance(it, world_.rng.below(shepherds_.size()));
  if (!it->second.alive) return;
  world_.note(name_ + ": shepherd of " + World::text(it->first) + " is killed");
  it->second.alive = false;
  shepherd_gone(it->first);
}

// The pidfd of a shepherd became readable.
void SimulatedAgent::shepherd_gone(Key key) {
  later(world_.between(100, 3'000), [this, key] {
    auto directory = directories_.find(key);
    if (directory != directories_.end() && directory->second.status) {
      shepherds_.erase(key);
      return input(agent::StepEnded{key, *directory->second.status});
    }
    bury(key);
  });
}

void SimulatedAgent::bury(Key key) {
  later(world_.between(1'000, 300'000), [this, key] {
    auto directory = directories_.find(key);
    bool began = false;
    if (directory != directories_.end()) {
      began = directory->second.started;
      if (!began) directory->second.forbidden = true;
    }
    if (auto it = shepherds_.find(key); it != shepherds_.end()) {
      if (it->second.script) world_.process_ended(key, -1);
      shepherds_.erase(it);
    }
    input(agent::StepLost{key, began, "bai-stepd was lost"});
  });
}

// ---- what agent.cc does

void SimulatedAgent::input(agent::InputBody body) {
  inputs_.push_back(std::move(body));
  if (turning_ || world_.fault(3)) return;  // several come together
  turn();
}

void SimulatedAgent::turn() {
  if (!machine_) return;
  turning_ = true;
  agent::Output out;
  while (!inputs_.empty()) {
    auto body = std::move(inputs_.front());
    inputs_.pop_front();
    handle(std::move(body), out);
    for (const auto& order : std::exchange(out.prepare, {})) prepare(order);
  }
  machine_->flush(world_.ms(), out);
  turning_ = false;
  carry_out(std::move(out));
}

// An order of a controller that was replaced must lead to nothing once this agent has served the newer one.
void SimulatedAgent::handle(agent::InputBody body, agent::Output& out) {
  auto* order = std::get_if<agent::OrderIn>(&body);
  auto* orders = order ? std::get_if<wire::AgentOrders>(&order->order) : nullptr;
  const bool old = orders && orders->lineage.epoch < highest_epoch_;
  auto effects = [&out] {
    return out.journal.size() + out.prepare.size() + out.urgent.size() + out.requests.size() +
           out.discard.size();
  };
  const std::size_t before = effects();
  machine_->handle(agent::Input{world_.now(), world_.ms(), std::move(body)}, out);
  if ((old && effects() != before) || machine_->seen().epoch < highest_epoch_)
    world_.fail(name_ + " obeys a controller that was replaced");
  highest_epoch_ = machine_->seen().epoch;
}

// On a thread of its own: MUNGE or a name service may hang.
void SimulatedAgent::prepare(const wire::LaunchOrder& order) {
  std::int64_t delay = world_.fault(30) ? world_.between(0, 30'000'000) : world_.between(10, 1'000);
  prepared_us_ = std::max(prepared_us_, world_.us() + delay);
  later(prepared_us_ - world_.us(), [this, order] { prepared(order); });
}

void SimulatedAgent::prepared(const wire::LaunchOrder& order) {
  agent::Prepared answer{order.key, name_ + "-mark-" + std::to_string(++marks_), {}, {}};
  if (world_.fault(50)) {
    answer.later = Error{"munge_unavailable", "munged is not answering"};
  } else if (world_.fault(200)) {
    answer.refused = Error{"bad_signature", "the signature does not match"};
  } else {
    auto& directory = directories_[order.key];
    directory = {};
    directory.job = order.job;
    directory.limit = order.time_limit;
    directory.mark = answer.mark;
  }
  input(std::move(answer));
}

void SimulatedAgent::carry_out(agent::Output out) {
  auto died = [this] {
    if (!world_.fault(1'500)) return false;
    kill_agent();
    return true;
  };
  auto move_all = [](auto& from, auto& to) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
    from.clear();
  };
  for (auto& urgent : out.urgent) {
    if (shepherds_.contains(urgent.key))
      request(urgent.key, urgent.request);
    else
      out.requests.push_back(std::move(urgent));
  }
  if (out.reconnect && conn_) {
    network_.agent_closes(std::exchange(conn_, 0));
    later(100, [this] { input(agent::SessionDown{}); });
    dial_later();
  }
  if (out.heartbeat && conn_) network_.to_controller(conn_, wire::AgentHeartbeat{});
  held_.journal += out.journal;
  held_.sync = held_.sync || out.sync || (!held_.journal.empty() && world_.rng.chance(1, 10));
  move_all(out.spawn, held_.spawn);
  move_all(out.bury, held_.bury);
  move_all(out.requests, held_.requests);
  move_all(out.discard, held_.discard);
  move_all(out.sends, held_.sends);
  if (held_.sync) {
    if (died()) return;
    if (world_.fault(200)) return;  // the disk does not take it now
    unsynced_ += std::exchange(held_.journal, {});
    held_.sync = false;
    if (died()) return;
    synced_ += std::exchange(unsynced_, {});
    if (died()) return;
  }
  agent::Output ready = std::exchange(held_, {});
  held_.journal = std::move(ready.journal);
  for (const auto& key : ready.bury) bury(key);
  for (const auto& [key, mark] : ready.spawn) {
    spawn(key, mark);
    if (died()) return;
  }
  for (const auto& one : ready.requests) request(one.key, one.request);
  for (auto& body : ready.sends)
    if (conn_) {
      network_.to_controller(conn_, std::move(body));
      if (died()) return;
    }
  for (const auto& key : ready.discard) {
    directories_.erase(key);
    ends_.erase(key);
  }
  if (synced_.size() > 200'000) synced_ = machine_->snapshot();
}

// ---- shepherds

void SimulatedAgent::spawn(Key key, const std::string& mark) {
  if (world_.fault(300))
    return later(0, [this, key] { input(agent::SpawnFailed{key, {"io_error", "cannot fork"}}); });
  if (shepherds_.contains(key)) return world_.fail("two shepherds of " + World::text(key) + " on " + name_);
  shepherds_[key] = {.agent = life_};
  auto boot = boot_;
  std::int64_t delay = world_.fault(20) ? world_.between(0, 3'000'000) : world_.between(200, 5'000);
  world_.after(delay, [this, key, mark, boot] {
    auto it = shepherds_.find(key);
    if (boot != boot_ || it == shepherds_.end() || !it->second.alive) return;
    auto directory = directories_.find(key);
    if (directory == directories_.end() || directory->second.started || directory->second.forbidden ||
        directory->second.mark != mark) {
      it->second.alive = false;  // it came too late, and goes
      return shepherd_gone(key);
    }
    auto& d = directory->second;
    d.started = true;
    it->second.script = true;
    it->second.began_us = world_.us();
    world_.process_began(key, d.job, name_);
    later(world_.between(100, 50'000), [this, key] {
      if (auto shepherd = shepherds_.find(key); shepherd != shepherds_.end() && shepherd->second.script)
        input(agent::StepRunning{key, world_.now()});
    });
    // The job's name says how long it runs: "SECONDS-..."; 0 is for ever.
    std::int64_t runs_us = std::stoll(d.job->spec->name.str()) * 1'000'000;
    std::int64_t limit_us = d.limit > 0 ? d.limit * 1'000'000 : -1;
    if (runs_us > 0 && (limit_us < 0 || runs_us <= limit_us))
      plan_end(key, world_.us() + runs_us, step::EndReason::kExited);
    else if (limit_us > 0)
      plan_end(key, world_.us() + limit_us, step::EndReason::kTimeout);
  });
}

void SimulatedAgent::plan_end(Key key, std::int64_t at_us, step::EndReason reason) {
  auto it = shepherds_.find(key);
  if (it == shepherds_.end() || (it->second.ends_us >= 0 && it->second.ends_us <= at_us)) return;
  it->second.ends_us = at_us;
  auto turn = ++it->second.turn;
  world_.after(std::max<std::int64_t>(at_us - world_.us(), 0), [this, key, reason, turn, boot = boot_] {
    auto shepherd = shepherds_.find(key);
    if (boot == boot_ && shepherd != shepherds_.end() && shepherd->second.turn == turn) end_step(key, reason);
  });
}

void SimulatedAgent::end_step(Key key, step::EndReason reason) {
  auto it = shepherds_.find(key);
  if (!it->second.script) return;
  const bool by_itself = reason == step::EndReason::kExited || reason == step::EndReason::kTimeout;
  if (it->second.stands && it->second.alive && by_itself) {
    it->second.held_back = reason;
    it->second.ends_us = -1;  // a word to end may still come
    return;
  }
  int code = reason == step::EndReason::kExited ? (key.job % 5 == 0 ? 3 : 0) : 0;
  it->second.script = false;
  if (!it->second.alive) return world_.process_ended(key, -1);  // nobody saw its end
  world_.process_ended(key, reason == step::EndReason::kExited ? code : -1);
  step::StepStatus status;
  status.reason = reason;
  status.exit_code = static_cast<std::uint32_t>(code);
  status.signal = reason == step::EndReason::kExited ? 0 : SIGTERM;
  status.start_us = world_.wall_offset_us + it->second.began_us;
  status.end_us = world_.now().us;
  auto directory = directories_.find(key);
  if (directory == directories_.end())
    return world_.fail("the directory of running " + World::text(key) + " is gone");
  directory->second.status = status;
  if (!machine_ || it->second.agent != life_) ends_[key] = status;
  if (machine_) shepherd_gone(key);
  shepherds_[key].alive = false;
}

void SimulatedAgent::stand(Key key, const step::SuspendRequest& request) {
  auto& shepherd = shepherds_[key];
  if (request.generation >= shepherd.stand_generation) {
    shepherd.stand_generation = request.generation;
    shepherd.stands = request.suspended;
    world_.stands(key, request.suspended);
    if (!request.suspended && shepherd.held_back) {
      shepherd.ends_us = -1;
      plan_end(key, world_.us() + world_.between(500, 5'000),
               *std::exchange(shepherd.held_back, std::nullopt));
    }
  }
  input(agent::StepStands{key, request.generation});
}

void SimulatedAgent::request(Key key, const step::Request& request) {
  if (!shepherds_.contains(key)) return;
  later(world_.between(100, 3'000), [this, key, request] {
    auto it = shepherds_.find(key);
    if (it == shepherds_.end() || !it->second.alive) return;
    if (!it->second.script) return this->request(key, request);  // it does not listen yet
    if (auto* suspend = std::get_if<step::SuspendRequest>(&request)) return stand(key, *suspend);
    if (std::holds_alternative<step::SetTimeLimitRequest>(request)) return;
    if (std::exchange(it->second.stands, false)) world_.stands(key, false);  // what is to end goes on
    if (std::holds_alternative<step::TerminateRequest>(request))
      plan_end(key, world_.us() + world_.between(500, world_.rng.chance(1, 3) ? 30'000'000 : 100'000),
               step::EndReason::kCancelled);
    if (std::holds_alternative<step::KillRequest>(request))
      plan_end(key, world_.us() + world_.between(500, 5'000), step::EndReason::kCancelled);
  });
}

// ---- Spool::scan

FoundAttempt SimulatedAgent::look(Key key) {
  FoundAttempt found;
  found.record.key = key;
  auto it = directories_.find(key);
  if (it == directories_.end()) {
    found.has_directory = false;
    return found;
  }
  auto& d = it->second;
  if (d.status) {
    found.status = d.status;
    shepherds_.erase(key);
    return found;
  }
  if (!d.started) d.forbidden = true;
  if (d.forbidden) return found;
  auto shepherd = shepherds_.find(key);
  found.shepherd = shepherd != shepherds_.end() && shepherd->second.alive ? FoundAttempt::Shepherd::kAlive
                                                                          : FoundAttempt::Shepherd::kDead;
  return found;
}

std::vector<FoundAttempt> SimulatedAgent::scan(const agent::JournalContents& journal) {
  std::vector<FoundAttempt> out;
  for (const auto& [key, record] : journal.attempts) {
    FoundAttempt found;
    if (!record.ended && !record.status) {
      if (auto end = ends_.find(key); end != ends_.end())
        found.status = end->second;
      else if (record.boot_id == boot_id())
        found = look(key);
    }
    found.record = record;
    out.push_back(std::move(found));
  }
  std::erase_if(ends_, [&](const auto& end) { return !journal.attempts.contains(end.first); });
  for (auto it = directories_.begin(); it != directories_.end();) {
    if (journal.attempts.contains(it->first)) {
      ++it;
      continue;
    }
    FoundAttempt found = look(it->first);
    if (found.status || found.shepherd != FoundAttempt::Shepherd::kNone) {
      found.record.boot_id = boot_id();
      found.record.mark = it->second.mark;
      out.push_back(std::move(found));
      ++it;
    } else {
      it = directories_.erase(it);
    }
  }
  return out;
}

}  // namespace bai::sim
