#include "step/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/fd.h"

namespace bai::step {

namespace {

Fd open_proc(pid_t pid, const char* name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  return Fd(open(path, O_RDONLY | O_CLOEXEC));
}

}  // namespace

std::string boot_id() {
  auto text = read_all("/proc/sys/kernel/random/boot_id", 64);
  if (!text.ok()) return "";
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *text;
}

std::optional<ProcessStat> process_stat(pid_t pid) {
  Fd fd = open_proc(pid, "stat");
  if (!fd) return {};
  char buffer[1024];
  const ssize_t n = read(fd.get(), buffer, sizeof buffer - 1);
  if (n <= 0) return {};
  std::string_view text(buffer, static_cast<size_t>(n));
  // The name stands in parentheses and may hold any byte: the last ')' ends it.
  const size_t close = text.rfind(')');
  if (close == std::string_view::npos || close + 2 >= text.size()) return {};
  ProcessStat stat;
  stat.state = text[close + 2];
  text.remove_prefix(close + 3);
  // Now fields 4 and on, each after a blank.
  for (int field = 4; field <= 22; ++field) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    auto parse = [&](auto* out) { std::from_chars(word.data(), word.data() + word.size(), *out); };
    if (word.empty()) return {};
    if (field == 4) parse(&stat.parent);
    if (field == 5) parse(&stat.group);
    if (field == 6) parse(&stat.session);
    if (field == 22) parse(&stat.start_ticks);
    text.remove_prefix(end);
  }
  return stat;
}

std::vector<pid_t> all_processes() {
  std::vector<pid_t> pids;
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir("/proc"), closedir);
  if (!dir) return pids;
  while (const dirent* entry = readdir(dir.get())) {
    pid_t pid = 0;
    const char* end = entry->d_name + strlen(entry->d_name);
    auto [at, error] = std::from_chars(entry->d_name, end, pid);
    if (error == std::errc() && at == end) pids.push_back(pid);
  }
  return pids;
}

bool has_environment_entry(pid_t pid, const std::string& entry) {
  Fd fd = open_proc(pid, "environ");
  if (!fd) return false;
  const std::string wanted = entry + '\0';
  // In chunks: an environment may have megabytes. `seen` keeps the bytes that a match may begin in, from a NUL on.
  std::string seen(1, '\0');
  const std::string needle = '\0' + wanted;
  char buffer[16384];
  for (;;) {
    const ssize_t n = read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    seen.append(buffer, static_cast<size_t>(n));
    if (seen.find(needle) != std::string::npos) return true;
    if (seen.size() > needle.size()) seen.erase(0, seen.size() - needle.size());
  }
}

bool handles_signal(pid_t pid, int signum) {
  auto text = read_all("/proc/" + std::to_string(pid) + "/status", 64u << 10);
  if (!text.ok()) return false;
  const auto at = text->find("\nSigCgt:");
  if (at == std::string::npos) return false;
  const uint64_t caught = strtoull(text->c_str() + at + 8, nullptr, 16);
  return (caught >> (signum - 1)) & 1;
}

bool is_step_command(pid_t pid) {
  char buffer[4096];
  const ssize_t n = readlink(("/proc/" + std::to_string(pid) + "/exe").c_str(), buffer, sizeof buffer);
  if (n <= 0) return false;
  const std::string_view path(buffer, static_cast<size_t>(n));
  const auto name = path.substr(path.rfind('/') + 1);
  for (std::string_view ours : {"bai-run", "bai-attach", "bai-cast"})
    if (name == ours || name == std::string(ours) + " (deleted)") return true;
  return false;
}

}  // namespace bai::step
