#include "step/launch.h"

#include <bitset>

#include "base/fd.h"
#include "step/record.h"

namespace bai::step {

namespace {

constexpr std::string_view kMagic = "BAILNCH\n";
constexpr uint16_t kBatchVersion = 1;
constexpr uint16_t kVersion = 2;  // has tasks, without which a step would be another

// Frozen numbers; never reuse one.
enum Tag : uint16_t {
  kCluster = 1,
  kJobId = 2,
  kAttempt = 3,
  kStep = 4,
  kNode = 5,
  kBootId = 6,
  kMark = 7,
  kUid = 8,
  kGid = 9,
  kGroup = 10,
  kUser = 11,
  kHome = 12,
  kShell = 13,
  kAsRoot = 14,
  kUmask = 15,
  kRlimit = 16,
  kScript = 17,
  kArg = 18,
  kEnv = 19,
  kWorkdir = 20,
  kStdin = 21,
  kStdout = 22,
  kStderr = 23,
  kOpenMode = 24,
  kTimeLimit = 25,
  kKillWait = 26,
  kDeadline = 27,
  kWarningSignal = 28,
  kWarningBefore = 29,
  kWarningBatchOnly = 30,
  kLeftoverGrace = 31,
  kUnkillableAfter = 32,
  kCgroup = 33,
  kEndFile = 34,
  kTask = 35,
  kStreams = 36,
  kTaskProlog = 48,
  kTaskEpilog = 49,
  kPriority = 50,  // plus 20
  kConfinement = 64,
  kTagEnd
};

constexpr uint64_t kMaxSeconds = uint64_t{1} << 40;  // keeps sums of microseconds inside 63 bits

bool repeats(uint16_t tag) {
  return tag == kGroup || tag == kRlimit || tag == kArg || tag == kEnv || tag == kCgroup || tag == kTask ||
         tag == kTaskProlog || tag == kTaskEpilog;
}

// Puts fields into a launch; remembers the first thing that was wrong.
struct Decoder {
  StepLaunch launch;
  std::string wrong;

  void fail(const Field& f, const char* what) {
    if (wrong.empty()) wrong = "field " + std::to_string(f.tag) + " " + what;
  }
  // No value that becomes a C string may hold a NUL: the kernel would see less than we checked.
  std::string text(const Field& f, size_t max) {
    if (f.value.size() > max) return fail(f, "is too long"), std::string();
    if (f.value.find('\0') != std::string_view::npos) return fail(f, "holds a NUL byte"), std::string();
    return std::string(f.value);
  }
  template <class T>
  void number(const Field& f, T* out, uint64_t max) {
    auto n = f.number(max);
    if (!n.ok()) return fail(f, "is out of range");
    *out = static_cast<T>(*n);
  }
  template <class T>
  T* more(const Field& f, std::vector<T>* list, size_t max) {
    if (list->size() >= max) return fail(f, "comes too often"), nullptr;
    return &list->emplace_back();
  }
  void words(const Field& f, std::vector<std::string>* list, size_t max_words, size_t max_bytes) {
    if (auto* word = more(f, list, max_words)) *word = text(f, max_bytes);
  }
  void rlimit(const Field& f) {
    auto* limit = more(f, &launch.rlimits, kMaxRlimits);
    if (!limit) return;
    if (f.value.size() != 24) return fail(f, "is no resource limit");
    auto part = [&](size_t at) { return *Field{f.tag, f.value.substr(at, 8)}.number(); };
    if (part(0) > 255) return fail(f, "is out of range");
    *limit = {static_cast<uint32_t>(part(0)), part(8), part(16)};
  }
  void task(const Field& f) {
    auto* task = more(f, &launch.tasks, kMaxTasks);
    if (!task) return;
    auto decoded = decode_task(f.value);
    if (!decoded.ok()) return fail(f, decoded.error().message.c_str());
    *task = std::move(*decoded);
    task_words += task->env.size() + task->argv.size();
    if (task_words > kMaxTaskWords) fail(f, "has more words than a step may have");
  }
  void streams(const Field& f) {
    auto plan = decode_plan(f.value);
    if (!plan.ok()) return fail(f, plan.error().message.c_str());
    launch.streams = std::move(*plan);
  }
  void take(const Field& f);

  size_t task_words = 0;
};

void Decoder::take(const Field& f) {
  StepLaunch& l = launch;
  switch (f.tag) {
    case kCluster:
      l.cluster = text(f, kMaxName);
      break;
    case kJobId:
      number(f, &l.job_id, UINT32_MAX);
      break;
    case kAttempt:
      number(f, &l.attempt, UINT32_MAX);
      break;
    case kStep:
      l.step = text(f, kMaxName);
      break;
    case kNode:
      l.node = text(f, kMaxName);
      break;
    case kBootId:
      l.boot_id = text(f, kMaxName);
      break;
    case kMark:
      l.mark = text(f, kMaxName);
      break;
    case kUid:
      number(f, &l.uid, UINT32_MAX);
      break;
    case kGid:
      number(f, &l.gid, UINT32_MAX);
      break;
    case kGroup:
      if (auto* group = more(f, &l.groups, kMaxGroups)) number(f, group, UINT32_MAX);
      break;
    case kUser:
      l.user = text(f, kMaxName);
      break;
    case kHome:
      l.home = text(f, kMaxPath);
      break;
    case kShell:
      l.shell = text(f, kMaxPath);
      break;
    case kAsRoot:
      number(f, &l.as_root, 1);
      break;
    case kUmask:
      number(f, &l.umask, 0777);
      break;
    case kRlimit:
      rlimit(f);
      break;
    case kScript:
      if (f.value.size() > kMaxScriptBytes) return fail(f, "is too long");
      l.script = f.value;
      break;
    case kArg:
      words(f, &l.argv, kMaxWords, kMaxWord);
      break;
    case kEnv:
      words(f, &l.env, kMaxWords, kMaxWord);
      break;
    case kWorkdir:
      l.workdir = text(f, kMaxPath);
      break;
    case kStdin:
      l.stdin_path = text(f, kMaxPath);
      break;
    case kStdout:
      l.stdout_path = text(f, kMaxPath);
      break;
    case kStderr:
      l.stderr_path = text(f, kMaxPath);
      break;
    case kOpenMode:
      number(f, &l.open_mode, 1);
      break;
    case kTimeLimit:
      number(f, &l.time_limit_s, kMaxSeconds);
      break;
    case kKillWait:
      number(f, &l.kill_wait_s, kMaxSeconds);
      break;
    case kDeadline:
      number(f, &l.deadline_us, INT64_MAX);
      break;
    case kWarningSignal:
      number(f, &l.warning_signal, 64);
      break;
    case kWarningBefore:
      number(f, &l.warning_before_s, kMaxSeconds);
      break;
    case kWarningBatchOnly:
      number(f, &l.warning_to_batch_only, 1);
      break;
    case kLeftoverGrace:
      number(f, &l.leftover_grace_ms, kMaxSeconds);
      break;
    case kUnkillableAfter:
      number(f, &l.unkillable_after_s, kMaxSeconds);
      break;
    case kCgroup:
      words(f, &l.cgroups, kMaxCgroups, kMaxPath);
      break;
    case kEndFile:
      l.end_file = text(f, kMaxPath);
      break;
    case kTask:
      task(f);
      break;
    case kStreams:
      streams(f);
      break;
    case kTaskProlog:
      words(f, &l.task_prologs, kMaxTaskHooks, kMaxPath);
      break;
    case kTaskEpilog:
      words(f, &l.task_epilogs, kMaxTaskHooks, kMaxPath);
      break;
    case kPriority: {
      int raised = 20;
      number(f, &raised, 39);
      l.priority = raised - 20;
      break;
    }
    case kConfinement: {
      auto confinement = decode_confinement(f.value);
      if (!confinement.ok()) return fail(f, confinement.error().message.c_str());
      l.confinement = std::move(*confinement);
      break;
    }
    default:
      break;
  }
}

}  // namespace

std::string encode_launch(const StepLaunch& l) {
  RecordWriter w;
  w.text(kCluster, l.cluster);
  w.number(kJobId, l.job_id);
  w.number(kAttempt, l.attempt);
  w.text(kStep, l.step);
  w.text(kNode, l.node);
  w.text(kBootId, l.boot_id);
  w.text(kMark, l.mark);
  w.number(kUid, l.uid);
  w.number(kGid, l.gid);
  for (uint32_t group : l.groups) w.number(kGroup, group);
  w.text(kUser, l.user);
  w.text(kHome, l.home);
  w.text(kShell, l.shell);
  w.number(kAsRoot, l.as_root);
  w.number(kUmask, l.umask);
  for (const auto& limit : l.rlimits) {
    std::string value;
    for (uint64_t n : {uint64_t{limit.resource}, limit.soft, limit.hard})
      for (int i = 0; i < 8; ++i) value.push_back(static_cast<char>(n >> (8 * i)));
    w.text(kRlimit, value);
  }
  w.text(kScript, l.script);
  for (const auto& arg : l.argv) w.text(kArg, arg);
  for (const auto& entry : l.env) w.text(kEnv, entry);
  w.text(kWorkdir, l.workdir);
  w.text(kStdin, l.stdin_path);
  w.text(kStdout, l.stdout_path);
  w.text(kStderr, l.stderr_path);
  w.number(kOpenMode, static_cast<uint64_t>(l.open_mode));
  w.number(kTimeLimit, l.time_limit_s);
  w.number(kKillWait, l.kill_wait_s);
  w.number(kDeadline, static_cast<uint64_t>(l.deadline_us));
  w.number(kWarningSignal, l.warning_signal);
  w.number(kWarningBefore, l.warning_before_s);
  w.number(kWarningBatchOnly, l.warning_to_batch_only);
  w.number(kLeftoverGrace, l.leftover_grace_ms);
  w.number(kUnkillableAfter, l.unkillable_after_s);
  for (const auto& dir : l.cgroups) w.text(kCgroup, dir);
  if (!l.end_file.empty()) w.text(kEndFile, l.end_file);
  for (const auto& program : l.task_prologs) w.text(kTaskProlog, program);
  for (const auto& program : l.task_epilogs) w.text(kTaskEpilog, program);
  if (l.priority) w.number(kPriority, static_cast<uint64_t>(*l.priority + 20));
  if (!l.confinement.empty()) w.text(kConfinement, encode_confinement(l.confinement));
  if (l.tasks.empty()) return w.finish(kMagic, kBatchVersion);
  for (const auto& task : l.tasks) w.text(kTask, encode_task(task));
  w.text(kStreams, encode_plan(l.streams));
  return w.finish(kMagic, kVersion);
}

Result<StepLaunch> decode_launch(std::string_view bytes) {
  if (bytes.size() > kMaxLaunchBytes) return Error{"bad_record", "larger than a launch file may be"};
  auto fields = parse_record(bytes, kMagic, kVersion, 2 * kMaxWords + kMaxGroups + kMaxTasks + 256);
  if (!fields.ok()) return fields.error();
  Decoder decoder;
  std::bitset<kTagEnd> seen;
  for (const Field& field : *fields) {
    if (field.tag < kTagEnd && !repeats(field.tag)) {
      if (seen[field.tag]) decoder.fail(field, "comes twice");
      seen[field.tag] = true;
    }
    decoder.take(field);
    if (!decoder.wrong.empty()) return Error{"bad_record", decoder.wrong};
  }
  if (decoder.launch.mark.empty() || decoder.launch.argv.empty())
    return Error{"bad_record", "a launch needs a mark and an argument list"};
  if (seen[kStreams] && decoder.launch.tasks.empty())
    return Error{"bad_record", "a launch without tasks has no streams"};
  return std::move(decoder.launch);
}

Status write_launch(const Env& env, const std::string& dir, const StepLaunch& launch) {
  return env.write_file_atomic(dir + "/launch", encode_launch(launch));
}

Result<StepLaunch> read_launch(const std::string& dir) {
  auto bytes = read_all(dir + "/launch", kMaxLaunchBytes);
  if (!bytes.ok()) return bytes.error();
  auto launch = decode_launch(*bytes);
  if (launch.ok()) return launch;
  Error error = launch.error();
  error.place = dir + "/launch";
  return error;
}

std::string step_name(const StepLaunch& launch) {
  return "job " + std::to_string(launch.job_id) + " attempt " + std::to_string(launch.attempt) + " step " +
         launch.step;
}

}  // namespace bai::step
