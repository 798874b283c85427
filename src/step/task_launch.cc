#include "step/task_launch.h"

#include <bitset>

#include "step/launch.h"
#include "step/record.h"

namespace bai::step {

namespace {

// Frozen numbers; never reuse one.
enum TaskTag : uint16_t {
  kRank = 1,
  kLocalId = 2,
  kEnv = 3,
  kArg = 4,
  kCpuMask = 5,
  kStdin = 6,
  kStdout = 7,
  kStderr = 8,
  kNotice = 9,
};
enum PlanTag : uint16_t {
  kClient = 1,
  kKey = 2,
  kNodeIndex = 3,
  kNodeCount = 4,
  kTaskCount = 5,
  kRankNodes = 6,
  kNodeName = 7,
  kPty = 8,
  kRows = 9,
  kColumns = 10,
  kUnbuffered = 11,
  kMpi = 12,
  kKillOnBadExit = 13,
  kWait = 14,
  kDetach = 15,
  kSpeaker = 16,
  kParentAddress = 24,
};
constexpr uint16_t kTagEnd = 32;

constexpr uint64_t kMaxSeconds = uint64_t{1} << 40;

// Takes the fields of one nested record; remembers the first thing that was wrong.
class Fields {
 public:
  static Result<Fields> parse(std::string_view value, size_t max_fields) {
    auto fields = parse_fields(value, max_fields);
    if (!fields.ok()) return fields.error();
    return Fields(std::move(*fields));
  }

  const std::vector<Field>& all() const { return fields_; }
  void once(const Field& f) {
    if (f.tag >= kTagEnd) return;
    if (seen_[f.tag]) fail(f, "comes twice");
    seen_[f.tag] = true;
  }
  template <class T>
  void number(const Field& f, T* out, uint64_t max) {
    once(f);
    auto n = f.number(max);
    if (!n.ok()) return fail(f, "is out of range");
    *out = static_cast<T>(*n);
  }
  void bytes(const Field& f, std::string* out, size_t max) {
    once(f);
    if (f.value.size() > max) return fail(f, "is too long");
    *out = f.value;
  }
  void text(const Field& f, std::string* out, size_t max) {
    if (f.value.find('\0') != std::string_view::npos) return fail(f, "holds a NUL byte");
    bytes(f, out, max);
  }
  void more(const Field& f, std::vector<std::string>* list, size_t max_words, size_t max) {
    if (list->size() >= max_words) return fail(f, "comes too often");
    if (f.value.size() > max) return fail(f, "is too long");
    if (f.value.find('\0') != std::string_view::npos) return fail(f, "holds a NUL byte");
    list->emplace_back(f.value);
  }
  void numbers(const Field& f, std::vector<uint32_t>* list, size_t max) {
    once(f);
    if (f.value.size() % 4 != 0 || f.value.size() / 4 > max) return fail(f, "is no list of numbers");
    for (size_t at = 0; at < f.value.size(); at += 4) {
      uint32_t n = 0;
      for (size_t i = 4; i-- > 0;) n = n << 8 | static_cast<unsigned char>(f.value[at + i]);
      list->push_back(n);
    }
  }
  void fail(const Field& f, const char* what) {
    if (wrong.empty()) wrong = "field " + std::to_string(f.tag) + " " + what;
  }

  std::string wrong;

 private:
  explicit Fields(std::vector<Field> fields) : fields_(std::move(fields)) {}
  std::vector<Field> fields_;
  std::bitset<kTagEnd> seen_;
};

Error bad(const char* where, const std::string& what) {
  return Error{"bad_record", std::string(where) + what};
}

}  // namespace

std::string encode_task(const TaskLaunch& t) {
  RecordWriter w;
  w.number(kRank, t.rank);
  w.number(kLocalId, t.local_id);
  for (const auto& entry : t.env) w.text(kEnv, entry);
  for (const auto& arg : t.argv) w.text(kArg, arg);
  if (!t.cpu_mask.empty()) w.text(kCpuMask, t.cpu_mask);
  if (!t.stdin_path.empty()) w.text(kStdin, t.stdin_path);
  if (!t.stdout_path.empty()) w.text(kStdout, t.stdout_path);
  if (!t.stderr_path.empty()) w.text(kStderr, t.stderr_path);
  if (!t.notice.empty()) w.text(kNotice, t.notice);
  return w.body();
}

Result<TaskLaunch> decode_task(std::string_view value) {
  auto fields = Fields::parse(value, 2 * kMaxTaskWords + 64);
  if (!fields.ok()) return fields.error();
  TaskLaunch t;
  for (const Field& f : fields->all()) {
    switch (f.tag) {
      case kRank:
        fields->number(f, &t.rank, kMaxRanks - 1);
        break;
      case kLocalId:
        fields->number(f, &t.local_id, kMaxTasks - 1);
        break;
      case kEnv:
        fields->more(f, &t.env, kMaxTaskWords, kMaxWord);
        break;
      case kArg:
        fields->more(f, &t.argv, kMaxTaskWords, kMaxWord);
        break;
      case kCpuMask:
        fields->bytes(f, &t.cpu_mask, kMaxCpuMask);
        break;
      case kStdin:
        fields->text(f, &t.stdin_path, kMaxPath);
        break;
      case kStdout:
        fields->text(f, &t.stdout_path, kMaxPath);
        break;
      case kStderr:
        fields->text(f, &t.stderr_path, kMaxPath);
        break;
      case kNotice:
        fields->text(f, &t.notice, kMaxNotice);
        break;
      default:
        break;
    }
    if (!fields->wrong.empty()) return bad("a task: ", fields->wrong);
  }
  return t;
}

std::string encode_plan(const StreamPlan& p) {
  RecordWriter w;
  for (const auto& client : p.clients) w.text(kClient, client);
  w.text(kKey, p.key);
  w.number(kNodeIndex, p.node_index);
  w.number(kNodeCount, p.node_count);
  w.number(kTaskCount, p.task_count);
  if (!p.rank_nodes.empty()) {
    std::string value;
    for (uint32_t node : p.rank_nodes)
      for (int i = 0; i < 4; ++i) value.push_back(static_cast<char>(node >> (8 * i)));
    w.text(kRankNodes, value);
  }
  for (const auto& name : p.node_names) w.text(kNodeName, name);
  for (const auto& address : p.parent_addresses) w.text(kParentAddress, address);
  w.number(kPty, p.pty);
  w.number(kRows, p.pty_rows);
  w.number(kColumns, p.pty_columns);
  w.number(kUnbuffered, p.unbuffered);
  w.number(kMpi, static_cast<uint64_t>(p.mpi));
  w.number(kKillOnBadExit, p.kill_on_bad_exit);
  w.number(kWait, p.wait_s);
  w.number(kDetach, p.detach);
  w.text(kSpeaker, p.speaker);
  return w.body();
}

Result<StreamPlan> decode_plan(std::string_view value) {
  auto fields = Fields::parse(value, kMaxStepNodes + 64);
  if (!fields.ok()) return fields.error();
  StreamPlan p;
  for (const Field& f : fields->all()) {
    switch (f.tag) {
      case kClient:
        fields->more(f, &p.clients, kMaxEndpoints, kMaxEndpoint);
        break;
      case kKey:
        fields->bytes(f, &p.key, kStreamKeyBytes);
        break;
      case kNodeIndex:
        fields->number(f, &p.node_index, kMaxStepNodes - 1);
        break;
      case kNodeCount:
        fields->number(f, &p.node_count, kMaxStepNodes);
        break;
      case kTaskCount:
        fields->number(f, &p.task_count, kMaxRanks);
        break;
      case kRankNodes:
        fields->numbers(f, &p.rank_nodes, kMaxRanks);
        break;
      case kNodeName:
        fields->more(f, &p.node_names, kMaxStepNodes, kMaxName);
        break;
      case kPty:
        fields->number(f, &p.pty, 1);
        break;
      case kRows:
        fields->number(f, &p.pty_rows, kMaxTerminalSide);
        break;
      case kColumns:
        fields->number(f, &p.pty_columns, kMaxTerminalSide);
        break;
      case kUnbuffered:
        fields->number(f, &p.unbuffered, 1);
        break;
      case kMpi:
        fields->number(f, &p.mpi, static_cast<uint64_t>(MpiKind::kPmix));
        break;
      case kKillOnBadExit:
        fields->number(f, &p.kill_on_bad_exit, 1);
        break;
      case kWait:
        fields->number(f, &p.wait_s, kMaxSeconds);
        break;
      case kDetach:
        fields->number(f, &p.detach, 1);
        break;
      case kParentAddress:
        fields->more(f, &p.parent_addresses, kMaxEndpoints, kMaxEndpoint);
        break;
      case kSpeaker:
        fields->text(f, &p.speaker, kMaxName);
        break;
      default:
        break;
    }
    if (!fields->wrong.empty()) return bad("the plan of the streams: ", fields->wrong);
  }
  if (p.key.size() != kStreamKeyBytes && !p.clients.empty())
    return bad("the plan of the streams: ", "a client needs a key of 32 bytes");
  for (uint32_t node : p.rank_nodes)
    if (node >= p.node_count) return bad("the plan of the streams: ", "a rank is on no node of the step");
  if (p.mpi == MpiKind::kNone) return p;
  if (p.rank_nodes.size() != p.task_count || p.node_names.size() != p.node_count ||
      p.node_index >= p.node_count)
    return bad("the plan of the streams: ", "an MPI program needs to know its ranks and nodes");
  if (p.node_count > 1 && p.key.size() != kStreamKeyBytes)
    return bad("the plan of the streams: ", "the nodes of an MPI program need a key of 32 bytes");
  return p;
}

}  // namespace bai::step
