#include "agent/journal.h"

#include <algorithm>

#include "step/record.h"

namespace bai::agent {

namespace {

constexpr std::string_view kMagic = "BAIAGNT\n";
constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kMaxFields = 64;
constexpr std::size_t kMaxText = 4096;
constexpr std::size_t kMaxJournalBytes = std::size_t{256} << 20;
constexpr std::size_t kHeaderBytes = 16;
constexpr std::size_t kTailBytes = 4;

// Frozen numbers; never reuse one.
enum Kind : std::uint8_t { kAttempt = 1, kForget = 2, kLineage = 3 };
enum Tag : std::uint16_t {
  kKind = 1,
  kJob = 2,
  kAttemptNumber = 3,
  kBootId = 4,
  kMark = 5,
  kSignalGeneration = 6,
  kEnded = 7,
  kEnd = 8,
  kEndedAt = 9,
  kExitCode = 10,
  kExitSignal = 11,
  kMessage = 12,
  kCluster = 13,
  kEpoch = 14,
  kLsn = 15,
  kLastJob = 16,
  kStatus = 17,
  kStep = 18,  // absent: the batch script
  kSuspendGeneration = 19,
  kSuspended = 20,
};

struct Record {
  std::uint8_t kind = 0;
  AttemptRecord attempt;
  Lineage lineage;
};

template <class T>
bool take(const step::Field& field, T* out, std::uint64_t max) {
  auto n = field.number(max);
  if (n.ok()) *out = static_cast<T>(*n);
  return n.ok();
}
bool take(const step::Field& field, std::string* out) {
  if (field.value.size() > kMaxText) return false;
  *out = field.value;
  return true;
}

Result<Record> decode_record(std::string_view bytes) {
  auto fields = step::parse_record(bytes, kMagic, kVersion, kMaxFields);
  if (!fields.ok()) return fields.error();
  Record r;
  auto& a = r.attempt;
  for (const auto& f : *fields) {
    bool good = true;
    switch (f.tag) {
      case kKind:
        good = take(f, &r.kind, 255);
        break;
      case kJob:
        good = take(f, &a.key.job, UINT32_MAX);
        break;
      case kAttemptNumber:
        good = take(f, &a.key.attempt, UINT32_MAX);
        break;
      case kStep:
        good = take(f, &a.key.step, UINT32_MAX);
        break;
      case kBootId:
        good = take(f, &a.boot_id);
        break;
      case kMark:
        good = take(f, &a.mark);
        break;
      case kSignalGeneration:
        good = take(f, &a.signal_generation, UINT64_MAX);
        break;
      case kSuspendGeneration:
        good = take(f, &a.suspend_generation, UINT64_MAX);
        break;
      case kSuspended:
        good = take(f, &a.suspended, 1);
        break;
      case kEnded:
        good = take(f, &a.ended, 1);
        break;
      case kEnd:
        good = take(f, &a.end, static_cast<std::uint64_t>(wire::kLastAttemptEnd));
        break;
      case kEndedAt:
        good = take(f, &a.ended_at.us, INT64_MAX);
        break;
      case kExitCode:
        good = take(f, &a.exit.code, 255);
        break;
      case kExitSignal:
        good = take(f, &a.exit.signal, 255);
        break;
      case kMessage:
        good = take(f, &a.message);
        break;
      case kStatus: {
        auto status = step::decode_status(f.value);
        if (!status.ok()) return status.error();
        a.status = std::move(*status);
        break;
      }
      case kCluster:
        good = f.value.size() == r.lineage.cluster.bytes.size();
        if (good) std::copy(f.value.begin(), f.value.end(), r.lineage.cluster.bytes.begin());
        break;
      case kEpoch:
        good = take(f, &r.lineage.epoch, UINT64_MAX);
        break;
      case kLsn:
        good = take(f, &r.lineage.lsn, UINT64_MAX);
        break;
      case kLastJob:
        good = take(f, &r.lineage.last_job_id, UINT32_MAX);
        break;
      default:
        break;
    }
    if (!good) return Error{"bad_record", "field " + std::to_string(f.tag) + " is out of range"};
  }
  return r;
}

// The length of the record that begins here; 0 when not even its header is there.
std::size_t record_size(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes || !bytes.starts_with(kMagic)) return 0;
  std::uint64_t body = 0;
  for (int i = 3; i >= 0; --i)
    body = body << 8 | static_cast<unsigned char>(bytes[12 + static_cast<std::size_t>(i)]);
  const std::uint64_t size = kHeaderBytes + body + kTailBytes;
  return size <= bytes.size() ? static_cast<std::size_t>(size) : 0;
}

}  // namespace

std::string encode_attempt(const AttemptRecord& r) {
  step::RecordWriter w;
  w.number(kKind, kAttempt);
  w.number(kJob, r.key.job);
  w.number(kAttemptNumber, r.key.attempt);
  if (r.key.step != kBatchStep) w.number(kStep, r.key.step);
  w.text(kBootId, r.boot_id);
  w.text(kMark, r.mark);
  if (r.signal_generation != 0) w.number(kSignalGeneration, r.signal_generation);
  if (r.suspend_generation != 0) {
    w.number(kSuspendGeneration, r.suspend_generation);
    w.number(kSuspended, r.suspended);
  }
  if (r.status) w.text(kStatus, step::encode_status(*r.status));
  if (r.ended) {
    w.number(kEnded, 1);
    w.number(kEnd, static_cast<std::uint64_t>(r.end));
    w.number(kEndedAt, static_cast<std::uint64_t>(r.ended_at.us));
    w.number(kExitCode, r.exit.code);
    w.number(kExitSignal, r.exit.signal);
    w.text(kMessage, std::string_view(r.message).substr(0, kMaxText));
  }
  return w.finish(kMagic, kVersion);
}

std::string encode_forget(const wire::AttemptKey& key) {
  step::RecordWriter w;
  w.number(kKind, kForget);
  w.number(kJob, key.job);
  w.number(kAttemptNumber, key.attempt);
  if (key.step != kBatchStep) w.number(kStep, key.step);
  return w.finish(kMagic, kVersion);
}

std::string encode_lineage(const Lineage& lineage) {
  step::RecordWriter w;
  w.number(kKind, kLineage);
  w.text(kCluster,
         {reinterpret_cast<const char*>(lineage.cluster.bytes.data()), lineage.cluster.bytes.size()});
  w.number(kEpoch, lineage.epoch);
  w.number(kLsn, lineage.lsn);
  w.number(kLastJob, lineage.last_job_id);
  return w.finish(kMagic, kVersion);
}

JournalContents decode_journal(std::string_view bytes) {
  JournalContents out;
  while (!bytes.empty()) {
    const std::size_t size = record_size(bytes);
    auto record =
        size == 0 ? Result<Record>(Error{"bad_record", "cut short"}) : decode_record(bytes.substr(0, size));
    if (!record.ok()) {
      // What follows a bad record may be good: a tail of an unknown write, then records of a later life.
      out.damaged = true;
      const auto next = bytes.find(kMagic, 1);
      if (next == std::string_view::npos) break;
      bytes.remove_prefix(next);
      continue;
    }
    bytes.remove_prefix(size);
    if (record->kind == kAttempt)
      out.attempts[record->attempt.key] = std::move(record->attempt);
    else if (record->kind == kForget)
      out.attempts.erase(record->attempt.key);
    else if (record->kind == kLineage)
      out.lineage = record->lineage;
  }
  return out;
}

Result<JournalContents> Journal::read() const {
  auto bytes = env_.read_file(path_, kMaxJournalBytes);
  if (bytes.ok()) return decode_journal(*bytes);
  if (bytes.error().code == "not_found") return JournalContents{};
  return bytes.error();
}

Status Journal::append(std::string_view records) {
  auto done = env_.append_durable(path_, records);
  if (done.ok()) bytes_ += records.size();
  return done;
}

Status Journal::rewrite(std::string_view records) {
  auto done = env_.write_file_atomic(path_, records);
  if (done.ok()) bytes_ = base_bytes_ = records.size();
  return done;
}

}  // namespace bai::agent
