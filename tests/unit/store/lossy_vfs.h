// LossyDisk: a disk in memory under SQLite that fails its nth write or sync, dies, and loses its power: what was not
// synced is lost, sector by sector as a seed decides. A failed sync behaves as Linux's: the data stays readable, counts as
// clean, and no later sync brings it to the disk. One thread at a time; must outlive every database on it.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace bai::store {

class LossyDisk {
 public:
  explicit LossyDisk(std::string vfs_name);
  ~LossyDisk();
  LossyDisk(const LossyDisk&) = delete;
  LossyDisk& operator=(const LossyDisk&) = delete;

  enum class Fault { io_error, full };
  // The nth write, truncation or sync from now (1 is the next) fails once. A sync fails as io_error in any case.
  void fail(std::uint64_t nth, Fault fault);
  // From the nth on, all of them fail: the machine is going down.
  void die_at(std::uint64_t nth) { die_at_ = calls_ + nth; }
  // From now on every write that makes a file longer finds the disk full.
  void set_full(bool full) { full_ = full; }
  std::uint64_t calls() const { return calls_; }

  // The power goes and comes back: faults are over, nothing is open. seed 0: everything unsynced is lost; otherwise each
  // unsynced sector is there or not; kKeepAll: all of them are. Every database must be closed before (die first, so that closing writes nothing).
  static constexpr std::uint64_t kKeepAll = ~std::uint64_t{0};
  void power_cut(std::uint64_t seed);

  // The rest is for the VFS's functions.
  struct Op {
    std::int64_t at;
    std::string bytes;  // empty: truncation to `at`
    bool truncate = false;
    enum State { kPending, kLimbo, kSynced } state = kPending;
  };
  struct Lock {
    const void* exclusive = nullptr;
    std::map<const void*, int> shared;
  };
  struct File {
    std::string now, durable;
    std::vector<Op> log;  // since `durable`
    bool durable_name = false;
    std::map<const void*, int> locks;  // connection: SQLITE_LOCK_*
    std::vector<std::unique_ptr<char[]>> shm;
    int shm_users = 0;
    Lock shm_locks[SQLITE_SHM_NLOCK];
  };
  // SQLITE_OK, or how this call fails. `sync`: it is one.
  int step(bool sync, bool grows);
  std::shared_ptr<File> find(const std::string& name) const;
  std::shared_ptr<File> create(const std::string& name);
  void remove(const std::string& name) { files_.erase(name); }

 private:
  std::string name_;
  sqlite3_vfs vfs_{};
  std::map<std::string, std::shared_ptr<File>> files_;
  std::uint64_t calls_ = 0, fail_at_ = 0, die_at_ = 0;
  Fault fault_ = Fault::io_error;
  bool full_ = false;
};

}  // namespace bai::store
