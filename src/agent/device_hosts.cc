#include "agent/device_hosts.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <map>

#include "agent/spawn.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/text.h"

namespace bai::agent {

namespace {

constexpr std::string_view kUsual[] = {"cuda", "rocm", "generic"};
constexpr int kFramesPerTurn = 256;

std::int64_t clock_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

std::string ending(int status) {
  if (WIFSIGNALED(status)) return "was ended by signal " + std::to_string(WTERMSIG(status));
  return "ended with exit status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

struct DeviceHosts::Process {
  Process(DeviceHost rules, std::string path) : host(std::move(rules)), file(std::move(path)) {}
  DeviceHost host;
  std::string file;
  pid_t pid = 0;
  Fd socket, ended;
};

Result<std::unique_ptr<DeviceHosts>> DeviceHosts::start(const ClusterConfig& own, const std::string& node) {
  std::unique_ptr<DeviceHosts> hosts(new DeviceHosts());
  hosts->epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!hosts->epoll_) return errno_error("cannot watch device plugins", "", errno);
  hosts->config_dir_ = for_node(own.device_config_dir, node);
  const bool must = own.device_plugins_given;
  const auto names =
      must ? own.device_plugins : std::vector<std::string>(std::begin(kUsual), std::end(kUsual));
  for (const auto& name : names) {
    const std::string file = own.device_plugin_dir + "/device_" + name + ".so";
    if (!must && access(file.c_str(), F_OK) != 0) continue;
    hosts->all_.push_back(
        std::make_unique<Process>(DeviceHost(name, must, own.device_check_interval * 1000), file));
  }
  hosts->on_time(clock_ms());
  return hosts;
}

// A driver may leave its process where no signal reaches it, so nobody waits for its end.
DeviceHosts::~DeviceHosts() {
  for (auto& process : all_)
    if (process->pid > 0) {
      kill(-process->pid, SIGKILL);
      waitpid(process->pid, nullptr, WNOHANG);
    }
}

void DeviceHosts::act(Process& process, std::int64_t now_ms) {
  using Action = DeviceHost::Action;
  for (;;) {
    const Action action = process.host.on_time(now_ms);
    if (action == Action::kNone) return;
    if (action == Action::kSpawn) {
      spawn(process, now_ms);
    } else if (action == Action::kKill) {
      if (process.pid > 0) kill(-process.pid, SIGKILL);
      news_ = true;
      return;
    } else {
      const device::ToHost message =
          action == Action::kBegin
              ? device::ToHost(device::Begin{process.host.name(), process.file, config_dir_})
              : device::ToHost(device::Look{});
      const std::string frame = device::encode(message);
      // One that does not take it has ended, or will not answer; either is noticed.
      (void)send(process.socket.get(), frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
  }
}

void DeviceHosts::spawn(Process& process, std::int64_t now_ms) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return process.host.ended(std::string("has no socket: ") + strerror(errno), now_ms);
  process.socket.reset(ends[0]);
  Fd theirs(ends[1]);
  // This very build, also after an upgrade on disk. The plugin's name is for who reads a list of processes.
  const auto pid = spawn_apart("/proc/self/exe", {"bai-agentd", device::kHostOption, process.host.name()},
                               own_environment(), {theirs.get(), device::kHostSocket});
  if (!pid.ok()) {
    process.socket.reset();
    return process.host.ended("cannot be started: " + pid.error().message, now_ms);
  }
  process.pid = *pid;
  process.ended.reset(static_cast<int>(syscall(SYS_pidfd_open, *pid, 0)));
  for (int fd : {process.socket.get(), process.ended.get()}) {
    epoll_event event{EPOLLIN, {.ptr = &process}};
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  }
  process.host.spawned(now_ms);
}

void DeviceHosts::listen(Process& process, std::int64_t now_ms) {
  std::string frame(device::kMaxFrame, '\0');
  for (int i = 0; process.socket && i < kFramesPerTurn; ++i) {
    // A frame that is longer than it may be shows by its true length.
    const ssize_t n = recv(process.socket.get(), frame.data(), frame.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {  // its end will be seen; or it closed its socket and lives on, which is no way to be
      process.socket.reset();
      if (process.pid > 0) kill(-process.pid, SIGKILL);
      return;
    }
    const auto size = static_cast<std::size_t>(n);
    news_ = true;
    process.host.heard(size > frame.size()
                           ? Result<device::FromHost>(Error{"bad_frame", "a frame is too long"})
                           : device::decode_from_host(std::string_view(frame).substr(0, size)),
                       now_ms);
  }
}

void DeviceHosts::bury(Process& process, std::int64_t now_ms) {
  int status = 0;
  if (process.pid <= 0 || waitpid(process.pid, &status, WNOHANG) != process.pid) return;
  listen(process, now_ms);  // what it said last
  kill(-process.pid, SIGKILL);
  process.pid = 0;
  process.socket.reset();
  process.ended.reset();
  process.host.ended(ending(status), now_ms);
  news_ = true;
}

void DeviceHosts::on_event(std::int64_t now_ms) {
  epoll_event events[16];
  const int n = epoll_wait(epoll_.get(), events, 16, 0);
  for (int i = 0; i < n; ++i) {
    auto& process = *static_cast<Process*>(events[i].data.ptr);
    listen(process, now_ms);
    bury(process, now_ms);
  }
  on_time(now_ms);
}

void DeviceHosts::on_time(std::int64_t now_ms) {
  for (auto& process : all_) act(*process, now_ms);
  note_order();
}

std::int64_t DeviceHosts::next_ms() const {
  std::int64_t next = INT64_MAX;
  for (const auto& process : all_) next = std::min(next, process->host.next_ms());
  return next;
}

void DeviceHosts::wait(int stop) {
  const std::int64_t until = clock_ms() + kFirstMs;
  for (std::int64_t now = clock_ms(); now < until; now = clock_ms()) {
    if (std::all_of(all_.begin(), all_.end(), [](const auto& process) { return process->host.settled(); }))
      return;
    pollfd fds[] = {{epoll_.get(), POLLIN, 0}, {stop, POLLIN, 0}};
    const auto left = std::clamp<std::int64_t>(std::min(until, next_ms()) - now, 0, 1000);
    if (poll(fds, 2, static_cast<int>(left)) < 0 && errno != EINTR) return;
    if (fds[1].revents != 0) return;
    on_event(clock_ms());
  }
}

void DeviceHosts::note_order() {
  for (std::size_t p = 0; p < all_.size(); ++p)
    for (std::size_t d = static_cast<std::size_t>(std::count_if(
             order_.begin(), order_.end(), [&](const auto& place) { return place.first == p; }));
         d < all_[p]->host.devices().size() && order_.size() < kMaxFoundDevices; ++d)
      order_.emplace_back(p, d);
}

std::vector<const KnownDevice*> DeviceHosts::devices() const {
  std::vector<const KnownDevice*> out;
  for (const auto& [p, d] : order_) out.push_back(&all_[p]->host.devices()[d]);
  return out;
}

DeviceReport DeviceHosts::report(const CpuTopology& topology) const {
  DeviceReport out;
  for (const KnownDevice* known : devices()) {
    const auto& found = known->found;
    const auto& state = known->state;
    FoundDevice device;
    device.kind = found.kind;
    device.type = found.type;
    device.id = found.id;
    device.model = found.model;
    device.mem_mib = found.mem_mib;
    device.socket = socket_of(topology, found.local_cpus, found.numa_node);
    device.shareable = found.shares;
    device.health = state.health;
    device.why = state.why;
    device.use_percent = state.use_percent;
    device.mem_used_mib = state.mem_used_mib;
    device.power_mw = state.power_mw;
    for (const auto& process : state.processes) {
      if (device.processes.size() >= kMaxDeviceProcesses) break;
      device.processes.push_back({process.pid, process.mem_mib, job_of_process(process.pid)});
    }
    out.devices.push_back(std::move(device));
  }
  for (const auto& process : all_) {
    // One that was not named and found nothing says nothing against what is configured.
    const DeviceHost& host = process->host;
    if (!host.must()) continue;
    for (const auto& kind : host.kinds())
      if (out.kinds.size() < 64 && std::find(out.kinds.begin(), out.kinds.end(), kind) == out.kinds.end())
        out.kinds.emplace_back(kind);
    // It did not come to say.
    if (host.kinds().empty() && (!host.trouble().empty() || !host.settled())) out.kinds.emplace_back("*");
    if (out.why.empty())
      out.why =
          host.settled() ? host.trouble() : "the device plugin " + host.name() + " has not answered yet";
  }
  return out;
}

DeviceTable DeviceHosts::table(const std::vector<DeviceGroup>& groups, const DeviceReport& report) const {
  std::vector<std::string> plugins;
  for (const auto& [p, d] : order_) plugins.push_back(all_[p]->host.name());
  return make_device_table(groups, report, devices(), plugins);
}

std::uint16_t socket_of(const CpuTopology& topology, const std::string& local_cpus, std::int32_t numa_node) {
  const auto near = IdSet::parse(local_cpus, 1 << 16);
  std::map<std::uint32_t, std::size_t> sockets;
  for (const auto& cpu : topology)
    if (near.ok() && !near->empty() ? near->contains(cpu.os)
                                    : numa_node >= 0 && cpu.numa == static_cast<std::uint32_t>(numa_node))
      ++sockets[cpu.socket];
  const auto most = std::max_element(sockets.begin(), sockets.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == sockets.end() || most->first >= kNoSocket ? kNoSocket
                                                           : static_cast<std::uint16_t>(most->first);
}

JobId job_of_process(std::uint32_t pid) {
  const std::string dir = "/proc/" + std::to_string(pid);
  const auto after = [](std::string_view text, std::string_view word) -> JobId {
    const auto at = text.find(word);
    if (at == text.npos) return 0;
    JobId id = 0;
    text.remove_prefix(at + word.size());
    std::from_chars(text.data(), text.data() + text.size(), id);
    return id;
  };
  if (auto cgroup = read_all(dir + "/cgroup", 64 << 10); cgroup.ok())
    for (std::string_view word : {"/job-", "/step-"})
      if (cgroup->find("/bai-") != std::string::npos)
        if (const JobId id = after(*cgroup, word)) return id;
  if (auto environment = read_all(dir + "/environ", 4 << 20); environment.ok())
    if (environment->find("BAI_STEP_MARK=") != std::string::npos)
      return after(std::string(1, '\0') + *environment, std::string_view("\0BAI_JOB_ID=", 12));
  return 0;
}

}  // namespace bai::agent
