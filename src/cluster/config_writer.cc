#include "cluster/config_writer.h"

namespace bai::cluster {

std::string make_config(const Layout& layout, const Settings& settings, unsigned uid) {
  std::string out =
      "# A private cluster's configuration, written by bai-cluster. It is yours to change; bai-control "
      "reconfigure tells the daemons.\n";
  auto line = [&out](const std::string& key, const std::string& value) { out += key + "=" + value + "\n"; };
  line("ClusterName", "private");
  line("ClusterId", settings.cluster_id);
  line("CtldHost", "localhost(127.0.0.1)");
  line("CtldPort", std::to_string(settings.port));
  line("BaiUser", std::to_string(uid));
  line("MungeSocket", munge_socket(settings));
  line("StateSaveLocation", layout.ctld_dir());
  line("CtldPidFile", layout.run_dir() + "/ctld.pid");
  line("AgentdSpoolDir", layout.agents_dir() + "/%n");
  line("AgentdRuntimeDir", uid == 0 ? runtime_dir(layout) + "/%n" : "none");
  line("AgentdPidFile", layout.run_dir() + "/%n.pid");
  if (settings.store == Store::kPostgresql) {
    line("StoreType", "postgresql");
    line("StoreLocation", "\"host=" + postgres_socket_dir(settings) + " user=bai dbname=postgres\"");
  } else {
    line("StoreType", "sqlite");
  }
  line("KillWait", "5");
  if (uid == 0) line("AllowRootJobs", "yes");
  if (settings.nodes > 1) line("TaskPlugin", "none");  // they share one machine's processors
  out += "NodeName=" + node_list(settings) + " NodeAddr=127.0.0.1";
  if (settings.cpus) out += " CPUs=" + std::to_string(settings.cpus);
  if (settings.memory_mib) out += " RealMemory=" + std::to_string(settings.memory_mib);
  out += " State=UNKNOWN\nPartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n";
  return out;
}

}  // namespace bai::cluster
