#include "step/status.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <algorithm>

#include <cerrno>

#include "base/fd.h"
#include "step/process.h"
#include "step/record.h"

namespace bai::step {

namespace {

constexpr std::string_view kStatusMagic = "BAISTAT\n";
constexpr std::string_view kStartedMagic = "BAISTRT\n";
constexpr uint16_t kVersion = 1;
constexpr size_t kMaxFields = 256;
constexpr size_t kMaxStatusBytes = 64u << 10;
constexpr size_t kMaxText = 4096;
constexpr off_t kRoom = 8192;  // of any status, with the longest message
constexpr const char* kRoomName = "/status.room";

// Frozen numbers.
enum StatusTag : uint16_t {
  kReason = 1,
  kExitCode = 2,
  kSignal = 3,
  kCoreDumped = 4,
  kMessage = 5,
  kStart = 6,
  kEnd = 7,
  kUser = 8,
  kSystem = 9,
  kMaxRss = 10,
  kSumRss = 11,
  kRead = 12,
  kWritten = 13,
  kMaxRead = 14,
  kMaxWritten = 15,
};
constexpr std::pair<uint16_t, uint64_t StepUse::*> kUseFields[] = {
    {kUser, &StepUse::user_us},           {kSystem, &StepUse::system_us},
    {kMaxRss, &StepUse::max_rss_kib},     {kSumRss, &StepUse::sum_rss_kib},
    {kRead, &StepUse::read_bytes},        {kWritten, &StepUse::write_bytes},
    {kMaxRead, &StepUse::max_read_bytes}, {kMaxWritten, &StepUse::max_write_bytes},
};
enum StartedTag : uint16_t { kBootId = 1, kPid = 2, kStartTicks = 3, kScriptPid = 4 };

template <class T>
bool take(const Field& field, T* out, uint64_t max) {
  auto n = field.number(max);
  if (n.ok()) *out = static_cast<T>(*n);
  return n.ok();
}
bool take(const Field& field, std::string* out) {
  if (field.value.size() > kMaxText) return false;
  *out = field.value;
  return true;
}

// A file that is written and shall get another name.
struct Unnamed {
  Fd fd;
  std::string path;
};

Result<Unnamed> write_beside(const std::string& path, std::string_view bytes) {
  Unnamed out;
  out.path = path + ".tmp" + std::to_string(getpid());
  auto fd = open_fd(out.path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
  if (!fd.ok()) return fd.error();
  out.fd = std::move(*fd);
  if (auto written = write_all(out.fd.get(), bytes); !written.ok()) {
    unlink(out.path.c_str());
    return written.error();
  }
  return out;
}

Error out_of_range(const Field& field) {
  return Error{"bad_record", "field " + std::to_string(field.tag) + " is out of range"};
}

// Reads and decodes DIR/NAME.
template <class T>
Result<T> read_record(const std::string& path, Result<T> (*decode)(std::string_view)) {
  auto bytes = read_all(path, kMaxStatusBytes);
  if (!bytes.ok()) return bytes.error();
  auto value = decode(*bytes);
  if (value.ok()) return value;
  Error error = value.error();
  error.place = path;
  return error;
}

}  // namespace

const char* reason_name(EndReason reason) {
  switch (reason) {
    case EndReason::kExited:
      return "exited";
    case EndReason::kSignalled:
      return "signalled";
    case EndReason::kTimeout:
      return "timeout";
    case EndReason::kDeadline:
      return "deadline";
    case EndReason::kCancelled:
      return "cancelled";
    case EndReason::kPreempted:
      return "preempted";
    case EndReason::kNodeShutdown:
      return "node_shutdown";
    case EndReason::kLaunchFailed:
      return "launch_failed";
    case EndReason::kShepherdLost:
      return "shepherd_lost";
    case EndReason::kOutOfMemory:
      return "out_of_memory";
  }
  return "unknown";
}

std::string encode_status(const StepStatus& s) {
  RecordWriter w;
  w.number(kReason, static_cast<uint64_t>(s.reason));
  w.number(kExitCode, s.exit_code);
  w.number(kSignal, s.signal);
  w.number(kCoreDumped, s.core_dumped);
  w.text(kMessage, std::string_view(s.message).substr(0, kMaxText));
  w.number(kStart, static_cast<uint64_t>(s.start_us));
  w.number(kEnd, static_cast<uint64_t>(s.end_us));
  for (const auto& [tag, member] : kUseFields)
    if (s.use.*member != 0 || tag <= kMaxRss) w.number(tag, s.use.*member);
  return w.finish(kStatusMagic, kVersion);
}

Result<StepStatus> decode_status(std::string_view bytes) {
  auto fields = parse_record(bytes, kStatusMagic, kVersion, kMaxFields);
  if (!fields.ok()) return fields.error();
  StepStatus s;
  bool has_reason = false;
  for (const Field& f : *fields) {
    bool good = true;
    switch (f.tag) {
      case kReason:
        good = take(f, &s.reason, static_cast<uint64_t>(EndReason::kOutOfMemory)) &&
               s.reason >= EndReason::kExited;
        has_reason = true;
        break;
      case kExitCode:
        good = take(f, &s.exit_code, 255);
        break;
      case kSignal:
        good = take(f, &s.signal, 127);
        break;
      case kCoreDumped:
        good = take(f, &s.core_dumped, 1);
        break;
      case kMessage:
        good = take(f, &s.message);
        break;
      case kStart:
        good = take(f, &s.start_us, INT64_MAX);
        break;
      case kEnd:
        good = take(f, &s.end_us, INT64_MAX);
        break;
      default:
        for (const auto& [tag, member] : kUseFields)
          if (tag == f.tag) good = take(f, &(s.use.*member), UINT64_MAX);
        break;
    }
    if (!good) return out_of_range(f);
  }
  if (!has_reason) return Error{"bad_record", "a status without a reason"};
  return s;
}

std::string encode_started(const StepStarted& s) {
  RecordWriter w;
  w.text(kBootId, s.boot_id);
  w.number(kPid, static_cast<uint64_t>(s.pid));
  w.number(kStartTicks, s.start_ticks);
  w.number(kScriptPid, static_cast<uint64_t>(s.script_pid));
  return w.finish(kStartedMagic, kVersion);
}

Result<StepStarted> decode_started(std::string_view bytes) {
  auto fields = parse_record(bytes, kStartedMagic, kVersion, kMaxFields);
  if (!fields.ok()) return fields.error();
  StepStarted s;
  for (const Field& f : *fields) {
    bool good = true;
    switch (f.tag) {
      case kBootId:
        good = take(f, &s.boot_id);
        break;
      case kPid:
        good = take(f, &s.pid, INT32_MAX);
        break;
      case kStartTicks:
        good = take(f, &s.start_ticks, UINT64_MAX);
        break;
      case kScriptPid:
        good = take(f, &s.script_pid, INT32_MAX);
        break;
      default:
        break;
    }
    if (!good) return out_of_range(f);
  }
  return s;
}

Status save_status(const Env& env, const std::string& file, const StepStatus& status) {
  return env.write_file_atomic(file, encode_status(status));
}

Result<Fd> reserve_status(const std::string& dir) {
  const std::string path = dir + kRoomName;
  auto fd = open_fd(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
  if (!fd.ok()) return fd;
  const int err = posix_fallocate(fd->get(), 0, kRoom);
  if (err == 0) return fd;
  unlink(path.c_str());
  return errno_error("cannot make room in", dir, err);
}

Status leave_status(const std::string& dir, const StepStatus& status, const Fd& room) {
  const std::string path = dir + "/status", reserved = dir + kRoomName;
  const std::string bytes = encode_status(status);
  if (room) {
    if (lseek(room.get(), 0, SEEK_SET) == 0 && write_all(room.get(), bytes).ok() &&
        ftruncate(room.get(), static_cast<off_t>(bytes.size())) == 0 &&
        rename(reserved.c_str(), path.c_str()) == 0)
      return {};
    unlink(reserved.c_str());
  }
  auto file = write_beside(path, bytes);
  if (!file.ok()) return file.error();
  if (rename(file->path.c_str(), path.c_str()) == 0) return {};
  const int err = errno;
  unlink(file->path.c_str());
  return errno_error("cannot make", path, err);
}

Result<StepStatus> load_status(const std::string& file) { return read_record(file, decode_status); }
Result<StepStatus> read_status(const std::string& dir) { return load_status(dir + "/status"); }

Result<StepStarted> read_started(const std::string& dir) {
  auto started = read_record(dir + "/started", decode_started);
  // It is written over in place: a reader may have met the writer.
  if (!started.ok() && started.error().code == "bad_record")
    started = read_record(dir + "/started", decode_started);
  return started;
}

Result<Fd> claim_start(const std::string& dir, const StepStarted& started) {
  const std::string path = dir + "/started";
  auto file = write_beside(path, encode_started(started));
  if (!file.ok()) return file.error();
  const char* temporary = file->path.c_str();
  // Whoever sees the name sees the whole record. Some file systems cannot rename so; link(2) refuses an existing name everywhere.
  if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0)
    return std::move(file->fd);
  int err = errno;
  if (err == EINVAL) err = link(temporary, path.c_str()) == 0 ? 0 : errno;
  unlink(temporary);
  if (err == 0) return std::move(file->fd);
  if (err == EEXIST) return Fd();
  return errno_error("cannot make", path, err);
}

Result<bool> forbid_start(const std::string& dir) {
  StepStarted nobody;
  nobody.boot_id = boot_id();
  auto claimed = claim_start(dir, nobody);
  if (!claimed.ok()) return claimed.error();
  return static_cast<bool>(*claimed);
}

Status update_started(const Fd& file, const StepStarted& started) {
  if (lseek(file.get(), 0, SEEK_SET) != 0) return errno_error("cannot write again", "started", errno);
  return write_all(file.get(), encode_started(started));
}

bool shepherd_alive(const StepStarted& started) {
  if (started.pid <= 0 || started.boot_id != boot_id()) return false;
  auto stat = process_stat(started.pid);
  return stat && stat->state != 'Z' && stat->state != 'X' && stat->start_ticks == started.start_ticks;
}

}  // namespace bai::step
