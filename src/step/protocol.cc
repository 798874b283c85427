#include "step/protocol.h"

#include "base/text.h"
#include "step/record.h"
#include "step/task_launch.h"

namespace bai::step {

namespace {

constexpr size_t kMaxFields = 64;

// Frozen numbers.
enum Type : uint16_t {
  kSignal = 1,
  kTerminate = 2,
  kKill = 3,
  kQuery = 4,
  kSubscribe = 5,
  kSetTimeLimit = 6,
  kAttach = 7,
  kUse = 8,
  kSuspend = 9,
  kState = 101,
  kRefused = 102,
  kEnded = 103,
  kUsed = 104,
};
enum Tag : uint16_t {
  kSignum = 1,
  kScope = 2,
  kReason = 3,
  kText = 4,
  kKillWait = 5,
  kTimeLimit = 6,
  kPhase = 7,
  kShepherdPid = 8,
  kScriptPid = 9,
  kStart = 10,
  kMark = 11,
  kCode = 12,
  kStatus = 13,
  kClients = 14,  // separated by blanks
  kKey = 15,
  kMayWrite = 16,
  kQueryId = 17,
  kTaskCount = 18,
  kProcessCount = 19,
  kPids = 20,  // 4 bytes each
  // Figures: 5 numbers of 8 bytes.
  kCpu = 21,
  kRss = 22,
  kVm = 23,
  kPages = 24,
  kRead = 25,
  kWritten = 26,
  kSuspended = 27,
  kGeneration = 28,
  kGrace = 29,
  kNotice = 30,
};

void put_le(std::string* out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

uint64_t get_le(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

constexpr size_t kFigureBytes = 5 * 8;

std::string packed(const UseFigure& f) {
  std::string out;
  for (uint64_t n : {f.total, f.most, f.least, uint64_t{f.most_task}, uint64_t{f.least_task}})
    put_le(&out, n, 8);
  return out;
}

std::string frame(Type type, const RecordWriter& fields) {
  std::string out;
  for (uint16_t n : {kProtocolVersion, static_cast<uint16_t>(type)}) {
    out.push_back(static_cast<char>(n & 0xff));
    out.push_back(static_cast<char>(n >> 8));
  }
  return out + fields.body();
}

// The fields of a frame by tag; an unknown one is ignored, a repeated one refused.
class Frame {
 public:
  static Result<Frame> parse(std::string_view bytes, const char* code) {
    if (bytes.size() < 4 || bytes.size() > kMaxFrame) return Error{code, "no frame"};
    auto u16 = [&](size_t at) {
      return static_cast<uint16_t>(static_cast<unsigned char>(bytes[at]) |
                                   static_cast<unsigned char>(bytes[at + 1]) << 8);
    };
    if (u16(0) != kProtocolVersion)
      return Error{code, "protocol version " + std::to_string(u16(0)) + " is not known"};
    auto fields = parse_fields(bytes.substr(4), kMaxFields);
    if (!fields.ok()) return Error{code, fields.error().message};
    for (size_t i = 0; i < fields->size(); ++i)
      for (size_t k = 0; k < i; ++k)
        if ((*fields)[i].tag == (*fields)[k].tag) return Error{code, "a field comes twice"};
    return Frame(u16(2), std::move(*fields), code);
  }

  uint16_t type() const { return type_; }

  // An absent field leaves `out` as it is.
  template <class T>
  void number(uint16_t tag, T* out, uint64_t max, uint64_t min = 0) {
    const Field* field = find(tag);
    if (!field) return;
    auto n = field->number(max);
    if (n.ok() && *n >= min)
      *out = static_cast<T>(*n);
    else
      wrong_ = true;
  }
  void figure(uint16_t tag, UseFigure* out) {
    std::string bytes;
    text(tag, &bytes, kFigureBytes);
    if (bytes.empty()) return;
    if (bytes.size() != kFigureBytes) {
      wrong_ = true;
      return;
    }
    const auto number_at = [&](size_t i) { return get_le(std::string_view(bytes).substr(8 * i, 8)); };
    *out = {number_at(0), number_at(1), number_at(2), static_cast<uint32_t>(number_at(3)),
            static_cast<uint32_t>(number_at(4))};
  }
  void text(uint16_t tag, std::string* out, size_t max) {
    const Field* field = find(tag);
    if (!field) return;
    if (field->value.size() > max)
      wrong_ = true;
    else
      *out = field->value;
  }
  template <class Variant, class T>
  Result<Variant> done(T value) const {
    if (wrong_) return Error{code_, "a field is out of range"};
    return Variant(std::move(value));
  }

 private:
  Frame(uint16_t type, std::vector<Field> fields, const char* code)
      : type_(type), fields_(std::move(fields)), code_(code) {}
  const Field* find(uint16_t tag) const {
    for (const Field& field : fields_)
      if (field.tag == tag) return &field;
    return nullptr;
  }
  uint16_t type_;
  std::vector<Field> fields_;
  const char* code_;
  bool wrong_ = false;
};

constexpr auto kFirstReason = static_cast<uint64_t>(EndReason::kExited);
constexpr auto kLastReason = static_cast<uint64_t>(EndReason::kOutOfMemory);

constexpr std::pair<Tag, UseFigure LiveUse::*> kFigures[] = {
    {kCpu, &LiveUse::cpu_us},  {kRss, &LiveUse::rss_kib},     {kVm, &LiveUse::vm_kib},
    {kPages, &LiveUse::pages}, {kRead, &LiveUse::read_bytes}, {kWritten, &LiveUse::write_bytes}};

struct Encoder {
  RecordWriter w;
  void message(const std::string& text) { w.text(kText, std::string_view(text).substr(0, kMaxMessage)); }

  std::string operator()(const SignalRequest& r) {
    w.number(kSignum, r.signum);
    w.number(kScope, static_cast<uint64_t>(r.scope));
    return frame(kSignal, w);
  }
  std::string operator()(const TerminateRequest& r) {
    w.number(kReason, static_cast<uint64_t>(r.reason));
    message(r.message);
    if (r.kill_wait_ms >= 0) w.number(kKillWait, static_cast<uint64_t>(r.kill_wait_ms));
    if (r.grace_ms > 0) w.number(kGrace, static_cast<uint64_t>(r.grace_ms));
    if (r.notice != Notice::kNone) w.number(kNotice, static_cast<uint64_t>(r.notice));
    return frame(kTerminate, w);
  }
  std::string operator()(const KillRequest& r) {
    w.number(kReason, static_cast<uint64_t>(r.reason));
    message(r.message);
    return frame(kKill, w);
  }
  std::string operator()(const QueryRequest&) { return frame(kQuery, w); }
  std::string operator()(const SubscribeRequest&) { return frame(kSubscribe, w); }
  std::string operator()(const SetTimeLimitRequest& r) {
    w.number(kTimeLimit, r.time_limit_s);
    return frame(kSetTimeLimit, w);
  }
  std::string operator()(const AttachRequest& r) {
    std::string clients;
    for (const auto& client : r.clients) clients += (clients.empty() ? "" : " ") + client;
    w.text(kClients, clients);
    w.text(kKey, r.key);
    w.number(kMayWrite, r.may_write);
    return frame(kAttach, w);
  }
  std::string operator()(const UseRequest& r) {
    w.number(kQueryId, r.query);
    return frame(kUse, w);
  }
  std::string operator()(const UseReply& r) {
    w.number(kQueryId, r.query);
    w.number(kTaskCount, r.use.tasks);
    w.number(kProcessCount, r.use.processes);
    std::string pids;
    for (size_t i = 0; i < r.use.pids.size() && i < kMaxLivePids; ++i) put_le(&pids, r.use.pids[i], 4);
    w.text(kPids, pids);
    for (auto [tag, figure] : kFigures) w.text(tag, packed(r.use.*figure));
    return frame(kUsed, w);
  }
  std::string operator()(const SuspendRequest& r) {
    w.number(kSuspended, r.suspended);
    w.number(kGeneration, r.generation);
    return frame(kSuspend, w);
  }
  std::string operator()(const StateReply& r) {
    w.number(kPhase, static_cast<uint64_t>(r.phase));
    w.number(kShepherdPid, static_cast<uint64_t>(r.shepherd_pid));
    w.number(kScriptPid, static_cast<uint64_t>(r.script_pid));
    w.number(kStart, static_cast<uint64_t>(r.start_us));
    w.number(kTimeLimit, r.time_limit_s);
    w.text(kMark, r.mark);
    if (r.suspended) w.number(kSuspended, 1);
    return frame(kState, w);
  }
  std::string operator()(const RefusedReply& r) {
    w.text(kCode, r.code);
    message(r.message);
    return frame(kRefused, w);
  }
  std::string operator()(const EndedReply& r) {
    w.text(kStatus, encode_status(r.status));
    return frame(kEnded, w);
  }
};

}  // namespace

std::string encode_request(const Request& request) { return std::visit(Encoder{}, request); }
std::string encode_reply(const Reply& reply) { return std::visit(Encoder{}, reply); }

Result<Request> decode_request(std::string_view bytes) {
  auto f = Frame::parse(bytes, "bad_request");
  if (!f.ok()) return f.error();
  switch (f->type()) {
    case kSignal: {
      SignalRequest r;
      f->number(kSignum, &r.signum, 64);
      f->number(kScope, &r.scope, 3, 1);
      if (r.signum == 0) return Error{"bad_request", "no signal number"};
      return f->done<Request>(r);
    }
    case kTerminate: {
      TerminateRequest r;
      f->number(kReason, &r.reason, kLastReason, kFirstReason);
      f->text(kText, &r.message, kMaxMessage);
      f->number(kKillWait, &r.kill_wait_ms, uint64_t{1} << 40);
      f->number(kGrace, &r.grace_ms, uint64_t{1} << 40);
      f->number(kNotice, &r.notice, static_cast<uint64_t>(Notice::kOwnSignalOrTerm));
      return f->done<Request>(std::move(r));
    }
    case kKill: {
      KillRequest r;
      f->number(kReason, &r.reason, kLastReason, kFirstReason);
      f->text(kText, &r.message, kMaxMessage);
      return f->done<Request>(std::move(r));
    }
    case kQuery:
      return f->done<Request>(QueryRequest{});
    case kSubscribe:
      return f->done<Request>(SubscribeRequest{});
    case kSetTimeLimit: {
      SetTimeLimitRequest r;
      f->number(kTimeLimit, &r.time_limit_s, uint64_t{1} << 40);
      return f->done<Request>(r);
    }
    case kAttach: {
      AttachRequest r;
      std::string clients;
      f->text(kClients, &clients, kMaxEndpoints * (kMaxEndpoint + 1));
      f->text(kKey, &r.key, kStreamKeyBytes);
      f->number(kMayWrite, &r.may_write, 1);
      for (auto client : split(clients, ' '))
        if (!client.empty()) r.clients.emplace_back(client);
      if (r.key.size() != kStreamKeyBytes || r.clients.empty() || r.clients.size() > kMaxEndpoints)
        return Error{"bad_request", "a client needs a key of 32 bytes and up to 8 addresses"};
      return f->done<Request>(std::move(r));
    }
    case kUse: {
      UseRequest r;
      f->number(kQueryId, &r.query, UINT64_MAX);
      return f->done<Request>(r);
    }
    case kSuspend: {
      SuspendRequest r;
      f->number(kSuspended, &r.suspended, 1);
      f->number(kGeneration, &r.generation, UINT64_MAX);
      return f->done<Request>(r);
    }
    default:
      return Error{"bad_request", "request type " + std::to_string(f->type()) + " is not known"};
  }
}

Result<Reply> decode_reply(std::string_view bytes) {
  auto f = Frame::parse(bytes, "bad_reply");
  if (!f.ok()) return f.error();
  switch (f->type()) {
    case kState: {
      StateReply r;
      f->number(kPhase, &r.phase, 5, 1);
      f->number(kShepherdPid, &r.shepherd_pid, INT32_MAX);
      f->number(kScriptPid, &r.script_pid, INT32_MAX);
      f->number(kStart, &r.start_us, INT64_MAX);
      f->number(kTimeLimit, &r.time_limit_s, UINT64_MAX);
      f->text(kMark, &r.mark, 256);
      f->number(kSuspended, &r.suspended, 1);
      return f->done<Reply>(std::move(r));
    }
    case kRefused: {
      RefusedReply r;
      f->text(kCode, &r.code, 256);
      f->text(kText, &r.message, kMaxMessage);
      return f->done<Reply>(std::move(r));
    }
    case kEnded: {
      std::string bytes_of_status;
      f->text(kStatus, &bytes_of_status, kMaxFrame);
      auto status = decode_status(bytes_of_status);
      if (!status.ok()) return Error{"bad_reply", status.error().message};
      return f->done<Reply>(EndedReply{std::move(*status)});
    }
    case kUsed: {
      UseReply r;
      f->number(kQueryId, &r.query, UINT64_MAX);
      f->number(kTaskCount, &r.use.tasks, UINT32_MAX);
      f->number(kProcessCount, &r.use.processes, UINT32_MAX);
      std::string pids;
      f->text(kPids, &pids, 4 * kMaxLivePids);
      if (pids.size() % 4 != 0) return Error{"bad_reply", "a process's number is cut"};
      for (size_t i = 0; i < pids.size(); i += 4)
        r.use.pids.push_back(static_cast<uint32_t>(get_le(std::string_view(pids).substr(i, 4))));
      for (auto [tag, figure] : kFigures) f->figure(tag, &(r.use.*figure));
      return f->done<Reply>(std::move(r));
    }
    default:
      return Error{"bad_reply", "reply type " + std::to_string(f->type()) + " is not known"};
  }
}

}  // namespace bai::step
