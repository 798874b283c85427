#include "step/pmix_child.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/env.h"
#include "base/hash.h"
#include "base/paths.h"
#include "base/text.h"
#include "step/child.h"
#include "step/clone.h"
#include "step/stream_frames.h"

namespace bai::step {

namespace {

constexpr int64_t kPmixReadyMs = 30'000;
constexpr size_t kMaxUntaken = 4 * kMaxPmixBody;
constexpr size_t kMaxSaid = 2000;
// More than a socket or a pipe holds, so all that was said before; a server that the user has changed may say more for ever.
constexpr int kLastReads = 64;
constexpr int64_t kLastWordsMs = 1000;
constexpr const char* kProgram = "bai-pmixd";

// The same on all nodes; another for each step.
std::string world_name(const StepLaunch& launch) {
  const Hash256 hash = Hasher().update_piece("bai world").update_piece(launch.streams.key).finish();
  return "bai." + std::to_string(launch.job_id) + "." + launch.step + "." + hash.hex().substr(0, 16);
}

PmixPlan plan_of(const StepLaunch& launch, const std::string& directory) {
  PmixPlan plan;
  plan.nspace = world_name(launch);
  plan.uid = launch.uid;
  plan.gid = launch.gid;
  plan.node_index = launch.streams.node_index;
  plan.node_names = launch.streams.node_names;
  plan.rank_nodes = launch.streams.rank_nodes;
  plan.directory = directory;
  return plan;
}

// The user's word for libpmix, and nothing else of the user's.
std::vector<std::string> environment_of(const StepLaunch& launch, const std::string& directory) {
  std::vector<std::string> out = {"PATH=/usr/bin:/bin", "LC_ALL=C", "HOME=" + launch.home,
                                  "TMPDIR=" + directory};
  for (const auto& entry : launch.env)
    if (entry.starts_with("PMIX_MCA_")) out.push_back(entry);
  return out;
}

}  // namespace

PmixChild::PmixChild(const StepLaunch& launch, std::string dir, Handlers handlers)
    : launch_(launch), dir_(std::move(dir)), handlers_(std::move(handlers)) {}

PmixChild::~PmixChild() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  (void)Env::real().remove_tree(dir_ + "/pmix");
}

Result<std::unique_ptr<PmixChild>> PmixChild::start(const StepLaunch& launch, const std::string& dir,
                                                    const std::vector<std::string>& cgroups,
                                                    Handlers handlers) {
  std::unique_ptr<PmixChild> child(new PmixChild(launch, dir, std::move(handlers)));
  if (auto spawned = child->spawn(cgroups); !spawned.ok()) return spawned.error();
  if (auto ready = child->await_ready(); !ready.ok()) return ready.error();
  return child;
}

Status PmixChild::spawn(const std::vector<std::string>& cgroups) {
  const std::string directory = dir_ + "/pmix";
  if (mkdir(directory.c_str(), 0700) != 0) return errno_error("cannot make", directory, errno);
  if (geteuid() == 0 && lchown(directory.c_str(), launch_.uid, launch_.gid) != 0)
    return errno_error("cannot give away", directory, errno);
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return errno_error("cannot make a socket", kProgram, errno);
  socket_.reset(ends[0]);
  const Fd theirs(ends[1]);
  auto words = make_pipe();
  if (!words.ok()) return words.error();
  words_ = std::move(words->read);
  for (const int fd : {socket_.get(), words_.get()})
    if (auto set = set_nonblocking(fd); !set.ok()) return set;

  TaskLaunch task;
  task.argv = {kProgram};
  const auto environment = environment_of(launch_, directory);
  std::vector<const char*> env;
  for (const auto& entry : environment) env.push_back(entry.c_str());
  ChildPlan plan;
  plan.prepare_task(launch_, task, std::move(env));
  plan.program = program_path(kProgram);
  plan.prologs = false;  // it is no task
  plan.stdio = {theirs.get(), words->write.get(), words->write.get()};
  auto pid = clone_into(cgroups, &plan.cgroups, [&] { run_task(launch_, task, plan); });
  if (!pid.ok()) return pid.error();
  pid_ = *pid;
  put(PmixFrameType::kBegin, encode_pmix_plan(plan_of(launch_, directory)));
  return {};
}

// The ranks need its word before they begin. Nothing else is served meanwhile: it takes milliseconds, and has an end.
Status PmixChild::await_ready() {
  const Env env = Env::real();
  const int64_t until = env.monotonic_ms() + kPmixReadyMs;
  while (!ready_ && !broken_) {
    const int64_t left = until - env.monotonic_ms();
    if (left <= 0) return Error{"io_error", std::string(kProgram) + " does not get ready"};
    std::vector<pollfd> fds;
    add_pollfds(&fds, true);
    if (poll(fds.data(), fds.size(), static_cast<int>(left)) > 0) serve(fds);
  }
  if (broken_) return Error{"io_error", failure_};
  return {};
}

void PmixChild::add_task(uint32_t rank, std::vector<std::string>* env) {
  const auto entries = environment_.find(rank);
  if (entries != environment_.end()) env->insert(env->end(), entries->second.begin(), entries->second.end());
}

void PmixChild::take(uint32_t from, std::string_view message) {
  std::string body = u32_payload({from});
  body += message;
  put(PmixFrameType::kMessage, body);
}

bool PmixChild::task_ended(uint32_t rank) {
  for (int reads = 0; socket_ && reads < kLastReads && read_frames(); ++reads) {
  }
  return in_mpi_.erase(rank) > 0;
}

void PmixChild::let_go() {
  over_ = true;
  socket_.reset();
}

bool PmixChild::reaped(pid_t pid) {
  if (pid <= 0 || pid != pid_) return false;
  pid_ = 0;
  for (int reads = 0; words_ && reads < kLastReads && read_words(); ++reads) {
  }
  words_.reset();
  if (!over_) break_off("it ended");
  return true;
}

void PmixChild::add_pollfds(std::vector<pollfd>* fds, bool reading) {
  slot_ = words_slot_ = -1;
  if (socket_ && (reading || !out_.empty())) {
    slot_ = static_cast<int>(fds->size());
    fds->push_back(
        {socket_.get(), static_cast<short>((reading ? POLLIN : 0) | (out_.empty() ? 0 : POLLOUT)), 0});
  }
  if (words_) {
    words_slot_ = static_cast<int>(fds->size());
    fds->push_back({words_.get(), POLLIN, 0});
  }
}

void PmixChild::serve(const std::vector<pollfd>& fds) {
  const auto revents = [&](int slot) { return slot < 0 ? short{0} : fds[static_cast<size_t>(slot)].revents; };
  if (words_ && revents(words_slot_) != 0) read_words();
  const short of_socket = revents(slot_);
  if (socket_ && (of_socket & POLLOUT) != 0) write_out();
  if (socket_ && (of_socket & (POLLIN | POLLHUP | POLLERR)) != 0) read_frames();
  slot_ = words_slot_ = -1;
}

bool PmixChild::read_words() {
  char buffer[4096];
  const ssize_t n = read(words_.get(), buffer, sizeof buffer);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n <= 0) {
    words_.reset();
    return false;
  }
  said_.append(buffer, static_cast<size_t>(n));
  if (said_.size() > kMaxSaid) said_.erase(0, said_.size() - kMaxSaid);
  return true;
}

void PmixChild::await_words() {
  const Env env = Env::real();
  const int64_t until = env.monotonic_ms() + kLastWordsMs;
  for (int reads = 0; words_ && reads < kLastReads; ++reads) {
    pollfd p{words_.get(), POLLIN, 0};
    const int64_t left = until - env.monotonic_ms();
    if (left <= 0 || poll(&p, 1, static_cast<int>(left)) <= 0 || !read_words()) break;
  }
  words_.reset();
}

bool PmixChild::read_frames() {
  char buffer[65536];
  const ssize_t n = read(socket_.get(), buffer, sizeof buffer);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n <= 0) {
    socket_.reset();
    // Its last words come with its end; await_ready() does not wait for that.
    if (!ready_) {
      await_words();
      break_off("it ended");
    }
    return false;
  }
  in_.append(buffer, static_cast<size_t>(n));
  std::string_view rest = in_;
  for (;;) {
    auto frame = take_pmix_frame(&rest);
    Status status;
    if (frame.ok() && !*frame) break;
    status = frame.ok() ? on_frame(**frame) : Status(frame.error());
    if (!status.ok()) {
      break_off(status.error().message);
      return false;
    }
  }
  in_.erase(0, in_.size() - rest.size());
  return true;
}

Status PmixChild::on_frame(const PmixFrame& frame) {
  const Error bad{"bad_frame", "it says what is not understood"};
  const uint32_t rank = u32_at(frame.body, 0);
  const bool ours =
      std::any_of(launch_.tasks.begin(), launch_.tasks.end(), [&](const auto& t) { return t.rank == rank; });
  switch (frame.type) {
    case PmixFrameType::kReady: {
      auto environment = decode_pmix_environment(frame.body);
      if (!environment.ok()) return environment.error();
      environment_ = std::move(*environment);
      ready_ = true;
      return {};
    }
    case PmixFrameType::kFailed:
      return Error{"failed", escape_control(frame.body.substr(0, kMaxSaid))};
    case PmixFrameType::kMessage:
      if (frame.body.size() < 4) return bad;
      handlers_.send(rank, frame.body.substr(4));  // a node here
      return {};
    case PmixFrameType::kJoined:
      if (!ours) return bad;
      in_mpi_.insert(rank);
      return {};
    case PmixFrameType::kLeft:
      in_mpi_.erase(rank);
      return {};
    case PmixFrameType::kAbort:
      if (!ours || frame.body.size() < 8) return bad;
      handlers_.abort(static_cast<int>(u32_at(frame.body, 1)), rank,
                      escape_control(frame.body.substr(8, kMaxSaid)));
      return {};
    default:
      return bad;
  }
}

void PmixChild::put(PmixFrameType type, std::string_view body) {
  if (!socket_) return;
  if (out_bytes_ + body.size() > kMaxUntaken) return break_off("it does not take what the other nodes say");
  out_.push_back(encode_pmix_frame(type, body));
  out_bytes_ += out_.back().size();
  write_out();
}

void PmixChild::write_out() {
  while (!out_.empty()) {
    const std::string& frame = out_.front();
    const ssize_t n = ::send(socket_.get(), frame.data() + out_at_, frame.size() - out_at_, MSG_NOSIGNAL);
    if (n < 0) return;  // later, or it is gone, which reading tells
    out_at_ += static_cast<size_t>(n);
    if (out_at_ < frame.size()) return;
    out_bytes_ -= frame.size();
    out_.pop_front();
    out_at_ = 0;
  }
}

void PmixChild::break_off(const std::string& why) {
  if (broken_) return;
  broken_ = true;
  socket_.reset();
  std::string words = said_;
  while (!words.empty() && words.back() == '\n') words.pop_back();
  failure_ = "the PMIx server (" + std::string(kProgram) +
             ") failed: " + (words.empty() ? why : escape_control(words.substr(words.rfind('\n') + 1)));
  if (ready_) handlers_.broken(failure_);
}

}  // namespace bai::step
