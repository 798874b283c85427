// bai-control check-config.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/fd.h"
#include "base/paths.h"
#include "base/text.h"
#include "cli/control.h"
#include "cli/output.h"
#include "model/config.h"

namespace bai::cli {
namespace {

constexpr std::size_t kMostSaid = 4096;

// Plugins can be tried by a program that would load them only, and a static one cannot. False: it is not on this machine.
Result<bool> ask_controller(const std::string& path) {
  std::string program = program_path("bai-ctld");
  if (access(program.c_str(), X_OK)) return false;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC)) return errno_error("no pipe", "", errno);
  Fd from(ends[0]), to(ends[1]);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, to.get(), STDERR_FILENO);
  std::string words[] = {program, "--check", "--conf", path};
  char* argv[] = {words[0].data(), words[1].data(), words[2].data(), words[3].data(), nullptr};
  pid_t pid = 0;
  const int failed = posix_spawn(&pid, program.c_str(), &files, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&files);
  if (failed) return errno_error("cannot be started", program, failed);
  to.reset();
  std::string said;
  char buffer[1024];
  for (ssize_t n = 0; (n = read(from.get(), buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR);)
    if (n > 0 && said.size() < kMostSaid) said.append(buffer, static_cast<std::size_t>(n));
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
  std::string_view why = trim(said);
  if (constexpr std::string_view kName = "bai-ctld: "; why.starts_with(kName))
    why.remove_prefix(kName.size());
  return Error{"bad_config", why.empty() ? "bai-ctld could not load it" : escape_control(why)};
}

}  // namespace

int control_check_config(ControlCall& call) {
  const std::string path =
      call.words.empty() ? find_config(call.parsed.value_or("conf", ""), kConfFile) : call.words[0];
  std::vector<std::string> warnings;
  auto config = load_config(path, &warnings);
  for (const auto& warning : warnings) call.reporter.note(warning);
  if (!config.ok()) return call.reporter.mistyped(config.error());
  const bool plugins = std::any_of(
      config->partitions.begin(), config->partitions.end(),
      [](const Partition& p) { return !placement_plugin(p.scheduling.placement.view()).empty(); });
  if (plugins) {
    auto tried = ask_controller(path);
    if (!tried.ok()) return call.reporter.mistyped(tried.error());
    if (!*tried) call.reporter.note("plugins were not tried: " + program_path("bai-ctld") + " is not here");
  }
  Output out;
  if (call.reporter.json()) {
    JsonWriter json(out.buffer());
    json.begin_object()
        .field("file", path)
        .flag("good", true)
        .field("nodes", static_cast<std::int64_t>(config->nodes.size()));
    json.field("partitions", static_cast<std::int64_t>(config->partitions.size()))
        .key("warnings")
        .begin_array();
    for (const auto& warning : warnings) json.string(warning);
    json.end_array().end_object();
    out.put("\n");
    return 0;
  }
  const auto count = [](std::size_t n, const char* what) {
    return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
  };
  out.put(path + ": good (" + count(config->nodes.size(), "node") + ", " +
          count(config->partitions.size(), "partition") + ")\n");
  return 0;
}

}  // namespace bai::cli
