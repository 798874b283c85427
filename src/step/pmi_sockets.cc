#include "step/pmi_sockets.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace bai::step {

namespace {

constexpr size_t kMaxUnread = 256u << 10;  // of answers that a task does not take
// More than a socket holds, so all that an ended task said; what it left behind may say more for ever.
constexpr int kLastReads = 64;

}  // namespace

PmiSockets::PmiSockets(const StepLaunch& launch, Handlers handlers)
    : handlers_(std::move(handlers)),
      size_(launch.streams.task_count),
      name_("kvs_" + std::to_string(launch.job_id) + "_" + launch.step),
      pmi_(launch.streams, name_, launch.tasks.size()) {}

Result<Fd> PmiSockets::add_task(uint32_t rank, std::vector<std::string>* env) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return errno_error("cannot make a socket", "for PMI", errno);
  tasks_.emplace_back();
  tasks_.back().fd.reset(ends[0]);
  tasks_.back().rank = rank;
  Fd theirs(ends[1]);
  env->push_back("PMI_FD=" + std::to_string(theirs.get()));
  env->push_back("PMI_RANK=" + std::to_string(rank));
  env->push_back("PMI_SIZE=" + std::to_string(size_));
  env->push_back("PMI_JOBID=" + name_);
  if (auto set = set_nonblocking(ends[0]); !set.ok()) return set.error();
  return theirs;
}

void PmiSockets::add_pollfds(std::vector<pollfd>* fds) {
  for (Task& task : tasks_) {
    task.slot = -1;
    if (!task.fd) continue;
    task.slot = static_cast<int>(fds->size());
    fds->push_back({task.fd.get(), static_cast<short>(POLLIN | (task.out.empty() ? 0 : POLLOUT)), 0});
  }
}

void PmiSockets::serve(const std::vector<pollfd>& fds) {
  for (size_t i = 0; i < tasks_.size(); ++i) {
    Task& task = tasks_[i];
    const short revents = task.slot < 0 ? short{0} : fds[static_cast<size_t>(task.slot)].revents;
    task.slot = -1;
    if (revents == 0 || !task.fd) continue;
    if (read_lines(i) == Read::kOver || !write_out(task)) task.fd.reset();
  }
}

PmiSockets::Read PmiSockets::read_lines(size_t index) {
  Task& task = tasks_[index];
  char buffer[kMaxPmiLine];
  const ssize_t n = read(task.fd.get(), buffer, sizeof buffer);
  if (n < 0) return errno == EAGAIN || errno == EINTR ? Read::kNothing : Read::kOver;
  if (n == 0) return Read::kOver;
  task.in.append(buffer, static_cast<size_t>(n));
  size_t at = 0;
  for (size_t end; (end = task.in.find('\n', at)) != std::string::npos; at = end + 1) {
    const auto outcome = pmi_.take(index, std::string_view(task.in).substr(at, end - at));
    if (outcome.broken) return Read::kOver;
    task.out += outcome.reply;
    if (outcome.abort) handlers_.abort(*outcome.abort, task.rank);
    if (outcome.all_at_fence)
      for (const auto& payload : pmi_.space().fence()) handlers_.send(payload);
  }
  task.in.erase(0, at);
  return task.in.size() <= kMaxPmiLine && task.out.size() <= kMaxUnread ? Read::kSome : Read::kOver;
}

bool PmiSockets::write_out(Task& task) {
  while (!task.out.empty()) {
    const ssize_t n = send(task.fd.get(), task.out.data(), task.out.size(), MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    task.out.erase(0, static_cast<size_t>(n));
  }
  return true;
}

bool PmiSockets::task_ended(uint32_t rank) {
  for (size_t i = 0; i < tasks_.size(); ++i) {
    Task& task = tasks_[i];
    if (task.rank != rank || task.ended) continue;
    task.ended = true;
    for (int reads = 0; task.fd && reads < kLastReads && read_lines(i) == Read::kSome; ++reads) {
    }
    task.fd.reset();
    return pmi_.in_mpi(i);
  }
  return false;
}

bool PmiSockets::any_in_mpi() const {
  for (size_t i = 0; i < tasks_.size(); ++i)
    if (!tasks_[i].ended && pmi_.in_mpi(i)) return true;
  return false;
}

void PmiSockets::take(std::string_view payload) {
  auto all_there = pmi_.space().take(payload);
  if (!all_there.ok() || !*all_there) return;  // a broken hub: the ranks wait, the step's end is the user's
  for (size_t index : pmi_.leave_barrier()) {
    Task& task = tasks_[index];
    task.out += Pmi1::barrier_reply();
    if (task.fd && !write_out(task)) task.fd.reset();
  }
}

}  // namespace bai::step
