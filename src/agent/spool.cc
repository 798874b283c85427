#include "agent/spool.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <optional>

#include "base/log.h"
#include "model/hooks.h"
#include "step/track.h"

namespace bai::agent {

namespace {

constexpr std::size_t kMaxConfigBytes = 16 << 20;
constexpr std::int64_t kFullDiskBudgetMs = 5'000;

// "JOB.ATTEMPT", "JOB.ATTEMPT.STEP"
std::optional<wire::AttemptKey> parse_key(std::string_view name) {
  wire::AttemptKey key;
  const char* end = name.data() + name.size();
  auto job = std::from_chars(name.data(), end, key.job);
  if (job.ec != std::errc() || job.ptr == end || *job.ptr != '.') return {};
  auto attempt = std::from_chars(job.ptr + 1, end, key.attempt);
  if (attempt.ec != std::errc()) return {};
  if (attempt.ptr == end) return key;
  if (*attempt.ptr != '.') return {};
  auto step = std::from_chars(attempt.ptr + 1, end, key.step);
  if (step.ec != std::errc() || step.ptr != end) return {};
  return key;
}

std::string key_name(wire::AttemptKey key) {
  return std::to_string(key.job) + "." + std::to_string(key.attempt) +
         (key.step == kBatchStep ? "" : "." + std::to_string(key.step));
}

}  // namespace

Result<Spool> Spool::open(const Env& env, const std::string& dir, const std::string& runtime) {
  // Users search their way to their scripts, and read nothing else.
  if (auto made = env.make_dirs(dir, 0711); !made.ok()) return made.error();
  auto lock = open_fd(dir + "/lock", O_RDWR | O_CREAT, 0600);
  if (!lock.ok()) return lock.error();
  if (flock(lock->get(), LOCK_EX | LOCK_NB) != 0)
    return Error{"spool_in_use", "another bai-agentd runs with this spool directory", dir,
                 "each node on a host needs its own: AgentdSpoolDir with %n"};
  if (auto made = env.make_dirs(dir + "/ends", 0700); !made.ok()) return made.error();
  auto place = place_attempts(env, dir + "/attempts", runtime);
  if (!place.ok()) return place.error();
  return Spool(env, dir, std::move(*lock), std::move(*place));
}

std::string Spool::attempt_dir(wire::AttemptKey key) const { return dir_ + "/attempts/" + key_name(key); }
std::string Spool::end_file(wire::AttemptKey key) const { return dir_ + "/ends/" + key_name(key); }

FoundAttempt Spool::look(wire::AttemptKey key) const {
  FoundAttempt found;
  found.record.key = key;
  const std::string dir = attempt_dir(key);
  if (access(dir.c_str(), F_OK) != 0) {
    found.has_directory = false;
    return found;
  }
  auto status = step::read_status(dir);
  if (status.ok()) {
    found.status = std::move(*status);
    return found;
  }
  if (status.error().code != "not_found")
    log::error("a step's status cannot be read", {{"why", status.error().text()}});
  auto started = step::read_started(dir);
  if (!started.ok() && started.error().code == "not_found") {
    // Perhaps one is just coming up; it comes too late from here on.
    auto forbidden = step::forbid_start(dir);
    if (forbidden.ok() && *forbidden) return found;
    started = step::read_started(dir);
  }
  if (started.ok() && started->pid == 0) return found;  // forbidden, now or by an earlier agent
  found.shepherd = started.ok() && step::shepherd_alive(*started) ? FoundAttempt::Shepherd::kAlive
                                                                  : FoundAttempt::Shepherd::kDead;
  // It may have ended between the two looks.
  if (found.shepherd == FoundAttempt::Shepherd::kDead)
    if (auto again = step::read_status(dir); again.ok()) found.status = std::move(*again);
  return found;
}

Result<std::vector<FoundAttempt>> Spool::scan(const JournalContents& journal, const std::string& boot_id) {
  std::vector<FoundAttempt> out;
  for (const auto& [key, record] : journal.attempts) {
    FoundAttempt found;
    if (!record.ended && !record.status) {
      if (auto status = step::load_status(end_file(key)); status.ok())
        found.status = std::move(*status);
      else if (record.boot_id == boot_id)
        found = look(key);
    }
    found.record = record;
    out.push_back(std::move(found));
    adopted_.insert(key);
  }
  if (auto ends = env_->list_dir(dir_ + "/ends"); ends.ok())
    for (const auto& name : *ends)
      if (auto key = parse_key(name); !key || !journal.attempts.contains(*key))
        unlink((dir_ + "/ends/" + name).c_str());
  auto names = env_->list_dir(dir_ + "/attempts");
  if (!names.ok()) return names.error();
  for (const auto& name : *names) {
    if (name.starts_with(kTrashPrefix)) trash_.emplace_back(0, dir_ + "/attempts/" + name);
    auto key = parse_key(name);
    if (!key || journal.attempts.contains(*key)) continue;
    // Without a claim nothing was spawned, unless the journal was lost.
    const std::string dir = attempt_dir(*key);
    auto launch = step::read_launch(dir);
    FoundAttempt found = look(*key);
    if (launch.ok() && (found.status || found.shepherd != FoundAttempt::Shepherd::kNone)) {
      log::warning("an attempt without a claim was found", {{"dir", dir}});
      found.record.boot_id = launch->boot_id;
      found.record.mark = launch->mark;
      out.push_back(std::move(found));
      continue;
    }
    discard(*key, 0);
  }
  return out;
}

Status Spool::prepare(wire::AttemptKey key, step::StepLaunch launch) {
  launch.end_file = end_file(key);
  if (is_hook(key.step)) launch.stdout_path = launch.stderr_path = attempt_dir(key) + "/output";
  const std::string bytes = step::encode_launch(launch);
  auto written = write_launch(key, bytes);
  if (written.ok() || written.error().code != "no_space" || trash_.empty()) return written;
  empty_trash(INT64_MAX, kFullDiskBudgetMs);
  return write_launch(key, bytes);
}

Status Spool::write_launch(wire::AttemptKey key, const std::string& bytes) const {
  const std::string dir = attempt_dir(key);
  // What the site's programs print is the agent's alone, and they keep the umask that they expect.
  const mode_t mode = is_hook(key.step) ? 0700 : 0711;
  if (mkdir(dir.c_str(), mode) != 0) {
    if (errno != EEXIST) return errno_error("cannot make", dir, errno);
    remove(dir);  // of a launch that was never claimed
    if (mkdir(dir.c_str(), mode) != 0) return errno_error("cannot make", dir, errno);
  }
  chmod(dir.c_str(), mode);  // whatever the umask is
  auto fd = open_fd(dir + "/launch", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!fd.ok()) return fd.error();
  return write_all(fd->get(), bytes);
}

void Spool::discard(wire::AttemptKey key, std::int64_t mono_ms) {
  if (adopted_.erase(key) != 0) unlink(end_file(key).c_str());
  const std::string dir = attempt_dir(key);
  if (place_.in_memory) return remove(dir);
  const std::string trash = dir_ + "/attempts/" + std::string(kTrashPrefix) + key_name(key);
  if (rename(dir.c_str(), trash.c_str()) == 0)
    trash_.emplace_back(mono_ms, trash);
  else if (errno != ENOENT)
    remove(dir);
}

void Spool::empty_trash(std::int64_t until_ms, std::int64_t budget_ms) {
  const std::int64_t begin = env_->monotonic_ms();
  while (!trash_.empty() && trash_.front().first <= until_ms && env_->monotonic_ms() - begin <= budget_ms) {
    remove(trash_.front().second);
    trash_.pop_front();
  }
}

void Spool::remove(const std::string& dir) const {
  if (auto gone = env_->remove_tree(dir); !gone.ok())
    log::warning("cannot remove a directory", {{"why", gone.error().text()}});
}

std::string Spool::read_config() const {
  auto text = env_->read_file(dir_ + "/config", kMaxConfigBytes);
  return text.ok() ? std::move(*text) : std::string();
}

Status Spool::write_config(const std::string& text) const {
  return env_->write_file_atomic(dir_ + "/config", text);
}

}  // namespace bai::agent
