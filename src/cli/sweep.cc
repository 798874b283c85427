#include "cli/sweep.h"

#include <algorithm>
#include <ctime>

#include "base/text.h"
#include "base/time.h"
#include "base/units.h"
#include "cli/output.h"

namespace bai::cli {
namespace {

constexpr std::size_t kUsual = 16;  // values without a step

enum class Unit { kNumber, kTime, kMemory };

Error bad(std::string message, std::string_view text) {
  return Error{
      "bad_sweep", std::move(message) + " in --sweep=" + std::string(text), "--sweep",
      "write OPTION=FROM..TO or OPTION=FROM..TO,STEP, as in gpus=1..8 or time=1:00:00..8:00:00,1:00:00"};
}

Result<std::int64_t> read(Unit unit, std::string_view text) {
  switch (unit) {
    case Unit::kTime: {
      auto limit = parse_time_limit(text);
      if (!limit.ok()) return limit.error();
      return *limit == kUnlimited ? Result<std::int64_t>(Error{"bad_time", "no limit cannot be swept"})
                                  : Result<std::int64_t>(*limit / 60);
    }
    case Unit::kMemory: {
      auto mib = parse_memory_mib(text, ZeroMemory::kAllowed);
      if (!mib.ok()) return mib.error();
      return static_cast<std::int64_t>(std::min<std::uint64_t>(*mib, std::uint64_t{1} << 40));
    }
    case Unit::kNumber:
      break;
  }
  return parse_int(text, 0, 1'000'000'000);
}

std::string show(Unit unit, std::int64_t value) {
  if (unit == Unit::kTime) return format_duration_full(value * 60);
  return unit == Unit::kMemory ? format_memory(static_cast<std::uint64_t>(value)) : std::to_string(value);
}

Unit unit_of(std::string_view option) {
  if (option == "time") return Unit::kTime;
  return option.starts_with("mem") ? Unit::kMemory : Unit::kNumber;
}

void put_row(std::string& out, const Sweep& sweep, const std::string& value,
             const Result<wire::SubmitReply>& reply, Time now) {
  out += pad_left(value, std::max<std::size_t>(12, std::string_view(sweep.option->name).size())) + "  ";
  if (!reply.ok()) {
    out += "never: " + reply.error().message + "\n";
    return;
  }
  const Time at = reply->expected_start;
  const std::string start = !at.is_set() ? "unknown" : at <= now ? "now" : format_timestamp(at);
  out += pad_right(start, 19) + "  " + pad_left(std::to_string(reply->cpus), 6) + "  " +
         pad_right(reply->partition, 10) + "  " + reply->node_list + "\n";
}

}  // namespace

Result<Sweep> parse_sweep(std::string_view text, const OptionTable& table) {
  const auto equals = text.find('=');
  if (equals == text.npos) return bad("no '='", text);
  std::string key(text.substr(0, equals));
  if (key == "cpus") key = "cpus-per-task";
  Sweep sweep;
  sweep.option = table.find(key);
  if (!sweep.option || sweep.option->arg != ArgKind::required || !sweep.option->directive)
    return bad("no option " + quote(key) + " to vary", text);
  const Unit unit = unit_of(sweep.option->name);
  std::string_view range = text.substr(equals + 1);
  std::string_view step_text;
  if (const auto comma = range.find(','); comma != range.npos) {
    step_text = range.substr(comma + 1);
    range = range.substr(0, comma);
  }
  const auto dots = range.find("..");
  if (dots == range.npos) return bad("no '..'", text);
  auto from = read(unit, range.substr(0, dots));
  if (!from.ok()) return bad(from.error().message, text);
  auto to = read(unit, range.substr(dots + 2));
  if (!to.ok()) return bad(to.error().message, text);
  if (*to < *from) return bad("a range that goes down", text);
  std::int64_t step = std::max<std::int64_t>(
      1, (*to - *from + static_cast<std::int64_t>(kUsual) - 2) / (static_cast<std::int64_t>(kUsual) - 1));
  if (!step_text.empty()) {
    auto given = read(unit, step_text);
    if (!given.ok()) return bad(given.error().message, text);
    step = *given;
    if (step <= 0) return bad("a step of nothing", text);
  }
  if (static_cast<std::size_t>((*to - *from) / step) >= kMaxSweep)
    return bad("more than " + std::to_string(kMaxSweep) + " values", text);
  for (std::int64_t value = *from; value <= *to; value += step) sweep.values.push_back(show(unit, value));
  return sweep;
}

int run_sweep(const Sweep& sweep, const Parsed& parsed, const AskStart& ask, const Reporter& reporter) {
  Output out;
  JsonWriter json(out.buffer());
  bool any = false;
  if (reporter.json())
    json.begin_object().field("option", sweep.option->name).key("values").begin_array();
  else
    out.put(
        pad_left(sweep.option->name, std::max<std::size_t>(12, std::string_view(sweep.option->name).size())) +
        "  " + pad_right("START", 19) + "    CPUS  PARTITION   NODELIST\n");
  for (const auto& value : sweep.values) {
    Parsed one = parsed;
    Given given{sweep.option, value, true, Source::command_line, "--sweep"};
    one.add({std::move(given)});
    const auto reply = ask(one);
    // What the cluster cannot be asked at all is no answer for this value.
    if (!reply.ok() && (reply.error().code == "unreachable" || reply.error().code == "busy"))
      return reporter.refused(reply.error());
    any |= reply.ok();
    if (!reporter.json()) {
      timespec clock{};
      clock_gettime(CLOCK_REALTIME, &clock);
      put_row(out.buffer(), sweep, value, reply,
              Time{clock.tv_sec * 1'000'000 + clock.tv_nsec / 1000 + 500'000});
      continue;
    }
    json.line().begin_object().field("value", value);
    if (reply.ok())
      json.time("start_at", reply->expected_start)
          .field("cpus", std::int64_t{reply->cpus})
          .field("node_list", reply->node_list)
          .field("partition", reply->partition);
    else
      json.field("error", reply.error().message);
    json.end_object();
  }
  if (reporter.json()) {
    json.end_array().end_object();
    out.put("\n");
  }
  out.flush();
  return any && !out.failed() ? 0 : kRefused;
}

}  // namespace bai::cli
