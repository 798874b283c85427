#include "agent/security_limits.h"

#include <grp.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>

#include "base/env.h"
#include "base/text.h"
#include "model/rlimits.h"

namespace bai::agent {

namespace {

constexpr std::size_t kMaxFile = 1 << 20;
constexpr std::size_t kMaxLines = 10'000;
constexpr std::int64_t kKeepMs = 60'000;
constexpr int kPriorityItem = -1;

// limits.conf(5): what an item limits, and how many of setrlimit(2)'s units one of its own is.
struct Item {
  std::string_view name;
  int resource;
  std::uint64_t unit;
};
constexpr Item kItems[] = {
    {"core", RLIMIT_CORE, 1024},       {"data", RLIMIT_DATA, 1024},  {"fsize", RLIMIT_FSIZE, 1024},
    {"memlock", RLIMIT_MEMLOCK, 1024}, {"nofile", RLIMIT_NOFILE, 1}, {"rss", RLIMIT_RSS, 1024},
    {"stack", RLIMIT_STACK, 1024},     {"cpu", RLIMIT_CPU, 60},      {"nproc", RLIMIT_NPROC, 1},
    {"as", RLIMIT_AS, 1024},           {"locks", RLIMIT_LOCKS, 1},   {"sigpending", RLIMIT_SIGPENDING, 1},
    {"msgqueue", RLIMIT_MSGQUEUE, 1},  {"nice", RLIMIT_NICE, 1},     {"rtprio", RLIMIT_RTPRIO, 1},
    {"priority", kPriorityItem, 1}};

const Item* item_of(std::string_view name) {
  for (const Item& item : kItems)
    if (item.name == name) return &item;
  return nullptr;
}

template <class T>
std::optional<T> number(std::string_view text) {
  T n{};
  const auto read = std::from_chars(text.data(), text.data() + text.size(), n);
  if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size()) return {};
  return n;
}

// "1000:2000", ":2000", "1000:"; a number alone is none.
bool in_range(std::string_view text, std::uint32_t id) {
  const auto colon = text.find(':');
  if (colon == text.npos) return false;
  const auto low = text.substr(0, colon), high = text.substr(colon + 1);
  const auto least = number<std::uint32_t>(low), most = number<std::uint32_t>(high);
  if ((!low.empty() && !least) || (!high.empty() && !most) || (low.empty() && high.empty())) return false;
  if (low.empty()) return id == *most;  // ":max" is that one, as pam_limits has it
  return id >= *least && (!most || id <= *most);
}

enum class Rank : std::uint8_t { kNone, kEverybody, kGroup, kUser };

Rank rank_of(const std::string& domain, const User& user,
             const std::function<std::optional<std::uint32_t>(const std::string&)>& gid_of) {
  if (domain == user.name || in_range(domain, user.uid)) return Rank::kUser;
  if (user.uid == 0) return Rank::kNone;  // groups and "*" do not mean root
  if (domain == "*") return Rank::kEverybody;
  if (!domain.starts_with('@')) return Rank::kNone;
  const std::string group = domain.substr(1);
  const bool has = group.find(':') != group.npos
                       ? std::any_of(user.groups.begin(), user.groups.end(),
                                     [&](std::uint32_t gid) { return in_range(group, gid); })
                       : [&] {
                           const auto gid = gid_of(group);
                           return gid && std::count(user.groups.begin(), user.groups.end(), *gid) > 0;
                         }();
  return has ? Rank::kGroup : Rank::kNone;
}

std::optional<std::uint64_t> in_units(const Item& item, std::int64_t value) {
  if (item.resource == RLIMIT_NICE)  // getpriority's -20..19 as the kernel's ceiling
    return static_cast<std::uint64_t>(20 - std::clamp<std::int64_t>(value, -20, 19));
  if (value < 0) return {};
  const auto n = static_cast<std::uint64_t>(value);
  return n > RLIM_INFINITY / item.unit ? std::optional<std::uint64_t>() : n * item.unit;
}

std::optional<std::uint32_t> group_number(const std::string& name) {
  std::vector<char> buffer(64 << 10);
  group entry{};
  group* found = nullptr;
  int err;
  while ((err = getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found)) == ERANGE &&
         buffer.size() < (1u << 22))
    buffer.resize(buffer.size() * 2);
  return err == 0 && found ? std::optional<std::uint32_t>(found->gr_gid) : std::nullopt;
}

}  // namespace

std::vector<LimitLine> parse_limit_lines(std::string_view text) {
  std::vector<LimitLine> out;
  for (auto line : split(text, '\n')) {
    const auto words = split_blanks(line.substr(0, line.find('#')));
    LimitLine made;
    if (words.size() == 2 && words[1] == "-") {  // "bob -": none
      made.domain = words[0];
      made.item = "-";
      out.push_back(std::move(made));
      continue;
    }
    if (words.size() != 4 || out.size() >= kMaxLines) continue;
    made.domain = words[0];
    made.soft = words[1] == "soft" || words[1] == "-";
    made.hard = words[1] == "hard" || words[1] == "-";
    made.item = lower(words[2]);
    if ((!made.soft && !made.hard) || !item_of(made.item)) continue;
    if (words[3] != "unlimited" && words[3] != "infinity" && words[3] != "-1") {
      const auto value = number<std::int64_t>(words[3]);
      if (!value) continue;
      made.value = *value;
    } else if (made.item == "nice" || made.item == "priority") {
      if (words[3] != "-1") continue;
    }
    out.push_back(std::move(made));
  }
  return out;
}

UserLimits limits_of(const std::vector<LimitLine>& lines, const User& user,
                     const std::function<std::optional<std::uint32_t>(const std::string&)>& gid_of) {
  UserLimits out;
  std::map<std::uint32_t, Rank> soft_rank, hard_rank;
  Rank priority_rank = Rank::kNone;
  const auto take = [](auto& ranks, auto& values, std::uint32_t resource, Rank rank, auto value) {
    if (rank < ranks[resource]) return;
    ranks[resource] = rank;
    values[resource] = value;
  };
  for (const auto& line : lines) {
    const Rank rank = rank_of(line.domain, user, gid_of);
    if (rank == Rank::kNone) continue;
    if (line.item == "-") {
      if (rank == Rank::kUser) return {};
      continue;
    }
    const Item& item = *item_of(line.item);
    if (item.resource == kPriorityItem) {
      if (rank >= priority_rank)
        out.priority = static_cast<int>(std::clamp<std::int64_t>(line.value, -20, 19));
      priority_rank = std::max(priority_rank, rank);
      continue;
    }
    const auto resource = static_cast<std::uint32_t>(item.resource);
    const auto value = in_units(item, line.value);
    if (line.soft) take(soft_rank, out.soft, resource, rank, value);
    if (line.hard) take(hard_rank, out.hard, resource, rank, value);
  }
  return out;
}

std::map<std::uint32_t, std::uint64_t> take_passed_limits(std::vector<std::string>& env) {
  std::map<std::uint32_t, std::uint64_t> out;
  std::erase_if(env, [&](const std::string& entry) {
    if (!entry.starts_with(kRlimitPrefix)) return false;
    const auto equals = entry.find('=');
    if (equals == entry.npos) return false;
    const auto name = std::string_view(entry).substr(kRlimitPrefix.size(), equals - kRlimitPrefix.size());
    const auto value = std::string_view(entry).substr(equals + 1);
    for (const auto& known : kRlimitNames) {
      if (known.name != name) continue;
      if (value == "infinity")
        out[known.resource] = RLIM_INFINITY;
      else if (const auto n = number<std::uint64_t>(value))
        out[known.resource] = *n;
    }
    return true;
  });
  return out;
}

std::vector<step::ResourceLimit> job_limits(const UserLimits& system,
                                            const std::map<std::uint32_t, std::uint64_t>& passed) {
  std::vector<step::ResourceLimit> out;
  for (std::uint32_t resource = 0; resource < RLIM_NLIMITS; ++resource) {
    const auto soft = system.soft.find(resource), hard = system.hard.find(resource);
    const auto own = passed.find(resource);
    if (soft == system.soft.end() && hard == system.hard.end() && own == passed.end()) continue;
    step::ResourceLimit limit{resource, step::kKeepLimit, step::kKeepLimit};
    if (hard != system.hard.end()) limit.hard = hard->second.value_or(RLIM_INFINITY);
    if (own != passed.end())
      limit.soft = own->second;
    else if (soft != system.soft.end())
      limit.soft = soft->second.value_or(RLIM_INFINITY);
    out.push_back(limit);
  }
  return out;
}

UserLimits SecurityLimits::of(const User& user, std::int64_t mono_ms) {
  if (until_ms_ < 0 || mono_ms >= until_ms_) {
    until_ms_ = mono_ms + kKeepMs;
    groups_.clear();
    const Env env = Env::real();
    std::vector<std::string> files = {dir_ + "/limits.conf"};
    if (auto names = env.list_dir(dir_ + "/limits.d"); names.ok()) {
      std::sort(names->begin(), names->end());
      for (const auto& name : *names)
        if (name.ends_with(".conf")) files.push_back(dir_ + "/limits.d/" + name);
    }
    lines_.clear();
    for (const auto& file : files)
      if (auto text = env.read_file(file, kMaxFile); text.ok())
        for (auto& line : parse_limit_lines(*text)) lines_.push_back(std::move(line));
  }
  if (lines_.empty()) return {};
  return limits_of(lines_, user, [this](const std::string& name) {
    auto [it, fresh] = groups_.try_emplace(name);
    if (fresh) it->second = group_number(name);
    return it->second;
  });
}

}  // namespace bai::agent
