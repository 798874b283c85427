#include "agent/cgroup_parent.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "base/hash.h"
#include "base/text.h"

namespace bai::agent {

namespace {

struct Mount {
  std::string path;
  bool unified = false;
};

// The v2 hierarchy, else v1's freezer.
Mount find_mount() {
  auto text = read_all("/proc/self/mounts", 1 << 20);
  Mount freezer;
  if (!text.ok()) return freezer;
  for (auto line : split(*text, '\n')) {
    auto words = split_blanks(line);
    if (words.size() < 4) continue;
    if (words[2] == "cgroup2") return {std::string(words[1]), true};
    if (words[2] != "cgroup") continue;
    for (auto option : split(words[3], ','))
      if (option == "freezer") freezer.path = words[1];
  }
  return freezer;
}

// This process's place in that hierarchy: "/system.slice/bai-agentd.service".
std::string own_place(bool unified) {
  auto text = read_all("/proc/self/cgroup", 1 << 20);
  if (!text.ok()) return "";
  for (auto line : split(*text, '\n')) {
    auto parts = split(line, ':', 3);
    if (parts.size() != 3) continue;
    bool match = unified && parts[0] == "0";
    if (!unified)
      for (auto controller : split(parts[1], ',')) match = match || controller == "freezer";
    if (match) return parts[2] == "/" ? "" : std::string(parts[2]);
  }
  return "";
}

}  // namespace

std::vector<std::string> make_cgroup_parents(const std::string& node, const std::string& spool,
                                             std::string* why) {
  if (geteuid() != 0) {
    *why = "the agent is not root";
    return {};
  }
  const Mount mount = find_mount();
  if (mount.path.empty()) {
    *why = "no cgroup hierarchy is mounted";
    return {};
  }
  std::string base = mount.path + own_place(mount.unified);
  if (access(base.c_str(), F_OK) != 0) base = mount.path;  // a container's view
  const std::string dir = base + "/bai-" + node + "-" + hash256(spool).hex().substr(0, 8);
  if (mkdir(dir.c_str(), 0755) != 0 && errno != EEXIST) {
    *why = "cannot make " + dir + ": " + strerror(errno);
    return {};
  }
  return {dir};
}

void remove_cgroup_parents(const std::vector<std::string>& parents) {
  for (const auto& dir : parents) rmdir(dir.c_str());
}

}  // namespace bai::agent
