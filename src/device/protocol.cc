#include "device/protocol.h"

#include <algorithm>

#include "base/text.h"
#include "device/device_plugin.h"
#include "step/record.h"

namespace bai::device {
namespace {

using step::Field;
using step::RecordWriter;

enum Type : std::uint16_t { kBegin = 1, kLook = 2, kFound = 101, kState = 102, kDone = 103, kFailed = 104 };
enum Tag : std::uint16_t {
  kName = 1,
  kFile = 2,
  kConfigDir = 3,
  kId = 4,
  kKind = 5,
  kType = 6,
  kModel = 7,
  kLocalCpus = 8,
  kNuma = 9,
  kMemory = 10,
  kShares = 11,
  kMps = 12,
  kRule = 13,
  kVariable = 14,
  kHealth = 15,
  kWhy = 16,
  kUse = 17,
  kMemoryUsed = 18,
  kPower = 19,
  kPid = 20,
  kPidMemory = 21,
  kAbsent = 22,
};
constexpr std::size_t kMaxPath = 4096;
constexpr std::size_t kMaxKinds = 16;
constexpr std::size_t kMaxFields = 4 * BAI_DEVICE_MOST_USERS;
constexpr std::uint64_t kMaxNumber = std::uint64_t{1} << 50;

std::string framed(std::uint16_t type, const RecordWriter& w) {
  std::string out{static_cast<char>(type & 255), static_cast<char>(type >> 8)};
  return out + w.body();
}

Error bad(const std::string& what) { return Error{"bad_frame", what}; }

// Numbers that may be "not known", which is -1.
void put_known(RecordWriter& w, std::uint16_t tag, std::int64_t value) {
  if (value >= 0) w.number(tag, static_cast<std::uint64_t>(value));
}

// Takes fields; remembers that something was wrong.
struct Taker {
  std::string wrong;

  void text(const Field& f, std::string& out, std::size_t most = BAI_DEVICE_MOST_TEXT) {
    if (f.value.size() > most) return fail("a text is too long");
    if (has_control(f.value) || !is_utf8(f.value)) return fail("a text is no text");
    out = f.value;
  }
  void list(const Field& f, std::vector<std::string>& out, std::size_t most,
            std::size_t bytes = BAI_DEVICE_MOST_TEXT) {
    if (out.size() >= most) return fail("a list is too long");
    text(f, out.emplace_back(), bytes);
  }
  std::uint64_t number(const Field& f, std::uint64_t most = kMaxNumber) {
    auto n = f.number(most);
    if (!n.ok()) fail("a number is too large");
    return n.ok() ? *n : 0;
  }
  void fail(const char* what) {
    if (wrong.empty()) wrong = what;
  }
};

struct Opened {
  std::uint16_t type = 0;
  std::vector<Field> fields;
};

Result<Opened> open(std::string_view frame) {
  if (frame.size() < 2 || frame.size() > kMaxFrame) return bad("a frame is too short or too long");
  Opened out;
  out.type = static_cast<std::uint16_t>(static_cast<unsigned char>(frame[0]) |
                                        static_cast<unsigned char>(frame[1]) << 8);
  auto fields = step::parse_fields(frame.substr(2), kMaxFields);
  if (!fields.ok()) return bad(fields.error().message);
  out.fields = std::move(*fields);
  return out;
}

Result<FromHost> found(const std::vector<Field>& fields) {
  Found out;
  Taker take;
  for (const auto& f : fields) {
    if (f.tag == kId) take.text(f, out.id);
    if (f.tag == kKind) take.text(f, out.kind);
    if (f.tag == kType) take.text(f, out.type);
    if (f.tag == kModel) take.text(f, out.model);
    if (f.tag == kLocalCpus) take.text(f, out.local_cpus);
    if (f.tag == kNuma) out.numa_node = static_cast<std::int32_t>(take.number(f, 0xffff));
    if (f.tag == kMemory) out.mem_mib = take.number(f);
    if (f.tag == kShares) out.shares = take.number(f, 1) != 0;
    if (f.tag == kMps) out.mps = take.number(f, 1) != 0;
    if (f.tag == kVariable) take.list(f, out.environment, BAI_DEVICE_MOST_WORDS);
    if (f.tag == kFile) {
      if (out.files.size() >= BAI_DEVICE_MOST_WORDS) return bad("a list is too long");
      take.text(f, out.files.emplace_back().path, kMaxPath);
    }
    if (f.tag == kRule) {
      auto rule = step::parse_rule(f.value.substr(0, 64));
      if (out.files.empty() || !rule.ok()) return bad("a device file is none");
      out.files.back().rule = *rule;
    }
  }
  if (!take.wrong.empty()) return bad(take.wrong);
  if (out.id.empty() || !is_device_name(out.kind) || (!out.type.empty() && !is_device_name(out.type)))
    return bad("a device has no id, or a kind or type that is no word");
  if (!std::all_of(out.environment.begin(), out.environment.end(),
                   [](const std::string& entry) { return is_variable(entry); }))
    return bad("a variable is none");
  return FromHost(std::move(out));
}

Result<FromHost> state(const std::vector<Field>& fields) {
  State out;
  Taker take;
  for (const auto& f : fields) {
    if (f.tag == kId) take.text(f, out.id);
    if (f.tag == kHealth) out.health = static_cast<DeviceHealth>(take.number(f, 2));
    if (f.tag == kWhy) take.text(f, out.why);
    if (f.tag == kUse) out.use_percent = static_cast<std::int32_t>(take.number(f, 100));
    if (f.tag == kMemoryUsed) out.mem_used_mib = static_cast<std::int64_t>(take.number(f));
    if (f.tag == kPower) out.power_mw = static_cast<std::int64_t>(take.number(f));
    if (f.tag == kPid) {
      if (out.processes.size() >= BAI_DEVICE_MOST_USERS) return bad("a list is too long");
      out.processes.push_back({static_cast<std::uint32_t>(take.number(f, 0x7fffffff)), 0});
    }
    if (f.tag == kPidMemory) {
      if (out.processes.empty()) return bad("memory of no process");
      out.processes.back().mem_mib = take.number(f);
    }
  }
  if (!take.wrong.empty()) return bad(take.wrong);
  if (out.id.empty()) return bad("a state of no device");
  return FromHost(std::move(out));
}

// Both ends of an answer have the same fields.
Result<FromHost> end(const std::vector<Field>& fields, bool failed) {
  Failed out;
  Taker take;
  for (const auto& f : fields) {
    if (f.tag == kKind) take.list(f, out.kinds, kMaxKinds);
    if (f.tag == kAbsent) out.absent = take.number(f, 1) != 0;
    if (f.tag == kWhy) take.text(f, out.why);
  }
  if (!take.wrong.empty()) return bad(take.wrong);
  if (!std::all_of(out.kinds.begin(), out.kinds.end(),
                   [](const std::string& kind) { return is_device_name(kind); }))
    return bad("a kind is no word");
  if (failed) return FromHost(std::move(out));
  return FromHost(Done{std::move(out.kinds)});
}

}  // namespace

bool is_variable(std::string_view entry) {
  const auto name = entry.substr(0, entry.find('='));
  return name.size() < entry.size() && !name.empty() && !is_digit(name[0]) &&
         std::all_of(name.begin(), name.end(), [](char c) { return is_alpha(c) || is_digit(c) || c == '_'; });
}

std::string encode(const ToHost& message) {
  RecordWriter w;
  const auto* begin = std::get_if<Begin>(&message);
  if (!begin) return framed(kLook, w);
  w.text(kName, begin->name);
  w.text(kFile, begin->file);
  w.text(kConfigDir, begin->config_dir);
  return framed(kBegin, w);
}

std::string encode(const FromHost& message) {
  RecordWriter w;
  if (const auto* found = std::get_if<Found>(&message)) {
    w.text(kId, found->id);
    w.text(kKind, found->kind);
    w.text(kType, found->type);
    w.text(kModel, found->model);
    w.text(kLocalCpus, found->local_cpus);
    put_known(w, kNuma, found->numa_node);
    w.number(kMemory, found->mem_mib);
    w.number(kShares, found->shares);
    w.number(kMps, found->mps);
    for (const auto& file : found->files) {
      w.text(kFile, file.path);
      w.text(kRule, step::format_rule(file.rule));
    }
    for (const auto& entry : found->environment) w.text(kVariable, entry);
    return framed(kFound, w);
  }
  if (const auto* state = std::get_if<State>(&message)) {
    w.text(kId, state->id);
    w.number(kHealth, static_cast<std::uint64_t>(state->health));
    w.text(kWhy, state->why);
    put_known(w, kUse, state->use_percent);
    put_known(w, kMemoryUsed, state->mem_used_mib);
    put_known(w, kPower, state->power_mw);
    for (const auto& process : state->processes) {
      w.number(kPid, process.pid);
      w.number(kPidMemory, process.mem_mib);
    }
    return framed(kState, w);
  }
  if (const auto* done = std::get_if<Done>(&message)) {
    for (const auto& kind : done->kinds) w.text(kKind, kind);
    return framed(kDone, w);
  }
  const auto& failed = std::get<Failed>(message);
  for (const auto& kind : failed.kinds) w.text(kKind, kind);
  w.number(kAbsent, failed.absent);
  w.text(kWhy, failed.why);
  return framed(kFailed, w);
}

Result<ToHost> decode_to_host(std::string_view frame) {
  auto opened = open(frame);
  if (!opened.ok()) return opened.error();
  if (opened->type == kLook) return ToHost(Look{});
  if (opened->type != kBegin) return bad("a request that is not known");
  Begin out;
  Taker take;
  for (const auto& f : opened->fields) {
    if (f.tag == kName) take.text(f, out.name);
    if (f.tag == kFile) take.text(f, out.file, kMaxPath);
    if (f.tag == kConfigDir) take.text(f, out.config_dir, kMaxPath);
  }
  if (!take.wrong.empty()) return bad(take.wrong);
  return ToHost(std::move(out));
}

Result<FromHost> decode_from_host(std::string_view frame) {
  auto opened = open(frame);
  if (!opened.ok()) return opened.error();
  switch (opened->type) {
    case kFound:
      return found(opened->fields);
    case kState:
      return state(opened->fields);
    case kDone:
      return end(opened->fields, false);
    case kFailed:
      return end(opened->fields, true);
    default:
      return bad("an answer that is not known");
  }
}

}  // namespace bai::device
