// What goes into the controller's state machine and what comes out. Plain values: a recorded stream of inputs replays to
// the same outputs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "controller/admission.h"
#include "model/config.h"
#include "model/hooks.h"
#include "model/job.h"
#include "model/node.h"
#include "sokovan/sokovan.h"
#include "store/store.h"
#include "wire/agent_messages.h"
#include "wire/messages.h"

namespace bai::controller {

using ConnId = std::uint64_t;  // the listener's; never reused within one life of the daemon

// Who asks, resolved by the front.
struct Caller {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::string user, group;          // names; the numbers as text when the system does not know them
  std::vector<std::string> groups;  // all group names, for AllowGroups
  bool is_operator = false;         // root or BaiUser
};

// ---- inputs

struct FromCommand {  // changing requests and waits; reads are answered from the view
  ConnId conn = 0;
  Caller caller;
  wire::Request request;
  std::vector<std::pair<Hash256, std::shared_ptr<const std::string>>>
      contents;                                 // of a submission, hashed by the front
  std::optional<store::RequestAnswer> earlier;  // what the store knows of a repeated request
  Admitted admitted = {};                       // its share of what may wait
};
struct FromAgent {
  ConnId conn = 0;
  wire::AgentBody body;
};
struct Closed {
  ConnId conn = 0;
};
struct Tick {};  // about once a second
struct Decided {
  std::uint64_t generation =
      0;  // of the feed that the scheduler saw: older ones than the last reload are void
  sokovan::Decisions decisions;
};
struct Reconfigure {
  ConnId conn = 0;  // 0: a signal, nobody waits
  Caller caller;
  RequestId request;
  std::shared_ptr<const ClusterConfig> config;
};
// The end of a HookOut; `failure` is for people, empty when there is none.
struct HookDone {
  Hook hook = Hook::kPrologCtld;
  JobId job = 0;
  Attempt attempt = 0;
  std::string failure;
};
using InputBody = std::variant<FromCommand, FromAgent, Closed, Tick, Decided, Reconfigure, HookDone>;

struct Input {
  Time now;                  // wall clock: recorded, shown, never used for order or timeouts
  std::int64_t mono_ms = 0;  // timeouts
  InputBody body;
};

// ---- outputs

struct ReplyOut {
  ConnId conn = 0;
  wire::Reply reply;
};
struct OrderOut {
  ConnId conn = 0;
  wire::OrderBody order;
};
struct LaunchOut {  // becomes a LaunchOrder once script and environment are fetched
  ConnId conn = 0;
  wire::AttemptKey key;
  JobPtr job;
  JobId launch_id = 0;  // under which the LaunchRecord is kept
  Seconds time_limit = 0;
  StepPtr step = nullptr;                                      // null: the batch script
  std::shared_ptr<const wire::StepRequest> request = nullptr;  // with a step
  std::string parent_address{};                                // LaunchOrder's
};
// The site's programs beside the controller, to be run for one start of a job.
struct HookOut {
  Hook hook = Hook::kPrologCtld;
  JobId job = 0;
  Attempt attempt = 0;
  std::vector<std::string> patterns, environment;
  Seconds timeout = 0;                // 0: none
  std::vector<std::string> programs;  // what the patterns name; filled in where they are run
};
struct ViewJob {
  JobId id = 0;
  JobPtr job;              // null: gone
  Seconds time_limit = 0;  // in force
};
struct MailOut {
  std::string to, subject;
};

// What leaves once the changes beside it are durable.
struct Effects {
  std::vector<ReplyOut> replies;
  std::vector<OrderOut> orders;
  std::vector<LaunchOut> launches;
  std::vector<ConnId> close;
  std::vector<ViewJob> jobs;
  std::vector<NodePtr> nodes;
  std::vector<Istr> nodes_gone;
  std::vector<PartitionPtr> partitions;
  std::vector<Istr> partitions_gone;
  std::shared_ptr<const ClusterConfig> config;  // set when it changed
  std::vector<MailOut> mails;
  std::vector<HookOut> hooks;
  std::optional<std::string> trouble;  // set when it changed; empty text: over

  bool empty() const {
    return replies.empty() && orders.empty() && launches.empty() && close.empty() && jobs.empty() &&
           nodes.empty() && nodes_gone.empty() && partitions.empty() && partitions_gone.empty() && !config &&
           mails.empty() && hooks.empty() && !trouble;
  }
};

struct Output {
  std::uint64_t generation = 0;  // which life of the machine: rises when it is loaded anew from the store
  store::Batch batch;            // first == 0: no changes
  Effects effects;
  std::vector<sokovan::Change> feed;  // for the scheduler, in order
  std::vector<Admitted> admitted;     // what of the commands' memory goes with this
};

}  // namespace bai::controller
