// RecordingFile: what the scheduler is told and decides, on disk (sokovan/recording.h), for `bai-sim replay`. It begins with the controller; the file of
// the life before is kept beside it. When it has grown to its limit, or cannot be written, it ends with a word in the log and the
// controller goes on. The engine's thread.
#pragma once

#include <memory>
#include <string>

#include "base/fd.h"
#include "sokovan/recording.h"

namespace bai::controller {

class RecordingFile {
 public:
  // What is there by that name becomes PATH.1. Errors: errno's.
  static Result<std::unique_ptr<RecordingFile>> create(const std::string& path, std::uint64_t max_bytes);

  void fresh() {
    put([&] { recorder_.fresh(); });
  }
  void applied(const sokovan::Change& change) {
    put([&] { recorder_.applied(change); });
  }
  // With this, all so far is in the file.
  void decided(Time now, const sokovan::Budget& budget, const sokovan::Decisions& decisions);
  bool ended() const { return !fd_; }

 private:
  RecordingFile(Fd fd, std::string path, std::uint64_t max_bytes);
  template <class F>
  void put(F&& record) {
    if (fd_) record();
  }
  void add(std::string_view bytes);
  void flush();
  void end(const std::string& why);

  Fd fd_;
  const std::string path_;
  const std::uint64_t max_bytes_;
  std::uint64_t written_ = 0;  // and gathered
  std::string gathered_;
  sokovan::Recorder recorder_;
};

}  // namespace bai::controller
