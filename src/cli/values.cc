#include "cli/values.h"

#include <algorithm>
#include <csignal>
#include <optional>

#include "base/suggest.h"
#include "base/text.h"
#include "base/units.h"

namespace bai::cli {
namespace {

constexpr std::int64_t kMaxJobId = 0xfffffffe;
constexpr std::size_t kMaxRefs = 1 << 20;

struct SignalName {
  std::string_view name;
  int number;
};
constexpr SignalName kSignals[] = {
    {"HUP", SIGHUP},       {"INT", SIGINT},   {"QUIT", SIGQUIT},   {"ILL", SIGILL},   {"TRAP", SIGTRAP},
    {"ABRT", SIGABRT},     {"BUS", SIGBUS},   {"FPE", SIGFPE},     {"KILL", SIGKILL}, {"USR1", SIGUSR1},
    {"SEGV", SIGSEGV},     {"USR2", SIGUSR2}, {"PIPE", SIGPIPE},   {"ALRM", SIGALRM}, {"TERM", SIGTERM},
    {"STKFLT", SIGSTKFLT}, {"CHLD", SIGCHLD}, {"CONT", SIGCONT},   {"STOP", SIGSTOP}, {"TSTP", SIGTSTP},
    {"TTIN", SIGTTIN},     {"TTOU", SIGTTOU}, {"URG", SIGURG},     {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},
    {"VTALRM", SIGVTALRM}, {"PROF", SIGPROF}, {"WINCH", SIGWINCH}, {"IO", SIGIO},     {"PWR", SIGPWR},
    {"SYS", SIGSYS},
};

struct MailName {
  std::string_view name;
  std::uint16_t bits;
};
constexpr std::uint16_t kMailAll = kMailBegin | kMailEnd | kMailFail | kMailRequeue | kMailInvalidDepend;
constexpr MailName kMails[] = {
    {"NONE", 0},
    {"BEGIN", kMailBegin},
    {"END", kMailEnd},
    {"FAIL", kMailFail},
    {"REQUEUE", kMailRequeue},
    {"ALL", kMailAll},
    {"INVALID_DEPEND", kMailInvalidDepend},
    {"TIME_LIMIT", kMailTimeLimit},
    {"TIME_LIMIT_90", kMailTimeLimit90},
    {"TIME_LIMIT_80", kMailTimeLimit80},
    {"TIME_LIMIT_50", kMailTimeLimit50},
    {"ARRAY_TASKS", kMailArrayTasks},
    {"STAGE_OUT", 0},
};

template <class Table>
std::string suggest(std::string_view word, const Table& table) {
  std::vector<std::string_view> names;
  for (const auto& entry : table) names.push_back(entry.name);
  return did_you_mean(word, names);
}

}  // namespace

Result<std::uint16_t> parse_signal(std::string_view text) {
  std::string_view word = trim(text);
  if (istarts_with(word, "SIG")) word.remove_prefix(3);
  for (const auto& signal : kSignals)
    if (iequals(signal.name, word)) return static_cast<std::uint16_t>(signal.number);
  auto number = parse_int(word, 1, 64);
  if (number.ok()) return static_cast<std::uint16_t>(*number);
  std::string remedy = suggest(word, kSignals);
  return Error{"bad_signal", quote(text) + " is not a signal", "",
               remedy.empty() ? "say a name such as TERM, or a number" : remedy};
}

std::string signal_name(std::uint16_t number) {
  for (const auto& signal : kSignals)
    if (signal.number == number) return std::string(signal.name);
  return std::to_string(number);
}

Result<WarningSignal> parse_warning_signal(std::string_view text) {
  WarningSignal out;
  // As Slurm: R (there are no reservations that it could mean), B, or both in either order, and a colon.
  if (const auto colon = text.find(':'); colon != std::string_view::npos && colon <= 2) {
    for (char c : text.substr(0, colon))
      if (c == 'B' || c == 'b')
        out.batch_only = true;
      else if (c != 'R' && c != 'r')
        return Error{"bad_signal", quote(text) + ": before the colon stand B and R", "",
                     "write [B:|R:]SIGNAL[@SECONDS]"};
    text.remove_prefix(colon + 1);
  }
  const auto at = text.find('@');
  auto number = parse_signal(text.substr(0, at));
  if (!number.ok()) return number.error();
  out.number = *number;
  if (at != std::string_view::npos) {
    auto seconds = parse_int(text.substr(at + 1), 0, 65535);
    if (!seconds.ok())
      return Error{"bad_signal", quote(text) + ": after @ stand 0 to 65535 seconds", "",
                   "write [B:|R:]SIGNAL[@SECONDS]"};
    out.before_end_s = static_cast<std::uint32_t>(*seconds);
  }
  return out;
}

Result<std::uint16_t> parse_mail_events(std::string_view text) {
  std::uint16_t out = 0;
  for (auto word : split_list(text)) {
    const auto* mail = std::find_if(std::begin(kMails), std::end(kMails),
                                    [&](const MailName& m) { return iequals(m.name, word); });
    if (mail == std::end(kMails))
      return Error{"bad_mail_type", quote(word) + " is not an event", "", suggest(word, kMails)};
    if (mail->name == "NONE") return std::uint16_t{0};
    out |= mail->bits;
  }
  return out;
}

std::string format_mail_events(std::uint16_t events) {
  std::string out;
  for (const auto& mail : kMails)
    if (mail.bits != 0 && mail.bits != kMailAll && (events & mail.bits)) {
      if (!out.empty()) out += ',';
      out += mail.name;
    }
  return out.empty() ? "NONE" : out;
}

namespace {

Error bad_job(std::string_view what) {
  return Error{"bad_job_id", quote(what) + " is not a job", "",
               "a job is a number, ARRAY_TASK or ARRAY_[TASKS]"};
}

// "0", "batch".
std::optional<StepId> parse_step_id(std::string_view text) {
  if (text == "batch") return kBatchStep;
  auto id = parse_int(text, 0, kBatchStep - 1);
  if (!id.ok() || !all_digits(text)) return std::nullopt;
  return static_cast<StepId>(*id);
}

Status parse_job_ref(std::string_view text, StepRefs steps, std::vector<wire::JobRef>& out) {
  const std::string_view whole = text;
  StepId step = kNoStep;
  if (const auto dot = text.find('.'); dot != std::string_view::npos && steps == StepRefs::kAllowed) {
    auto id = parse_step_id(text.substr(dot + 1));
    if (!id) return bad_job(whole);
    step = *id;
    text = text.substr(0, dot);
  }
  const auto bar = text.find('_');
  auto id = parse_int(text.substr(0, bar), 1, kMaxJobId);
  if (!id.ok() || !all_digits(text.substr(0, bar))) return bad_job(whole);
  const auto job = static_cast<JobId>(*id);
  std::string_view tasks = bar == std::string_view::npos ? std::string_view("*") : text.substr(bar + 1);
  if (tasks == "*") {
    out.push_back({job, kNoTask, step});
    return {};
  }
  if (tasks.size() >= 2 && tasks.front() == '[' && tasks.back() == ']')
    tasks = tasks.substr(1, tasks.size() - 2);
  if (const auto percent = tasks.find('%'); percent != std::string_view::npos)
    tasks = tasks.substr(0, percent);
  auto set = IdSet::parse(tasks, kNoTask - 1);
  if (!set.ok()) return bad_job(whole);
  if (set->count() + out.size() > kMaxRefs)
    return Error{"bad_job_id", quote(whole) + " names too many tasks", "",
                 "name the array, or filter by name"};
  set->for_each([&](std::uint32_t task) { out.push_back({job, task, step}); });
  return {};
}

}  // namespace

Result<std::vector<wire::JobRef>> parse_job_refs(std::string_view text, StepRefs steps) {
  std::vector<wire::JobRef> out;
  // Commas inside brackets belong to a task list.
  std::size_t begin = 0;
  int depth = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] == '[') ++depth;
    if (i < text.size() && text[i] == ']') --depth;
    if (i < text.size() && (text[i] != ',' || depth > 0)) continue;
    const auto word = trim(text.substr(begin, i - begin));
    begin = i + 1;
    if (word.empty()) continue;
    if (Status status = parse_job_ref(word, steps, out); !status.ok()) return status.error();
  }
  if (out.empty()) return bad_job(text);
  return out;
}

Result<std::vector<JobState>> parse_job_states(std::string_view text) {
  std::vector<JobState> out;
  for (auto word : split_list(text)) {
    if (iequals(word, "all")) {
      out.clear();
      for (int i = 0; i < kJobStates; ++i) out.push_back(static_cast<JobState>(i));
      return out;
    }
    auto state = parse_job_state(word);
    if (!state) {
      std::vector<std::string_view> names;
      for (int i = 0; i < kJobStates; ++i) names.push_back(name(static_cast<JobState>(i)));
      return Error{"bad_state", quote(word) + " is not a job state", "", did_you_mean(word, names)};
    }
    out.push_back(*state);
  }
  return out;
}

}  // namespace bai::cli
