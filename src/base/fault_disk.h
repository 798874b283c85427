// FaultDisk: a disk that fails at a chosen step, or says that it synced and did not, and that can lose its power: what
// was never synced is gone. For tests of everything that writes through Env; works on real files.
// Strict where file systems are lax: a new name, a rename and a removal last only after a sync of their directory.
// One thread at a time. Must outlive the Env that it gives.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/env.h"

namespace bai {

class FaultDisk {
 public:
  // `base` with its file steps watched.
  Env env(Env base = Env::real());

  // The nth step from now (1 is the next), of that kind if one is named, fails once with `err`.
  void fail(std::uint64_t nth, int err, std::optional<FileOp> only = {});
  // From now on syncs (of files and directories) succeed and do nothing.
  void lose_syncs(bool on = true) { lose_syncs_ = on; }
  // Steps made so far: run a scenario once, then again with each of them failing.
  std::uint64_t steps() const { return steps_; }

  // The power goes: files and names are what they were when last synced. Close what is open before.
  void crash();

 private:
  struct Content {
    std::string bytes;
    unsigned mode = 0;
  };
  // How to take back one step that may not be on the disk. `path` follows later renames.
  struct Undo {
    FileOp op;
    std::string path;
    std::string to = {};                 // rename
    std::optional<Content> before = {};  // of `path`; of `to` for a rename
    std::string hidden = {};             // rename: what the overwritten file's writes are filed under
  };

  int step(const FileStep& what);
  void rename_files(std::size_t end, const std::string& from, const std::string& to);
  static std::optional<Content> look(const std::string& path);
  static void restore(const std::string& path, const std::optional<Content>& content);

  std::vector<Undo> undo_;
  std::uint64_t steps_ = 0;
  std::uint64_t fail_in_ = 0;
  int fail_with_ = 0;
  std::optional<FileOp> fail_only_;
  bool lose_syncs_ = false;
};

}  // namespace bai
