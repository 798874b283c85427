// Machine: all rules of an agent, as a function from inputs to outputs. No I/O, no threads, no clock: the runtime (agent.h), a unit
// test or a simulation brings messages and news of shepherds, and carries out what comes back. One thread calls it.
//
// Starting once (DESIGN 4): an attempt is claimed in the journal before its shepherd is spawned; from then on a repeated launch only
// gets the news again, until the controller says "forget". A cancel that comes before its launch leaves a tombstone, too.
//
// The site's Prolog and Epilog are attempts like the others, with step numbers of their own (kPrologStep, kEpilogStep), so they, too, are
// claimed before they begin. The first launch of a job here brings its prolog, unless the controller ordered that before; launches wait until it
// has ended, and an epilog waits until nothing else of its job is left here.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "agent/journal.h"
#include "step/protocol.h"
#include "step/status.h"
#include "wire/agent_messages.h"

namespace bai::agent {

// An end that was not forgotten is reported again, after twice the time each time: that of a part of a step is kept until the whole ends.
inline constexpr std::int64_t kRepeatEndMs = 3'000, kMaxRepeatEndMs = 60'000;
inline constexpr std::int64_t kSessionPauseMs = 5'000;  // before a refused session is tried again
inline constexpr std::int64_t kWelcomeTimeMs = 30'000;  // for the answer to a registration

// What was found of an attempt when the agent started.
struct FoundAttempt {
  enum class Shepherd {
    kNone,
    kAlive,
    kDead
  };  // never began (and never will), lives, is gone without a status
  AttemptRecord record;
  bool has_directory = true;
  Shepherd shepherd = Shepherd::kNone;
  std::optional<step::StepStatus> status;  // left by its shepherd
};

struct MachineStart {
  wire::AgentRegister facts;  // who this node is; the machine adds what varies
  std::string boot_id;        // as step::boot_id() gives it
  Lineage seen;
  std::vector<FoundAttempt> found;
  std::uint64_t config_hash = 0;
  bool one_of_many = false;  // its registrations are not worth a line each in the log
};

// ---- inputs

struct SessionUp {};
struct SessionDown {};
struct OrderIn {
  wire::OrderBody order;
};
struct Prepared {  // the answer to Output::prepare
  wire::AttemptKey key;
  std::string mark;
  std::optional<Error> refused;  // it can never be launched here
  std::optional<Error> later{};  // not now (a full disk, no munged): the controller will ask again
};
struct StepRunning {
  wire::AttemptKey key;
  Time started;
};
struct StepEnded {
  wire::AttemptKey key;
  step::StepStatus status;
};
struct StepLost {  // its shepherd is dead without a status; what it left behind was ended
  wire::AttemptKey key;
  bool began = true;
  std::string message;
};
struct SpawnFailed {
  wire::AttemptKey key;
  Error error;
};
struct StepUsed {  // what a shepherd answered to a UseRequest; nothing: it will not
  wire::AttemptKey key;
  std::uint64_t query = 0;
  std::optional<LiveUse> use;
};
struct StepStands {  // its shepherd has done what a suspend or resume asked for
  wire::AttemptKey key;
  std::uint64_t generation = 0;
};
struct SendFailed {};  // the session did not take a message
struct Tick {};        // about once a second
using InputBody = std::variant<SessionUp, SessionDown, OrderIn, Prepared, StepRunning, StepEnded, StepLost,
                               SpawnFailed, StepUsed, StepStands, SendFailed, Tick>;

struct Input {
  Time now;  // wall clock
  std::int64_t mono_ms = 0;
  InputBody body;
};

// ---- outputs

struct ToStep {
  wire::AttemptKey key;
  step::Request request;
};

struct Output {
  // Before the journal: check, write directory and launch file, and answer by Prepared when that is done.
  std::vector<wire::LaunchOrder> prepare;
  std::vector<ToStep> urgent;  // repeating them is harmless, so they wait for no disk
  std::optional<std::string> config_text;
  // Records. With `sync` set everything below waits until they are durable; else they may be written with the next ones, or at the
  // next tick.
  std::string journal;
  bool sync = false;
  std::vector<std::pair<wire::AttemptKey, std::string>> spawn;  // and its mark
  std::vector<wire::AttemptKey> bury;  // a dead shepherd's: end what remains, answer by StepLost
  std::vector<ToStep> requests;
  std::vector<wire::AttemptKey> discard;  // directories that nobody needs any more
  std::vector<wire::AgentBody> sends;
  bool heartbeat = false;  // the runtime fills it in
  bool reconnect = false;  // the session is of no use: drop it and dial again
  bool stop = false;
};

class Machine {
 public:
  Machine(MachineStart start, const Input& now, Output& out);

  // Appends to `out`; several inputs may share one Output, and so one sync.
  void handle(const Input& input, Output& out);
  // Adds the news of attempts that are not told yet. Call it once before an Output is carried out.
  void flush(std::int64_t mono_ms, Output& out);
  // Every record that counts, for a rewritten journal.
  std::string snapshot() const;

  const Lineage& seen() const { return seen_; }
  std::uint64_t config_hash() const { return facts_.config_hash; }
  // What is configured here for jobs and cannot be enforced, and why.
  const std::string& not_enforced() const { return facts_.not_enforced; }
  void set_not_enforced(std::string what) { facts_.not_enforced = std::move(what); }
  const DeviceReport& devices() const { return facts_.devices; }
  void set_devices(DeviceReport report) { facts_.devices = std::move(report); }
  // Which programs run around jobs here, as of now.
  void set_hooks(wire::NodeHooks hooks) { facts_.hooks = hooks; }
  // The node's health check failed: told once, with the next heartbeat or registration.
  void set_unhealthy(std::string why);
  std::string take_unhealthy() { return std::exchange(unhealthy_, {}); }
  wire::NodeHooks hooks() const { return facts_.hooks; }
  bool welcomed() const { return session_ == Session::kWelcomed; }
  std::size_t attempt_count() const { return attempts_.size(); }
  // What it would report; nullptr when it is unknown.
  const wire::AttemptReport* report(wire::AttemptKey key) const;

 private:
  enum class Session { kDown, kRegistering, kWelcomed, kRefused };
  struct Entry {
    AttemptRecord record;
    wire::AttemptReport report;
    bool preparing = false;            // asked for by Output::prepare, not answered
    std::uint64_t end_generation = 0;  // of the last termination passed on
    Seconds time_limit = 0;
    std::int64_t sent_ms = 0;
    std::int64_t repeat_ms = kRepeatEndMs;
    std::shared_ptr<const wire::LaunchOrder> waiting;  // until its turn comes
    bool cancelled = false;                            // while it waited
    bool is_idle() const { return report.phase == wire::AttemptPhase::kPreparing && !preparing; }
  };

  void load(FoundAttempt found, Output& out);
  void on_up(Output& out);
  void on_order(const wire::OrderBody& order, Output& out);
  void on_welcome(const wire::AgentWelcome& welcome, Output& out);
  void on_launch(const wire::LaunchOrder& order, Output& out);
  void set_time_limit(Entry& entry, Seconds limit, Output& out);
  void on_signal(const wire::SignalOrder& order, Output& out);
  void on_suspend(const wire::SuspendOrder& order, Output& out);
  void on_forget(wire::AttemptKey key, Output& out);
  void on_use(const wire::UseOrder& order, Output& out);
  void on_prepared(const Prepared& prepared, Output& out);
  void on_tick(Output& out);
  // machine_hooks.cc
  // A launch's turn: it is prepared, waits for its job's prolog or (an epilog) for everything else, or ends because the prolog failed.
  void begin(Entry& entry, const wire::LaunchOrder& order, Output& out);
  bool must_wait(Entry& entry, const wire::LaunchOrder& order, Output& out);
  bool any_alive(wire::AttemptKey epilog) const;
  void let_others_go(wire::AttemptKey of, Output& out, bool cancelled_only = false);
  void drop_idle_prolog(wire::AttemptKey of, Output& out);
  bool forget_hook(const FoundAttempt& found, Output& out);
  // False when the orders are another cluster's or an older controller's. What is new is in the journal before anything is acted on.
  bool check_lineage(const Lineage& lineage, Output& out);
  void refuse_session(const Error& why);
  void end(Entry& entry, wire::AttemptEnd end, ExitStatus exit, std::string message, Output& out);
  void ended(Entry& entry, const step::StepStatus& status, Output& out);
  Entry* running(wire::AttemptKey key);  // claimed and not ended
  void set_config_hash(std::uint64_t hash) { facts_.config_hash = hash; }

  wire::AgentRegister facts_;
  std::string boot_id_;
  Lineage seen_;
  std::map<wire::AttemptKey, Entry> attempts_;
  std::set<wire::AttemptKey> news_;       // to be told
  std::set<wire::AttemptKey> open_ends_;  // told, not forgotten
  std::set<wire::AttemptKey> waiting_;    // for their turn
  std::string unhealthy_;                 // to be told
  bool one_of_many_ = false;
  Session session_ = Session::kDown;
  std::string last_refusal_;
  std::int64_t session_ms_ = 0;  // since when it is so
  std::int64_t heartbeat_ms_ = 10'000;
  std::int64_t last_send_ms_ = 0;
  Time now_;
  std::int64_t mono_ms_ = 0;
  bool tick_ = false;  // claims are told at ticks only: a running shepherd is seldom far
};

}  // namespace bai::agent
