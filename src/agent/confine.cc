#include "agent/confine.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "step/device_filter.h"

namespace bai::agent {

using step::CgroupSetting;
using step::CgroupTree;

namespace {

constexpr std::string_view kControllers[] = {"cpuset", "cpu", "memory", "pids", "devices", "freezer"};
constexpr std::string_view kOwnLeaf =
    "bai-agentd-self";  // where the agent goes when v2 wants its directory empty
constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kPeriodUs = 100'000;

std::string line_of(const std::string& path) {
  auto text = read_all(path, 1 << 16);
  return text.ok() ? std::string(trim(*text)) : std::string();
}

Status write_line(const std::string& path, std::string_view text) {
  auto fd = open_fd(path, O_WRONLY | O_TRUNC);
  if (!fd.ok()) return fd.error();
  return write(fd->get(), text.data(), text.size()) < 0 ? Status(errno_error("cannot write", path, errno))
                                                        : Status();
}

bool contains(const std::vector<std::string>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// A process's place in a hierarchy, "" for its top: /proc/self/cgroup's lines are ID:CONTROLLERS:PATH.
std::string own_place(std::string_view own, std::string_view controller) {
  for (auto line : split(own, '\n')) {
    auto parts = split(line, ':', 3);
    if (parts.size() != 3) continue;
    bool match = controller.empty() && parts[0] == "0";
    for (auto word : split(parts[1], ',')) match = match || (!controller.empty() && word == controller);
    if (!match) continue;
    std::string_view place = parts[2] == "/" ? std::string_view() : parts[2];
    const std::string leaf = "/" + std::string(kOwnLeaf);
    if (place.ends_with(leaf)) place.remove_suffix(leaf.size());
    return std::string(place);
  }
  return "";
}

}  // namespace

CgroupSystem find_cgroups(std::string_view mounts, std::string_view own, const std::string& root) {
  CgroupSystem out;
  const auto base = [&](std::string_view mount, std::string_view controller) {
    const std::string top = root + std::string(mount);
    const std::string place = top + own_place(own, controller);
    return access(place.c_str(), F_OK) == 0 ? place : top;  // a container sees another tree
  };
  for (auto line : split(mounts, '\n')) {
    auto words = split_blanks(line);
    if (words.size() < 4) continue;
    if (words[2] == "cgroup2" && out.unified.empty()) {
      out.unified = base(words[1], "");
      // A container's top, or a unit of systemd's.
      out.alone = out.unified == root + std::string(words[1]) || out.unified.ends_with(".service");
    }
    if (words[2] != "cgroup") continue;
    for (auto option : split(words[3], ','))
      for (auto controller : kControllers)
        if (option == controller) out.v1.emplace(std::string(controller), base(words[1], controller));
  }
  if (!out.unified.empty()) {
    const std::string words = line_of(out.unified + "/cgroup.controllers");
    for (auto word : split_blanks(words)) out.controllers.emplace_back(word);
  }
  if (auto it = out.v1.find("cpuset"); it != out.v1.end())
    for (const char* file : {"cpuset.cpus", "cpuset.mems"})
      out.facts[file] = line_of(it->second + "/" + file);
  if (auto it = out.v1.find("memory"); it != out.v1.end()) {
    const std::string memsw = "memory.memsw.limit_in_bytes";
    for (const std::string& file : {memsw, std::string("memory.use_hierarchy")})
      if (access((it->second + "/" + file).c_str(), F_OK) == 0) out.facts[file] = "1";
  }
  return out;
}

void Confiner::configure(const ConfinementSettings& settings, std::uint64_t node_mib) {
  settings_ = settings;
  node_mib_ = node_mib;
}

bool Confiner::has(const std::string& controller) const {
  if (!why_not_.empty() || contains(failed_, controller)) return false;
  if (controller == "cpuset" && !binds_) return false;
  if (controller == "devices" && system_.v1.count("devices") == 0)
    return !system_.unified.empty() && keeps_devices_;
  return system_.v1.count(controller) != 0 || contains(system_.controllers, controller);
}

// v2's controllers that any job here may need.
std::vector<CgroupSetting> Confiner::unified_settings() const {
  std::string words;
  const auto want = [&](const std::string& controller, bool wanted) {
    if (wanted && system_.v1.count(controller) == 0 && has(controller))
      words += (words.empty() ? "+" : " +") + controller;
  };
  want("cpuset", settings_.cores);
  want("cpu", settings_.cpu_time != CpuTime::kNone);
  want("memory", settings_.memory || settings_.swap);
  want("pids", settings_.max_processes > 0);
  if (words.empty()) return {};
  return {{"cgroup.subtree_control", words}};
}

CgroupTree& Confiner::tree(const std::string& controller, std::vector<CgroupTree>& trees) const {
  const auto v1 = system_.v1.find(controller);
  const std::string parent = limited(v1 != system_.v1.end() ? v1->second : system_.unified);
  for (auto& tree : trees)
    if (tree.parent == parent) return tree;
  CgroupTree& tree = trees.emplace_back();
  tree.parent = parent;
  if (v1 == system_.v1.end()) {
    tree.node = unified_settings();
    return tree;
  }
  if (controller == "cpuset")  // v1: nothing may be in a set without processors
    for (const char* file : {"cpuset.cpus", "cpuset.mems"}) {
      const std::string& all = system_.facts.at(file);
      for (auto* level : {&tree.node, &tree.job, &tree.step}) level->push_back({file, all});
    }
  if (controller == "memory" && system_.facts.count("memory.use_hierarchy") != 0)
    tree.node.push_back({"memory.use_hierarchy", "1"});  // before 5.11 a step's use was not its job's
  return tree;
}

std::string Confiner::plain() const {
  if (!why_not_.empty()) return "";
  if (!system_.unified.empty()) return system_.unified + "/" + name_;
  const auto freezer = system_.v1.find("freezer");
  return freezer == system_.v1.end() ? "" : freezer->second + "/" + name_;
}

std::uint64_t Confiner::ram_bytes(std::uint64_t mem_mib) const {
  const std::uint64_t most = node_mib_ * settings_.max_ram_percent / 100;
  return std::max(settings_.min_ram_mib, std::min(mem_mib * settings_.allowed_ram_percent / 100, most)) *
         kMiB;
}

std::uint64_t Confiner::swap_bytes(std::uint64_t mem_mib) const {
  return std::min(mem_mib * settings_.allowed_swap_percent / 100,
                  node_mib_ * settings_.max_swap_percent / 100) *
         kMiB;
}

void Confiner::confine(const JobLimits& limits, step::StepLaunch& launch) const {
  auto& trees = launch.confinement.trees;
  const auto v1 = [&](const char* controller) { return system_.v1.count(controller) != 0; };
  const auto set = [&](const char* controller, const char* v2_file, const char* v1_file,
                       const std::string& value) {
    tree(controller, trees).job.push_back({v1(controller) ? v1_file : v2_file, value});
  };
  if (settings_.cores && !limits.cpu_list.empty() && has("cpuset")) {
    auto& t = tree("cpuset", trees);
    if (v1("cpuset"))
      t.job[0].value = t.step[0].value = limits.cpu_list;
    else
      t.job.push_back({"cpuset.cpus", limits.cpu_list});
  }
  if (settings_.cpu_time != CpuTime::kNone && limits.cpus > 0 && has("cpu")) {
    const std::uint64_t cpus = limits.cpus;
    if (settings_.cpu_time == CpuTime::kQuota)
      set("cpu", "cpu.max", "cpu.cfs_quota_us",
          std::to_string(cpus * kPeriodUs) + (v1("cpu") ? "" : " " + std::to_string(kPeriodUs)));
    else
      set("cpu", "cpu.weight", "cpu.shares",
          std::to_string(v1("cpu") ? std::min<std::uint64_t>(cpus * 1024, 262'144)
                                   : std::min<std::uint64_t>(cpus * 10, 10'000)));
  }
  if (settings_.memory && limits.mem_mib > 0 && (node_mib_ == 0 || limits.mem_mib < node_mib_) &&
      has("memory")) {
    const std::uint64_t ram = ram_bytes(limits.mem_mib);
    launch.confinement.memory_mib = ram / kMiB;
    set("memory", "memory.max", "memory.limit_in_bytes", std::to_string(ram));
    if (settings_.swap && !v1("memory"))
      set("memory", "memory.swap.max", "", std::to_string(swap_bytes(limits.mem_mib)));
    else if (settings_.swap && system_.facts.count("memory.memsw.limit_in_bytes") != 0)
      set("memory", "", "memory.memsw.limit_in_bytes", std::to_string(ram + swap_bytes(limits.mem_mib)));
    // Each step's own events tell which of them ran out.
    if (!v1("memory")) set("memory", "cgroup.subtree_control", "", "+memory");
  }
  if (settings_.max_processes > 0 && has("pids"))
    set("pids", "pids.max", "pids.max", std::to_string(settings_.max_processes));
  if (keeps_devices()) {
    for (const auto& rule : limits.denied_devices)
      set("devices", "devices.deny", "devices.deny", step::format_rule(rule));
    for (const auto& rule : limits.step_denied_devices)
      tree("devices", trees).step.push_back({"devices.deny", step::format_rule(rule)});
  }
  // A process is in one place of v2 only.
  const bool in_unified = std::any_of(
      trees.begin(), trees.end(), [&](const CgroupTree& t) { return t.parent == limited(system_.unified); });
  if (const std::string dir = plain(); !dir.empty() && !in_unified) launch.cgroups = {dir};
}

void Confiner::track(step::StepLaunch& launch) const {
  if (const std::string dir = plain(); !dir.empty()) launch.cgroups = {dir};
}

Status Confiner::hand_down(std::string_view controller) const {
  const std::string& dir = system_.unified;
  Status done = write_line(dir + "/cgroup.subtree_control", controller);
  if (done.ok()) return done;
  // v2 keeps processes out of directories whose controllers are handed down: those of ours go to a leaf.
  if (!system_.alone)
    return Error{"io_error", done.error().message + " (others share the agent's cgroup)", dir};
  const std::string leaf = dir + "/" + std::string(kOwnLeaf);
  mkdir(leaf.c_str(), 0755);
  const std::string pids = line_of(dir + "/cgroup.procs");
  for (auto pid : split(pids, '\n'))
    if (!pid.empty()) (void)write_line(leaf + "/cgroup.procs", pid);
  return write_line(dir + "/cgroup.subtree_control", controller);
}

void Confiner::try_devices() {
  if (!why_not_.empty() || system_.unified.empty() || system_.v1.count("devices") != 0) return;
  const std::string dir = system_.unified + "/" + name_ + "-try";
  mkdir(dir.c_str(), 0755);
  const Status done = step::deny_devices(dir, {});
  rmdir(dir.c_str());
  keeps_devices_ = done.ok();
  if (!done.ok()) log::warning("devices cannot be kept from jobs", {{"why", done.error().text()}});
}

void Confiner::prepare() {
  failed_.clear();
  if (!why_not_.empty()) return;
  for (const auto& setting : unified_settings())
    for (auto word : split_blanks(setting.value)) {
      Status done = hand_down(word);
      if (done.ok()) continue;
      log::warning("a cgroup controller cannot be used for jobs",
                   {{"controller", word.substr(1)}, {"why", done.error().text()}});
      failed_.emplace_back(word.substr(1));
    }
  const std::string dir = limited(system_.unified);
  if (!system_.unified.empty() && access(dir.c_str(), F_OK) == 0)
    for (const auto& setting : unified_settings()) (void)write_line(dir + "/" + setting.file, setting.value);
}

std::vector<std::string> Confiner::parents() const {
  std::vector<std::string> out;
  if (const std::string dir = plain(); !dir.empty()) out.push_back(dir);
  if (!system_.unified.empty()) out.push_back(limited(system_.unified));
  for (const auto& [controller, base] : system_.v1) out.push_back(limited(base));
  return out;
}

std::string Confiner::not_enforced() const {
  std::string out;
  const auto want = [&](const std::string& controller, bool wanted, const char* what) {
    if (wanted && !has(controller)) out += (out.empty() ? "" : ", ") + std::string(what);
  };
  want("cpuset", settings_.cores, "cores");
  want("cpu", settings_.cpu_time != CpuTime::kNone, "processor time");
  want("memory", settings_.memory || settings_.swap, "memory");
  want("pids", settings_.max_processes > 0, "processes");
  want("devices", settings_.devices, "devices");
  if (!settings_.private_dirs.empty() && geteuid() != 0)
    out += (out.empty() ? "" : ", ") + std::string("private directories");
  if (out.empty()) return out;
  return out + ": " + (why_not_.empty() ? "no such cgroup controller here" : why_not_);
}

Confiner find_confiner(const std::string& node, const std::string& spool) {
  auto mounts = read_all("/proc/self/mounts", 1 << 20);
  auto own = read_all("/proc/self/cgroup", 1 << 20);
  CgroupSystem system;
  if (mounts.ok() && own.ok()) system = find_cgroups(*mounts, *own);
  std::string why;
  if (system.unified.empty() && system.v1.empty()) {
    why = "no cgroup hierarchy is mounted";
  } else {
    // What was not delegated to us is not ours to use.
    const auto writable = [](const std::string& dir) { return access(dir.c_str(), W_OK) == 0; };
    if (!system.unified.empty() &&
        (!writable(system.unified) || (geteuid() != 0 && !writable(system.unified + "/cgroup.procs"))))
      system.unified.clear(), system.controllers.clear();
    std::erase_if(system.v1, [&](const auto& entry) { return !writable(entry.second); });
    if (system.unified.empty() && system.v1.empty())
      why = geteuid() == 0 ? "the cgroup hierarchies cannot be written" : "the agent is not root";
  }
  return Confiner(std::move(system), "bai-" + node + "-" + hash256(spool).hex().substr(0, 8), why);
}

void remove_cgroup_parents(const std::vector<std::string>& parents) {
  for (const auto& dir : parents) rmdir(dir.c_str());
}

}  // namespace bai::agent
