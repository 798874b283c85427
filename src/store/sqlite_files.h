// What lies around an SQLite database: the file system it may be on, the lock that one controller holds, the ballast.
// One thread.
#pragma once

#include <cstddef>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace bai::store {

// Refuses network and cluster file systems, whose locks and shared memory WAL cannot trust ("network_file_system"),
// and a directory that is not there ("not_found").
Status check_file_system(const std::string& directory);

// The name of a file system that is refused, or nullptr. `type` is statfs(2)'s f_type.
const char* refused_file_system(unsigned long type);

// An open file description lock (fcntl(2), F_OFD_SETLK) on FILE, which holds the owner's pid. The kernel drops it with
// its process. Error "locked" names the process that has it.
class FileLock {
 public:
  static Result<FileLock> take(const std::string& file);

 private:
  Fd fd_;
};

// Bytes kept allocated on the database's disk, to be given back when it is full.
class Ballast {
 public:
  Ballast() = default;
  Ballast(std::string file, std::size_t bytes) : file_(std::move(file)), bytes_(bytes) {}

  // Allocates what is missing; fails without harm when there is no room.
  Status take();
  Status release();
  bool held() const { return held_; }

 private:
  std::string file_;
  std::size_t bytes_ = 0;
  bool held_ = false;
};

}  // namespace bai::store
