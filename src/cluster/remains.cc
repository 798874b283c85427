#include "cluster/remains.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/env.h"
#include "base/fd.h"
#include "base/text.h"
#include "cluster/process.h"
#include "step/cgroup.h"
#include "step/launch.h"
#include "step/process.h"
#include "step/track.h"

namespace bai::cluster {
namespace {

// Shepherds by the directory that each was started with: [bai-stepd, DIR].
std::map<std::string, pid_t> find_shepherds(const std::string& below) {
  std::map<std::string, pid_t> found;
  for (pid_t pid : step::all_processes()) {
    auto text = read_all("/proc/" + std::to_string(pid) + "/cmdline", 65536);
    if (!text.ok()) continue;
    const auto words = split(*text, '\0');
    if (words.size() < 2 || !words[0].ends_with("bai-stepd") || !words[1].starts_with(below + "/")) continue;
    // Until it has executed its script, its child looks the same; the shepherd is the elder.
    auto [at, fresh] = found.emplace(std::string(words[1]), pid);
    const auto stat = step::process_stat(pid);
    if (!fresh && stat && stat->parent != at->second) at->second = pid;
  }
  return found;
}

Status end_attempt(const std::string& dir, pid_t shepherd) {
  auto launch = step::read_launch(dir);
  // A record that cannot be read started nothing, or is being thrown away by an agent that ended meanwhile.
  if (!launch.ok()) return {};
  if (shepherd > 0) {
    const step::Tracker tracker{step::cgroup_dirs(*launch), shepherd, launch->mark};
    tracker.kill_round();
    const Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, shepherd, 0)));
    kill(shepherd, SIGKILL);
    pollfd ended = {pidfd.get(), POLLIN, 0};
    if (pidfd) poll(&ended, 1, 10'000);
  }
  return step::kill_step_remains(dir, *launch);
}

}  // namespace

std::vector<std::string> find_attempts(const Layout& layout) {
  const Env env = Env::real();
  std::vector<std::string> found;
  const auto nodes = env.list_dir(layout.agents_dir());
  if (!nodes.ok()) return found;
  for (const auto& node : *nodes) {
    const std::string dir = layout.agents_dir() + "/" + node + "/attempts";
    const auto names = env.list_dir(dir);
    if (!names.ok()) continue;
    for (const auto& name : *names)
      if (access((dir + "/" + name + "/launch").c_str(), F_OK) == 0) found.push_back(dir + "/" + name);
  }
  std::sort(found.begin(), found.end());
  return found;
}

Status end_step_remains(const Layout& layout, const std::vector<std::string>& but) {
  auto attempts = find_attempts(layout);
  std::erase_if(attempts, [&](const auto& dir) { return std::binary_search(but.begin(), but.end(), dir); });
  if (attempts.empty()) return {};
  const auto shepherds = find_shepherds(layout.agents_dir());
  Status result;
  for (const auto& dir : attempts) {
    const auto shepherd = shepherds.find(dir);
    auto ended = end_attempt(dir, shepherd == shepherds.end() ? 0 : shepherd->second);
    if (!ended.ok()) result = ended;
  }
  return result;
}

}  // namespace bai::cluster
