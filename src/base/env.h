// Env: the seam to the operating system for code whose behaviour must be repeatable or must survive a failing disk:
// clocks, random bytes, and files that are durable when the call returns. Handed down by reference; a simulation or a
// test passes another one (see base/fault_disk.h for lost and failing fsyncs).
// Env::real() may be used from any thread at the same time; do not change the functions while others call them.
// After LevelDB's Env; the rules of durable renames are those of "All File Systems Are Not Created Equal" (OSDI 14).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace bai {

// One step of a durable file operation, told to Env::file_step before it is made.
enum class FileOp { create, write, sync, rename, sync_dir, remove, make_dir };
struct FileStep {
  FileOp op;
  std::string path;     // the file, or the directory for sync_dir and make_dir
  std::string to = {};  // rename: the new name
};

struct Env {
  // Returned by file_step to skip a step and say that it succeeded (a disk that lies).
  static constexpr int kPretend = -1;

  std::function<Time()> now;                             // wall clock
  std::function<std::int64_t()> monotonic_ms;            // never goes back; no relation to now()
  std::function<void(void*, std::size_t)> random_bytes;  // fit for keys, save in simulations
  // Asked before each step that changes the disk: 0 goes on, an errno value fails the step, kPretend skips it.
  // Empty: always goes on.
  std::function<int(const FileStep&)> file_step;

  // The machine's own clocks, getrandom(2) and disk.
  static Env real();

  // The file has the old bytes or the new ones whatever happens, and the new ones for good once this returns:
  // temporary file beside it, fsync, rename, fsync of the directory. `mode` is exact (no umask).
  // An error of the last fsync leaves either; any earlier one leaves the old bytes and no temporary file.
  Status write_file_atomic(const std::string& path, std::string_view bytes, unsigned mode = 0600) const;

  // Appends and syncs; makes the file (durably) if needed. A failed write is cut off again; after a failed fsync the
  // tail is unknown, so records need a checksum of their own.
  Status append_durable(const std::string& path, std::string_view bytes, unsigned mode = 0600) const;

  // unlink(2) and fsync of the directory. A file that is not there is success.
  Status remove_durable(const std::string& path) const;

  // More than `max_bytes` is Error too_large.
  Result<std::string> read_file(const std::string& path, std::size_t max_bytes) const;

  // Like mkdir -p; new directories get exactly `mode` and are synced into their parents. An existing one is left alone.
  Status make_dirs(const std::string& path, unsigned mode = 0755) const;

  // Like rm -rf: follows no symbolic link; at most 256 directories deep. Not synced. A path that is not there is success.
  Status remove_tree(const std::string& path) const;

  // Names without "." and "..", sorted; with what a crash left of write_file_atomic (see is_temporary_name). More than `max_entries` is Error too_large.
  Result<std::vector<std::string>> list_dir(const std::string& path,
                                            std::size_t max_entries = 1'000'000) const;

  // A random number; convenience for random_bytes.
  std::uint64_t random_u64() const;

  // fsync of a directory: the names in it are durable.
  Status sync_dir(const std::string& path) const;
};

// write_file_atomic's temporary files begin with this. After a crash one may be left: skip or remove it.
inline constexpr std::string_view kTemporaryPrefix = ".bai-tmp-";
bool is_temporary_name(std::string_view name);

// "a/b" -> "a", "b" -> ".", "/b" -> "/".
std::string parent_dir(const std::string& path);

}  // namespace bai
