// The host processes of this node's device plugins: started, listened to, ended and started again as device_host.h says. One thread, the agent's, or that of
// `bai-agentd -C`.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/device_access.h"
#include "agent/device_host.h"
#include "agent/topology.h"
#include "base/fd.h"
#include "model/config.h"
#include "model/device_state.h"

namespace bai::agent {

class DeviceHosts {
 public:
  static constexpr std::int64_t kFirstMs = 15'000;  // that a registration waits for devices at most

  // The plugins that the node's own file names, or those of the usual ones that lie in its directory. `node`: for %n.
  static Result<std::unique_ptr<DeviceHosts>> start(const ClusterConfig& own, const std::string& node);
  ~DeviceHosts();  // ends them
  DeviceHosts(const DeviceHosts&) = delete;
  DeviceHosts& operator=(const DeviceHosts&) = delete;

  int fd() const { return epoll_.get(); }  // readable: call on_event()
  void on_event(std::int64_t now_ms);
  void on_time(std::int64_t now_ms);
  std::int64_t next_ms() const;
  bool empty() const { return all_.empty(); }
  // Whether something was said since this was asked last.
  bool news() { return std::exchange(news_, false); }
  // Until each of them has looked for devices once or failed to, `stop` can be read, or kFirstMs have gone by.
  void wait(int stop);

  // Of all plugins, each device's place for as long as the agent lives.
  std::vector<const KnownDevice*> devices() const;
  DeviceReport report(const CpuTopology& topology) const;
  // For launches; `report` is this one's newest.
  DeviceTable table(const std::vector<DeviceGroup>& groups, const DeviceReport& report) const;

 private:
  struct Process;
  DeviceHosts() = default;
  void act(Process& process, std::int64_t now_ms);
  void spawn(Process& process, std::int64_t now_ms);
  void listen(Process& process, std::int64_t now_ms);
  void bury(Process& process, std::int64_t now_ms);

  Fd epoll_;
  std::string config_dir_;
  bool news_ = false;
  std::vector<std::unique_ptr<Process>> all_;
  std::vector<std::pair<std::size_t, std::size_t>> order_;  // plugin, device: as they came
  void note_order();
};

// The socket that most of a device's own processors are of; kNoSocket when that is not known. `local_cpus`: "0-15,32", the kernel's numbers; `numa_node` -1: not
// known; nodes are numbered as the kernel does where they are all there.
std::uint16_t socket_of(const CpuTopology& topology, const std::string& local_cpus, std::int32_t numa_node);
// The job whose processes a process is of, by its cgroup, else by its environment; 0: none that can be seen. `own`: this node's part of cgroup names.
JobId job_of_process(std::uint32_t pid);

}  // namespace bai::agent
