// bai-control show licenses, topology, aliases, daemons, and what a cluster that stands alone has none of.
#include <sys/utsname.h>

#include <algorithm>
#include <map>

#include "base/text.h"
#include "base/units.h"
#include "cli/control.h"
#include "cli/job_list.h"
#include "cli/output.h"

namespace bai::cli {
namespace {

// "name:count,..."; a name alone is one.
std::map<std::string, std::uint64_t> counts_of(std::string_view text) {
  std::map<std::string, std::uint64_t> out;
  for (auto one : split_list(text)) {
    const auto colon = one.find(':');
    auto count = colon == one.npos ? Result<std::int64_t>(1) : parse_int(one.substr(colon + 1), 0, 1 << 30);
    out[std::string(one.substr(0, colon))] += count.ok() ? static_cast<std::uint64_t>(*count) : 0;
  }
  return out;
}

std::string value_of(const wire::ConfigReply& config, std::string_view key) {
  for (const auto& [name, value] : config.values)
    if (iequals(name, key)) return value == "(null)" ? "" : value;
  return "";
}

std::string own_host() {
  utsname names{};
  if (uname(&names) != 0) return "";
  const std::string_view name = names.nodename;
  return std::string(name.substr(0, name.find('.')));
}

}  // namespace

int show_licenses(ControlCall& call) {
  const std::string wanted = call.words.size() > 1 ? call.words[1] : "";
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  auto config = session->get<wire::ConfigReply>(wire::ConfigRequest{});
  if (!config.ok()) return call.reporter.refused(config.error(), "slurm_load_licenses error");
  wire::QueueRequest request;
  request.filter.states = {JobState::kRunning, JobState::kConfiguring, JobState::kCompleting,
                           JobState::kSuspended};
  auto list = fetch_jobs(*session, std::move(request));
  if (!list.ok()) return call.reporter.refused(list.error(), "slurm_load_licenses error");
  std::map<std::string, std::uint64_t> used;
  for (const JobView& job : list->jobs)
    for (const auto& [name, count] : counts_of(job.text(job.row->licenses))) used[name] += count;
  const auto all = counts_of(value_of(*config, "Licenses"));
  Output out;
  JsonWriter json(out.buffer());
  if (call.reporter.json()) json.begin_object().key("licenses").begin_array();
  const char* gap = call.parsed.has("oneliner") ? " " : "\n    ";
  bool found = false;
  for (const auto& [name, total] : all) {
    if (!wanted.empty() && name != wanted) continue;
    found = true;
    const std::uint64_t taken = std::min(used[name], total);
    if (call.reporter.json())
      json.line()
          .begin_object()
          .field("name", name)
          .field("total", static_cast<std::int64_t>(total))
          .field("used", static_cast<std::int64_t>(taken))
          .end_object();
    else
      out.put("LicenseName=" + name + gap + "Total=" + std::to_string(total) + " Used=" +
              std::to_string(taken) + " Free=" + std::to_string(total - taken) + " Reserved=0 Remote=no\n");
  }
  if (call.reporter.json()) {
    json.end_array().end_object();
    out.put("\n");
  }
  if (call.reporter.dialect().slurm || call.reporter.json()) return 0;
  if (wanted.empty() && !found) out.put("No licenses in the system\n");
  if (!wanted.empty() && !found)
    return call.reporter.refused(
        {"no_such_license", "there is no license " + quote(wanted), "", "see bai-control show licenses"});
  return 0;
}

// The nodes whose agents run on a host: by their own names, and by their addresses.
int show_aliases(ControlCall& call) {
  const std::string host = call.words.size() > 1 ? call.words[1] : own_host();
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  auto cluster = session->get<wire::ClusterReply>(wire::ClusterRequest{});
  if (!cluster.ok()) return call.reporter.refused(cluster.error(), "slurm_load_node error");
  std::string out;
  for (const auto& node : cluster->nodes)
    if (node.address == host || node.name == host) out += (out.empty() ? "" : " ") + node.name.str();
  Output().put(out + "\n");
  return 0;
}

int show_daemons(ControlCall& call) {
  const bool slurm = call.reporter.dialect().slurm;
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  const std::string host = own_host();
  std::string out;
  for (const auto& ctld : session->config().ctld_hosts)
    if (ctld.name == host || ctld.name == "localhost" || ctld.address == "127.0.0.1")
      out = slurm ? "slurmctld" : "bai-ctld";
  auto cluster = session->get<wire::ClusterReply>(wire::ClusterRequest{});
  if (!cluster.ok()) return call.reporter.refused(cluster.error(), "slurm_load_node error");
  for (const auto& node : cluster->nodes)
    if (node.address == host || node.name == host) {
      out += (out.empty() ? "" : " ") + std::string(slurm ? "slurmd" : "bai-agentd");
      break;
    }
  Output().put(out + "\n");
  return 0;
}

int show_topology(ControlCall& call) {
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  auto config = session->get<wire::ConfigReply>(wire::ConfigRequest{});
  if (!config.ok()) return call.reporter.refused(config.error(), "slurm_load_topo error");
  bool found = false;
  Output out;
  for (const auto& [key, value] : config->values)
    if (key.starts_with("SwitchName")) {
      found = true;
      out.put(value + "\n");
    }
  if (!found) call.reporter.error_line("No topology information available");
  return 0;
}

}  // namespace bai::cli
