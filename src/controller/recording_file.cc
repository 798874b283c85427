#include "controller/recording_file.h"

#include <fcntl.h>
#include <stdio.h>

#include <cerrno>

#include "base/log.h"
#include "base/paths.h"

namespace bai::controller {
namespace {

constexpr std::size_t kPiece = 256 << 10;

}  // namespace

Result<std::unique_ptr<RecordingFile>> RecordingFile::create(const std::string& path,
                                                             std::uint64_t max_bytes) {
  if (rename(path.c_str(), (path + ".1").c_str()) != 0 && errno != ENOENT)
    return errno_error("cannot keep the last recording", path + ".1", errno);
  Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return errno_error("cannot make the recording", path, errno);
  return std::unique_ptr<RecordingFile>(new RecordingFile(std::move(fd), path, max_bytes));
}

RecordingFile::RecordingFile(Fd fd, std::string path, std::uint64_t max_bytes)
    : fd_(std::move(fd)),
      path_(std::move(path)),
      max_bytes_(max_bytes),
      recorder_([this](std::string_view bytes) { add(bytes); }, "bai-ctld " + std::string(kVersion)) {}

void RecordingFile::decided(Time now, const sokovan::Budget& budget, const sokovan::Decisions& decisions) {
  put([&] { recorder_.decided(now, budget, decisions); });
  flush();
}

// Only whole records, so that a recording that reached its limit ends cleanly.
void RecordingFile::add(std::string_view bytes) {
  if (!fd_) return;
  if (bytes.size() > max_bytes_ - written_) {
    flush();
    return end("it has reached SchedulerRecordingSize");
  }
  gathered_ += bytes;
  written_ += bytes.size();
  if (gathered_.size() >= kPiece) flush();
}

void RecordingFile::flush() {
  if (!fd_ || gathered_.empty()) return;
  const auto done = write_all(fd_.get(), gathered_);
  gathered_.clear();
  if (!done.ok()) end(done.error().message);
}

void RecordingFile::end(const std::string& why) {
  fd_ = Fd();
  gathered_ = std::string();
  log::warning("the recording of the scheduler has ended",
               {{"file", path_}, {"bytes", written_}, {"why", why}});
}

}  // namespace bai::controller
