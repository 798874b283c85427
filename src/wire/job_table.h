// JobTable: many jobs as readers see them: rows of numbers beside one table of the strings that they share. A hundred
// thousand waiting jobs travel in a few megabytes. Plain values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/job.h"

namespace bai::wire {

using TextId = std::uint32_t;  // index into JobTable::texts; 0 is the empty text

struct JobRow {
  JobId id = 0;
  JobId array_id = 0;  // 0: no array
  std::uint32_t array_task = kNoTask;
  JobState state = JobState::kPending;
  Reason reason = Reason::kNone;
  Hold hold = Hold::kNone;
  ExitStatus exit;
  std::uint8_t restarts = 0;
  std::uint32_t priority = 0;
  Attempt attempt = 0;
  std::uint32_t ended_by_uid = 0;
  Time submitted, eligible, started, ended, expected_start, begin, deadline;
  std::uint32_t uid = 0, gid = 0;
  TextId name = 0, user = 0, group = 0, account = 0, qos = 0;
  TextId partition = 0;  // where it runs or ran, else what was asked for
  TextId workdir = 0, std_in = 0, std_out = 0, std_err = 0, command = 0;  // paths with their patterns
  TextId arguments = 0, host = 0;
  std::uint32_t session = 0;
  TextId comment = 0, admin_comment = 0, detail = 0;
  TextId nodes_wanted = 0, nodes_excluded = 0, constraint = 0, licenses = 0;
  TextId tres_per_node = 0, tres_per_job = 0, tres_per_task = 0,
         tres_per_socket = 0;  // "gres:gpu:a100:2,..."
  TextId tres_held = 0;        // of an allocation: "gres/gpu=2,gres/gpu:a100=2"
  TextId dependency = 0;       // what is left of it: "afterok:7(unfulfilled),..."
  TextId array_tasks = 0;      // of a head: "1-9:2"
  TextId node_list = 0;        // allocated: "n[1-4]"
  TextId batch_host = 0;
  TextId mail_user = 0;
  std::uint16_t mail_events = 0;
  std::uint32_t array_waiting = 0;  // tasks that a head stands for
  std::uint32_t array_max_running = 0;
  std::uint32_t min_nodes = 1, max_nodes = 0, tasks = 1, cpus_per_task = 1, tasks_per_node = 0;
  std::uint64_t mem_per_node_mib = 0, mem_per_cpu_mib = 0;
  bool exclusive = false, exclusive_user = false, contiguous = false;
  bool no_batch = false;              // an allocation: nothing but steps
  std::uint8_t asked = 0;             // Asked bits
  std::uint32_t nodes = 0, cpus = 0;  // allocated, or at least needed while pending
  std::uint64_t mem_mib = 0;          // allocated in all
  Seconds time_limit = 0;             // in force: the partition's default applied
  std::int32_t nice = 0;
  OpenMode open_mode = OpenMode::kDefault;
  Requeue requeue = Requeue::kDefault;
  WarningSignal signal;
  Usage usage;
  // Of its present start: the last suspend or resume, how long it was suspended until then, and until when it may stay that has to go.
  Time suspend_changed;
  std::int64_t suspended_us = 0;
  Time grace_until;

  template <class A>
  void serialize(A& a) {
    a(id, array_id, array_task, state, reason, hold, exit, restarts, priority, attempt, ended_by_uid,
      submitted, eligible, started, ended, expected_start, begin, deadline, uid, gid, name, user, group,
      account, qos, partition, workdir, std_in, std_out, std_err, command, arguments, host, session, comment,
      admin_comment, detail, nodes_wanted, nodes_excluded, constraint, licenses, tres_per_node, tres_per_job,
      tres_per_task, tres_per_socket, tres_held, dependency, array_tasks, node_list, batch_host, mail_user,
      mail_events, array_waiting, array_max_running, min_nodes, max_nodes, tasks, cpus_per_task,
      tasks_per_node, mem_per_node_mib, mem_per_cpu_mib, exclusive, exclusive_user, contiguous, no_batch,
      asked, nodes, cpus, mem_mib, time_limit, nice, open_mode, requeue, signal, usage, suspend_changed,
      suspended_us, grace_until);
  }
};

struct JobTable {
  std::vector<std::string> texts{std::string()};
  std::vector<JobRow> rows;

  const std::string& text(TextId id) const { return texts[id < texts.size() ? id : 0]; }
  template <class A>
  void serialize(A& a) {
    a(cap(texts, 1 << 20), cap(rows, 1 << 20));
  }
};

// Fills a JobTable from records. `time_limit_in_force` is the controller's to know and is passed in.
class JobTableBuilder {
 public:
  void add(const Job& job, Seconds time_limit_in_force, std::string_view batch_host = {});
  std::size_t size() const { return table_.rows.size(); }
  JobTable take();

 private:
  // Texts that a row may hold; neighbours mostly share them, so each column's last one is tried first.
  enum Column {
    kName,
    kUser,
    kGroup,
    kAccount,
    kQos,
    kPartition,
    kWorkdir,
    kStdIn,
    kStdOut,
    kStdErr,
    kCommand,
    kArguments,
    kHost,
    kComment,
    kAdminComment,
    kDetail,
    kNodesWanted,
    kNodesExcluded,
    kConstraint,
    kLicenses,
    kTresPerNode,
    kTresPerJob,
    kTresPerTask,
    kTresPerSocket,
    kTresHeld,
    kDependency,
    kArrayTasks,
    kNodeList,
    kBatchHost,
    kMailUser,
    kColumns
  };
  TextId text(Column column, std::string_view text);
  TextId find_or_add(std::string_view text);
  void grow();

  JobTable table_;
  TextId last_[kColumns] = {};
  std::vector<TextId> slots_;  // open addressing over table_.texts; 0 is free
};

// "afterok:7(unfulfilled),singleton(unfulfilled)": Slurm's form; satisfied ones are left out.
std::string format_dependencies(const Dependencies& dependencies);

}  // namespace bai::wire
