// Store: the cluster's durable state. One interface, two drivers (SQLite, PostgreSQL). The controller is its only user.
//
// Writing happens in batches: everything between two commits is one transaction that begins by comparing the lineage,
// so a controller that was replaced can commit nothing more (Error "superseded"). A Status from commit() that is not ok
// has an unknown outcome: reopen() and read lineage().lsn to learn it.
// Until then every write answers "store_closed".
// Threads: one thread calls commit/reopen/prune; checkpoint() may run beside them in another; an object from open_reader()
// serves reads in a third.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "base/time.h"
#include "model/ids.h"
#include "model/job.h"
#include "model/node.h"
#include "model/step.h"

namespace bai::store {

// The changes: absolute post-images. Writing one twice leaves what writing it once does.
struct JobPut {  // a live job's record
  JobPtr job;
};
struct JobForget {  // leaves the live table (finished long enough ago); history keeps it
  JobId job = 0;
  bool with_launch = true;  // its LaunchRecord goes too
};
struct JobEnded {  // one row of history per (job, attempt): a job that ended, or an attempt that was requeued
  JobPtr job;
  std::string batch_host;
};
struct StepPut {  // a step that began, and again when it ended; kept as history is
  StepPtr step;
};
struct LaunchPut {  // at submission, keyed by the job's (the array's) id
  JobId job = 0;
  LaunchRecord launch;
};
struct ContentPut {  // script or environment: sent with each LaunchPut (prune may have dropped it), kept once
  Hash256 hash;
  std::shared_ptr<const std::string> bytes;
};
struct EventPut {
  JobEvent event;
};
struct RequestPut {  // a changing request was answered
  RequestId id;
  std::uint32_t uid = 0;
  Time at;
  std::string answer;  // the encoded reply
};
struct NodePut {  // an administrator's or the controller's decision about a node
  Istr name;
  NodeDecision decision;
};
struct
    SettingPut {  // run-time overrides, small named values ("partition/main/state", ...); empty text removes
  std::string key;
  std::string text;
};
using Change = std::variant<JobPut, JobForget, JobEnded, LaunchPut, ContentPut, EventPut, RequestPut, NodePut,
                            SettingPut, StepPut>;

struct Batch {
  Lsn first = 0, last = 0;  // the LSNs of the changes; consecutive batches touch
  JobId last_job_id = 0;    // the highest job id ever given, as of this batch
  std::vector<Change> changes;
};

struct Loaded {                // what a restart needs; launch records and contents stay in the store
  std::vector<JobPtr> jobs;    // by id
  std::vector<StepPtr> steps;  // of those jobs, ended ones too; by job, attempt and number
  std::vector<NodePut> nodes;
  std::map<std::string, std::string> settings;
  std::vector<JobPtr>
      ended;  // the newest rows of history, oldest first: whoever loads adds them where it needs them
};

struct RequestAnswer {
  std::uint32_t uid = 0;
  Time at;
  std::string answer;
};

// sacct's filters. Empty lists match all.
struct HistoryQuery {
  std::vector<JobId> jobs;  // job ids and array ids
  std::vector<std::uint32_t> uids;
  std::vector<JobState> states;
  std::vector<std::string> names, partitions, accounts;
  Time since, until;             // ended at or after `since`, started or submitted before `until`; 0: open
  std::uint32_t limit = 100000;  // rows at the most
  bool newest_first = false;     // which also says which rows those are
};
struct HistoryRow {
  JobPtr job;
  std::string batch_host;
};

struct OpenOptions {
  std::string path;  // SQLite: the file; PostgreSQL: libpq's connection string
  bool create = true;
  Uuid cluster;     // whose database it must be ("other_cluster"), and whose a new one becomes; empty: any
  std::string vfs;  // SQLite: a VFS registered by a test; empty for the default
  std::uint64_t epoch_step = 1;         // by which opening raises the epoch
  std::size_t ballast_bytes = 1 << 20;  // freed when the disk is full, so that endings can still be written
  // SQLite: the WAL's size from the start, about what lies between two checkpoints when there is little to do.
  std::int64_t wal_reserve_bytes = 4 << 20;
};

class Reader {  // short read transactions; one thread at a time
 public:
  virtual ~Reader() = default;
  virtual Result<std::string> content(const Hash256& hash) = 0;  // "not_found"
  virtual Result<LaunchRecord> launch(JobId job) = 0;            // "not_found"
  virtual Result<std::optional<RequestAnswer>> request(const RequestId& id) = 0;
  virtual Result<std::vector<JobEvent>> events(JobId job) = 0;  // in LSN order
  virtual Result<std::vector<Step>> steps(JobId job) = 0;       // of all its attempts, by attempt and number
  virtual Status history(const HistoryQuery& query,
                         const std::function<bool(HistoryRow)>& sink) = 0;  // by end; false stops
};

class Store {
 public:
  virtual ~Store() = default;
  // As of the last commit or reopen. open() raises the epoch durably before it returns.
  virtual Lineage lineage() const = 0;
  virtual Result<Loaded> load() = 0;
  virtual Status commit(const Batch& batch) = 0;
  // Compares the lineage as a commit does, and writes nothing: "superseded" when another controller has taken over. Any error is as one
  // of commit()'s.
  virtual Status confirm() = 0;
  // Closes and opens anew, keeping the epoch; afterwards lineage() tells what is durable. Fails with "superseded" when
  // another controller raised the epoch meanwhile.
  virtual Status reopen() = 0;
  // A write that changes nothing, to learn whether writing works (disk full, server gone).
  virtual Status probe() = 0;
  // Gives the ballast's space back to the file system, and takes it again when asked with false. No-op for PostgreSQL.
  virtual void release_ballast(bool release) = 0;
  // Drops request answers older than `before`, and contents that no launch record names; at most `limit` rows a call.
  virtual Status prune(Time before, std::uint32_t limit) = 0;
  // WAL checkpoint, off the commit path. No-op for PostgreSQL.
  virtual Status checkpoint() = 0;
  virtual Result<std::unique_ptr<Reader>> open_reader() = 0;
  virtual std::string description() const = 0;  // "SQLite 3.40.1, /var/lib/bai/bai.db"
};

// Applies migrations; refuses a database newer than the program ("too_new"), a network file system, one that another
// process holds ("locked"), settings that would lose commits.
Result<std::unique_ptr<Store>> open_sqlite(const OpenOptions& options);
Result<std::unique_ptr<Store>> open_postgresql(const OpenOptions& options);
// Chooses by `kind`: "sqlite" or "postgresql".
Result<std::unique_ptr<Store>> open(std::string_view kind, const OpenOptions& options);

}  // namespace bai::store
