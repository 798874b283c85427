#include "model/dependency_text.h"

#include <algorithm>

#include "base/suggest.h"
#include "base/text.h"
#include "base/units.h"

namespace bai {
namespace {

constexpr std::int64_t kMaxJobId = 0xfffffffe;

struct KindName {
  std::string_view name;
  DependencyKind kind;
};
constexpr KindName kKinds[] = {
    {"after", DependencyKind::kAfter},         {"afterany", DependencyKind::kAfterAny},
    {"afterok", DependencyKind::kAfterOk},     {"afternotok", DependencyKind::kAfterNotOk},
    {"aftercorr", DependencyKind::kAfterCorr}, {"singleton", DependencyKind::kSingleton},
};

std::string suggest(std::string_view word) {
  std::vector<std::string_view> names;
  for (const auto& kind : kKinds) names.push_back(kind.name);
  return did_you_mean(word, names);
}

Error bad_dependency(std::string_view what, std::string remedy = "write TYPE:JOB[:JOB...], as in afterok:7") {
  return Error{"bad_dependency", quote(what) + " is not a dependency", "", std::move(remedy)};
}

// "7", "7_3", "7+10"
Result<Dependency> parse_dependency_job(std::string_view text, DependencyKind kind) {
  Dependency out;
  out.kind = kind;
  const std::string_view whole = text;
  if (const auto plus = text.find('+'); plus != std::string_view::npos) {
    auto minutes = parse_int(text.substr(plus + 1), 0, 1 << 28);
    if (kind != DependencyKind::kAfter || !minutes.ok())
      return bad_dependency(whole, "only after:JOB+MINUTES has a delay");
    out.delay_min = static_cast<std::uint32_t>(*minutes);
    text = text.substr(0, plus);
  }
  if (const auto bar = text.find('_'); bar != std::string_view::npos) {
    const std::string_view task = text.substr(bar + 1);
    if (task != "*") {
      auto number = parse_int(task, 0, kNoTask - 1);
      if (!number.ok() || !all_digits(task)) return bad_dependency(whole, "an array's task is JOB_TASK");
      out.task = static_cast<std::uint32_t>(*number);
    }
    text = text.substr(0, bar);
  }
  auto id = parse_int(text, 1, kMaxJobId);
  if (!id.ok() || !all_digits(text)) return bad_dependency(whole, "a job is a number, or JOB_TASK");
  out.job = static_cast<JobId>(*id);
  return out;
}

}  // namespace

Result<Dependencies> parse_dependencies(std::string_view text) {
  Dependencies out;
  text = trim(text);
  if (text.empty()) return out;
  const bool all = text.find(',') != std::string_view::npos;
  out.any = text.find('?') != std::string_view::npos;
  if (all && out.any)
    return Error{"bad_dependency", "',' and '?' are mixed in " + quote(text), "", "use one of them"};
  for (auto part : split(text, out.any ? '?' : ',')) {
    const auto words = split(part, ':');
    if (words.size() == 1 && all_digits(words[0]) && !words[0].empty()) {  // Slurm's first form: "7"
      auto one = parse_dependency_job(words[0], DependencyKind::kAfterAny);
      if (!one.ok()) return one.error();
      out.list.push_back(*one);
      continue;
    }
    const auto* kind = std::find_if(std::begin(kKinds), std::end(kKinds),
                                    [&](const KindName& k) { return iequals(k.name, words[0]); });
    if (kind == std::end(kKinds)) return bad_dependency(part, suggest(words[0]));
    if (kind->kind == DependencyKind::kSingleton) {
      if (words.size() > 1) return bad_dependency(part, "singleton takes no job");
      out.list.push_back({.kind = kind->kind});
      continue;
    }
    if (words.size() < 2) return bad_dependency(part);
    for (std::size_t i = 1; i < words.size(); ++i) {
      auto one = parse_dependency_job(words[i], kind->kind);
      if (!one.ok()) return one.error();
      out.list.push_back(*one);
    }
  }
  return out;
}

}  // namespace bai
