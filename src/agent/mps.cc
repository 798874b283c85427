#include "agent/mps.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "agent/spawn.h"
#include "base/env.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "step/process.h"

namespace bai::agent {

namespace {

constexpr int kStartMs = 10'000;
constexpr int kSettleMs = 200;

std::string number_file(const std::string& dir) { return dir + "/nvidia-cuda-mps-control.pid"; }
std::string directory_word(const std::string& dir) { return "CUDA_MPS_PIPE_DIRECTORY=" + dir; }

// The daemon writes its number into its directory. Once it is gone, or after a reboot, any process may have that number: the daemon is of our user and was
// started with that directory.
bool runs(const std::string& dir) {
  auto text = read_all(number_file(dir), 64);
  if (!text.ok()) return false;
  const auto word = trim(*text);
  pid_t pid = 0;
  std::from_chars(word.data(), word.data() + word.size(), pid);
  struct stat st {};
  return pid > 1 && stat(("/proc/" + std::to_string(pid)).c_str(), &st) == 0 && st.st_uid == geteuid() &&
         step::has_environment_entry(pid, directory_word(dir));
}

}  // namespace

std::string mps_dir(const MpsSettings& settings, const std::string& device_id) {
  return settings.dir + "/" + hash256(device_id).hex().substr(0, 8);
}

std::vector<std::string> mps_environment(const std::string& dir, const std::string& device_id,
                                         DeviceAmount share, std::uint64_t device_mib) {
  std::vector<std::string> out = {"CUDA_VISIBLE_DEVICES=" + device_id, directory_word(dir),
                                  "CUDA_MPS_LOG_DIRECTORY=" + dir};
  // Whole percents; a job has at least one.
  const auto percent = std::max<DeviceAmount>(1, share * 100 / kWholeDevice);
  out.push_back("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=" + std::to_string(percent));
  if (device_mib > 0)
    out.push_back("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT=0=" +
                  std::to_string(std::max<std::uint64_t>(1, device_mib * share / kWholeDevice)) + "M");
  return out;
}

Status start_mps(const MpsSettings& settings, const std::string& device_id) {
  const std::string dir = mps_dir(settings, device_id);
  if (runs(dir)) return {};
  if (auto made = Env::real().make_dirs(dir); !made.ok()) return made;
  chmod(settings.dir.c_str(), 0711);
  chmod(dir.c_str(), 0755);
  std::vector<std::string> environment = {"CUDA_VISIBLE_DEVICES=" + device_id, directory_word(dir),
                                          "CUDA_MPS_LOG_DIRECTORY=" + dir};
  for (auto& word : own_environment())
    if (!word.starts_with("CUDA_")) environment.push_back(std::move(word));
  unlink(number_file(dir).c_str());  // of one that is gone
  const auto error = [&](const std::string& why) {
    return Error{"io_error", "CUDA MPS cannot be started: " + why, settings.program};
  };
  const auto pid = spawn_apart(settings.program, {settings.program, "-d"}, std::move(environment));
  if (!pid.ok()) return error(pid.error().message);
  // It goes to the background by itself, and ends here when it is ready.
  const Fd ended(static_cast<int>(syscall(SYS_pidfd_open, *pid, 0)));
  pollfd event{ended.get(), POLLIN, 0};
  if (poll(&event, 1, kStartMs) <= 0) kill(-*pid, SIGKILL);
  int status = 0;
  while (waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  // In the middle of an exec a process has no environment.
  for (int waited = 0; status == 0 && !runs(dir) && waited < kSettleMs; ++waited) poll(nullptr, 0, 1);
  if (!runs(dir))
    return error(WIFEXITED(status) ? "exit status " + std::to_string(WEXITSTATUS(status)) : "it was ended");
  log::info("CUDA MPS was started", {{"device", device_id}, {"directory", dir}});
  return {};
}

}  // namespace bai::agent
