// An agent's state machine with a disk, shepherds and a controller that are what the test says. One thread.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/machine.h"

namespace bai::agent {

using wire::AttemptEnd;
using wire::AttemptKey;
using wire::AttemptPhase;

inline constexpr AttemptKey kJob7{7, 1};

inline Uuid cluster_id(std::uint8_t n) {
  Uuid id;
  id.bytes.fill(n);
  return id;
}

inline Lineage lineage(std::uint64_t epoch = 3, std::uint8_t cluster = 1) {
  Lineage l;
  l.cluster = cluster_id(cluster);
  l.epoch = epoch;
  l.lsn = 100;
  l.last_job_id = 7;
  return l;
}

inline wire::LaunchOrder launch(AttemptKey key) {
  wire::LaunchOrder order;
  order.key = key;
  Job job;
  job.id = key.job;
  job.attempt = key.attempt;
  order.job = std::make_shared<const Job>(std::move(job));
  return order;
}

inline wire::AgentOrders orders(std::vector<wire::LaunchOrder> launches, Lineage by = lineage()) {
  wire::AgentOrders o;
  o.lineage = by;
  o.launches = std::move(launches);
  return o;
}

inline wire::AgentOrders ending(AttemptKey key, std::uint64_t generation, bool now = false) {
  wire::AgentOrders o;
  o.lineage = lineage();
  wire::SignalOrder s;
  s.key = key;
  s.generation = generation;
  s.now = now;
  o.signals.push_back(s);
  return o;
}

inline wire::AgentOrders signalling(AttemptKey key, std::uint64_t generation, std::uint16_t signum) {
  auto o = ending(key, generation);
  o.signals[0].signal = signum;
  return o;
}

inline wire::AgentOrders forgetting(AttemptKey key) {
  wire::AgentOrders o;
  o.lineage = lineage();
  o.forget.push_back(key);
  return o;
}

// An agent without a disk: what is durable is `disk`, what would run is `running`.
class Node {
 public:
  explicit Node(bool connected = true) {
    boot();
    if (connected) connect();
  }

  // A new agent on what the last one left.
  void boot(std::string boot_id = "boot-1") {
    boot_ = std::move(boot_id);
    JournalContents journal = decode_journal(disk);
    EXPECT_FALSE(journal.damaged);
    MachineStart start;
    start.facts.node = "n1";
    start.boot_id = boot_;
    start.seen = journal.lineage;
    for (const auto& [key, record] : journal.attempts) {
      FoundAttempt found;
      found.record = record;
      if (record.boot_id == boot_ && shepherds.contains(key)) found.shepherd = shepherds[key];
      if (statuses.contains(key)) found.status = statuses[key];
      start.found.push_back(std::move(found));
    }
    Output out;
    machine.emplace(std::move(start), Input{now, mono_ms, Tick{}}, out);
    carry_out(out);
  }

  void connect(Lineage by = lineage()) {
    give(SessionUp{});
    wire::AgentWelcome welcome;
    welcome.lineage = by;
    welcome.heartbeat_s = 10;
    give(OrderIn{welcome});
  }

  // Everything in one turn; what has to wait for the disk is dropped when `lose_disk`.
  void give(InputBody body) {
    Output out;
    machine->handle(Input{now, mono_ms, std::move(body)}, out);
    while (!out.prepare.empty()) {
      auto order = out.prepare.front();
      out.prepare.erase(out.prepare.begin());
      prepared++;
      if (slow) {
        waiting = order.key;
        continue;
      }
      Prepared answer{order.key, "mark", refusal, later};
      machine->handle(Input{now, mono_ms, answer}, out);
    }
    machine->flush(mono_ms, out);
    carry_out(out);
  }

  void tick(std::int64_t ms = 1000) {
    mono_ms += ms;
    now.us += ms * 1000;
    give(Tick{});
  }

  void carry_out(Output& out) {
    last = out;
    if (die_before_journal) return;
    disk += out.journal;
    if (out.sync) syncs++;
    if (die_after_journal) return;
    for (auto& [key, mark] : out.spawn) {
      spawned.push_back(key);
      shepherds[key] = FoundAttempt::Shepherd::kAlive;
    }
    for (auto& r : out.urgent) requests.push_back(r);
    for (auto& r : out.requests) requests.push_back(r);
    for (auto& key : out.bury) buried.push_back(key);
    for (auto& key : out.discard) {
      discarded.push_back(key);
      statuses.erase(key);
      shepherds.erase(key);
    }
    for (auto& body : out.sends) {
      if (auto* news = std::get_if<wire::AgentAttempts>(&body))
        for (auto& report : news->attempts) told.push_back(report);
      if (auto* hello = std::get_if<wire::AgentRegister>(&body)) registered = *hello;
    }
    reconnects += out.reconnect;
  }

  void step_ends(AttemptKey key, const step::StepStatus& status) {
    statuses[key] = status;
    give(StepEnded{key, status});
  }

  std::optional<Machine> machine;
  std::string disk;
  std::map<AttemptKey, FoundAttempt::Shepherd> shepherds;
  std::map<AttemptKey, step::StepStatus> statuses;
  std::optional<Error> refusal;
  std::optional<Error> later;
  bool slow = false;  // preparing takes its time: `waiting` is not answered by itself
  AttemptKey waiting;
  bool die_before_journal = false, die_after_journal = false;
  int prepared = 0, syncs = 0, reconnects = 0;
  std::vector<AttemptKey> spawned, discarded, buried;
  std::vector<ToStep> requests;
  std::vector<wire::AttemptReport> told;
  wire::AgentRegister registered;
  Output last;
  Time now = Time::from_seconds(1'000'000);
  std::int64_t mono_ms = 5'000;

 private:
  std::string boot_;
};

inline step::StepStatus exited(std::uint32_t code) {
  step::StepStatus s;
  s.exit_code = code;
  s.start_us = 1;
  s.end_us = 2;
  return s;
}

}  // namespace bai::agent
