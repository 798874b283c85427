// bai-control show.
#include <algorithm>
#include <ctime>
#include <set>

#include "base/hostlist.h"
#include "base/paths.h"
#include "base/suggest.h"
#include "base/text.h"
#include "cli/actions.h"
#include "cli/control.h"
#include "cli/job_list.h"
#include "cli/output.h"
#include "cli/show.h"
#include "cli/step_list.h"
#include "cli/values.h"

namespace bai::cli {
namespace {

std::vector<std::string> behind(const ControlCall& call) {
  return call.words.size() > 1 ? std::vector<std::string>(call.words.begin() + 1, call.words.end())
                               : std::vector<std::string>();
}

// "7", "JobId=7" -> "7"
std::string_view without_key(std::string_view word) {
  const auto equals = word.find('=');
  return equals == std::string_view::npos ? word : word.substr(equals + 1);
}

Result<JobList> fetch_named(Session& session, const std::vector<wire::JobRef>& refs) {
  wire::QueueRequest request;
  request.filter.jobs = refs;
  request.finished_too = true;
  return fetch_jobs(session, std::move(request));
}

int show_history(ControlCall& call, Session& session, const std::vector<wire::JobRef>& refs) {
  Output out;
  JsonWriter json(out.buffer());
  if (call.reporter.json()) json.begin_object().key("events").begin_array();
  for (const auto& ref : refs) {
    auto reply = session.get<wire::HistoryReply>(wire::HistoryRequest{ref});
    if (!reply.ok()) return call.reporter.refused(reply.error(), "slurm_load_jobs error");
    for (const auto& event : reply->events) {
      if (call.reporter.json()) {
        json.line()
            .begin_object()
            .field("job_id", std::int64_t{event.job})
            .field("attempt", std::int64_t{event.attempt});
        json.field("lsn", static_cast<std::int64_t>(event.lsn))
            .time("at", event.at)
            .field("from", name(event.from));
        json.field("to", name(event.to))
            .field("cause", event.cause.view())
            .field("actor_uid", std::int64_t{event.actor_uid})
            .end_object();
        continue;
      }
      std::string text = format_timestamp(event.at) + " job " + std::to_string(event.job);
      text += event.from == event.to
                  ? " " + std::string(name(event.to))
                  : " " + std::string(name(event.from)) + " -> " + std::string(name(event.to));
      if (event.attempt) text += " (start " + std::to_string(event.attempt) + ")";
      if (!event.cause.empty()) text += ": " + event.cause.str();
      out.put(text + "\n");
    }
  }
  if (call.reporter.json()) {
    json.end_array().end_object();
    out.put("\n");
  }
  return 0;
}

int show_jobs(ControlCall& call) {
  std::vector<wire::JobRef> refs;
  const auto words = behind(call);
  if (!words.empty()) {
    auto named = job_words(words);
    if (!named.ok() && call.reporter.dialect().slurm)
      return call.reporter.said("scontrol_print_job error: Invalid job id specified");
    if (!named.ok()) return call.reporter.mistyped(named.error());
    refs = std::move(*named);
  }
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  if (call.parsed.has("history")) {
    if (refs.empty())
      return call.reporter.mistyped({"no_job", "--history needs a job", "--history", "name one"});
    return show_history(call, *session, refs);
  }
  auto list = fetch_named(*session, refs);
  if (!list.ok()) return call.reporter.refused(list.error(), "slurm_load_jobs error");
  narrow_arrays(list->jobs, refs);
  if (list->jobs.empty()) {
    if (!refs.empty() && refs[0].task != kNoTask && call.reporter.dialect().slurm) {
      Output().put("Job " + ref_text(refs[0]) + " not found\n");
      return kRefused;
    }
    if (!refs.empty())
      return call.reporter.refused(
          {"no_such_job", "there is no job " + std::to_string(refs[0].job) + " in the queue", "",
           "bai-acct knows jobs that ended"},
          "slurm_load_jobs error");
    if (!call.reporter.json()) {
      Output().put("No jobs in the system\n");
      return 0;
    }
  }
  Output out;
  JsonWriter json(out.buffer());
  if (call.reporter.json()) json.begin_object().time("now_at", list->now).key("jobs").begin_array();
  for (const JobView& job : list->jobs) {
    if (call.reporter.json())
      put_job_json(json.line(), job);
    else
      show_job(out.buffer(), job, call.parsed.has("oneliner"));
    out.done_line();
  }
  if (call.reporter.json()) {
    json.end_array().end_object();
    out.put("\n");
  }
  return 0;
}

// Those that run; named ones also when they have ended, but for Slurm's name.
int show_steps(ControlCall& call) {
  const bool slurm = call.reporter.dialect().slurm;
  std::vector<wire::JobRef> refs;
  for (const auto& word : behind(call)) {
    auto named = parse_job_refs(without_key(word), StepRefs::kAllowed);
    if (!named.ok() && slurm)
      return call.reporter.said("slurm_get_job_steps error: Invalid job id specified");
    if (!named.ok()) return call.reporter.mistyped(named.error());
    refs.insert(refs.end(), named->begin(), named->end());
  }
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  auto list = fetch_named(*session, refs);
  if (!list.ok()) return call.reporter.refused(list.error(), "slurm_get_job_steps error");
  if (list->jobs.empty() && !refs.empty())
    return call.reporter.refused(
        {"no_such_job", "there is no job " + std::to_string(refs[0].job) + " in the queue", "",
         "bai-acct knows jobs that ended"},
        "slurm_get_job_steps error");
  const bool ended_too = !slurm && !refs.empty();
  auto steps = fetch_steps(*session, list->jobs);
  if (!steps.ok()) return call.reporter.refused(steps.error(), "slurm_get_job_steps error");
  narrow_steps(steps->views, refs);
  if (!ended_too)
    std::erase_if(steps->views, [](const StepView& view) { return is_finished(view.step->state); });
  const bool one_named = refs.size() == 1 && refs[0].step != kNoStep;
  if (steps->views.empty() && !call.reporter.json()) {
    if (one_named && !slurm)
      return call.reporter.refused(
          {"no_such_step", "there is no step " + ref_text(refs[0]), "", "see bai-acct"});
    Output().put(one_named      ? "Job step " + ref_text(refs[0]) + " not found\n"
                 : refs.empty() ? "No job steps in the system\n"
                                : "Job step " + ref_text(refs[0]) + " not found\n");
    return refs.empty() ? 0 : kRefused;
  }
  Output out;
  JsonWriter json(out.buffer());
  if (call.reporter.json()) json.begin_object().time("now_at", list->now).key("steps").begin_array();
  for (const StepView& step : steps->views) {
    if (call.reporter.json())
      put_step_json(json.line(), step);
    else
      show_step(out.buffer(), step, call.parsed.has("oneliner"));
    out.done_line();
  }
  if (call.reporter.json()) {
    json.end_array().end_object();
    out.put("\n");
  }
  return 0;
}

int show_nodes(ControlCall& call) {
  std::vector<std::string> wanted;
  const auto words = behind(call);
  if (!words.empty()) {
    auto names = expand_hostlist(without_key(words[0]));
    if (!names.ok()) return call.reporter.mistyped(names.error());
    wanted = std::move(*names);
  }
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  auto cluster = session->get<wire::ClusterReply>(wire::ClusterRequest{});
  if (!cluster.ok()) return call.reporter.refused(cluster.error(), "slurm_load_node error");
  Output out;
  JsonWriter json(out.buffer());
  if (call.reporter.json()) json.begin_object().time("now_at", cluster->now).key("nodes").begin_array();
  auto put = [&](const Node& node) {
    if (call.reporter.json())
      put_node_json(json.line(), node, cluster->partitions);
    else
      show_node(out.buffer(), node, cluster->partitions, call.parsed.has("oneliner"));
  };
  if (wanted.empty())
    for (const auto& node : cluster->nodes) put(node);
  for (const auto& name : wanted) {
    bool found = false;
    for (const auto& node : cluster->nodes)
      if (node.name == name) {
        put(node);
        found = true;
      }
    if (found) continue;
    if (call.reporter.dialect().slurm) {
      out.put("Node " + name + " not found\n");
      status = kRefused;
    } else
      status =
          call.reporter.refused({"no_such_node", "there is no node " + quote(name), "", "see bai-info -N"});
  }
  if (call.reporter.json()) {
    json.end_array().end_object();
    out.put("\n");
  }
  return status;
}

std::uint64_t memory_of(const Partition& partition, const std::vector<Node>& nodes) {
  std::set<std::string_view> names;
  for (const auto& name : partition.nodes) names.insert(name.view());
  std::uint64_t out = 0;
  for (const auto& node : nodes)
    if (names.contains(node.name.view())) out += node.declared.mem_mib;
  return out;
}

int show_partitions(ControlCall& call) {
  const auto words = behind(call);
  const std::string wanted(words.empty() ? std::string_view() : without_key(words[0]));
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  auto cluster = session->get<wire::ClusterReply>(wire::ClusterRequest{});
  if (!cluster.ok()) return call.reporter.refused(cluster.error(), "slurm_load_partitions error");
  Output out;
  JsonWriter json(out.buffer());
  if (call.reporter.json()) json.begin_object().time("now_at", cluster->now).key("partitions").begin_array();
  bool found = false;
  for (const auto& partition : cluster->partitions) {
    if (!wanted.empty() ? partition.name != wanted : partition.hidden && !call.parsed.has("all")) continue;
    found = true;
    if (call.reporter.json())
      put_partition_json(json.line(), partition);
    else
      show_partition(out.buffer(), partition, call.parsed.has("oneliner"),
                     memory_of(partition, cluster->nodes));
  }
  if (call.reporter.json()) {
    json.end_array().end_object();
    out.put("\n");
  }
  if (found || wanted.empty()) return 0;
  out.flush();
  if (call.reporter.dialect().slurm) {
    Output().put("Partition " + wanted + " not found\n");
    return kRefused;
  }
  return call.reporter.refused(
      {"no_such_partition", "there is no partition " + quote(wanted), "", "see bai-info"});
}

// Keys in Slurm's spelling, in its order, and the version that is spoken.
void use_slurms_keys(std::vector<std::pair<std::string, std::string>>& values, const Dialect& dialect) {
  std::erase_if(values, [](const auto& pair) { return pair.first.starts_with("SwitchName["); });
  for (auto& [key, value] : values) {
    if (key.starts_with("Ctld"))
      key = "Slurmctld" + key.substr(4);
    else if (key.starts_with("Agentd"))
      key = "Slurmd" + key.substr(6);
    else if (key == "BaiUser")
      key = "SlurmUser";
  }
  // What tools look for, and bai has no key of: what holds here, in Slurm's words.
  for (const auto& [key, value] :
       {std::pair{"AcctGatherNodeFreq", "0 sec"}, std::pair{"AuthType", "auth/munge"},
        std::pair{"MpiDefault", "none"}, std::pair{"SchedulerTimeSlice", "30 sec"},
        std::pair{"SchedulerType", "sched/backfill"}, std::pair{"SelectType", "select/cons_tres"},
        std::pair{"SelectTypeParameters", "CR_CPU_MEMORY"}})
    values.emplace_back(key, value);
  values.emplace_back("SLURM_VERSION", std::string(dialect.version.substr(dialect.version.find(' ') + 1)));
  std::sort(values.begin(), values.end(),
            [](const auto& a, const auto& b) { return lower(a.first) < lower(b.first); });
}

void put_pairs(std::string& out, const std::vector<std::pair<std::string, std::string>>& values) {
  for (const auto& [key, value] : values) out += pad_right(key, 23) + " = " + value + "\n";
}

int show_config(ControlCall& call) {
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  auto config = session->get<wire::ConfigReply>(wire::ConfigRequest{});
  if (!config.ok()) return call.reporter.refused(config.error(), "slurm_load_ctl_conf error");
  if (call.reporter.dialect().slurm) use_slurms_keys(config->values, call.reporter.dialect());
  Output out;
  if (call.reporter.json()) {
    JsonWriter json(out.buffer());
    json.begin_object().time("now_at", config->now);
    for (auto [name, values] :
         {std::pair{"values", &config->values}, std::pair{"overrides", &config->overrides}}) {
      json.key(name).begin_object();
      for (const auto& [key, value] : *values) json.field(key, value);
      json.end_object();
    }
    json.end_object();
    out.put("\n");
    return 0;
  }
  out.put("Configuration data as of " + format_timestamp(config->now) + "\n");
  put_pairs(out.buffer(), config->values);
  if (!config->overrides.empty()) {
    out.put("\nChanged at run time\n");
    put_pairs(out.buffer(), config->overrides);
  }
  if (call.reporter.dialect().slurm) {
    auto pong = session->get<wire::PongReply>(wire::PingRequest{});
    out.put("\nSlurmctld(primary) at " + (pong.ok() ? pong->host : session->config().ctld_hosts[0].name) +
            " is " + (pong.ok() ? "UP" : "DOWN") + "\n");
  }
  return 0;
}

int show_reservations(ControlCall& call) {
  if (const auto words = behind(call); !words.empty() && call.reporter.dialect().slurm) {
    Output().put("Reservation " + words[0] + " not found\n");
    return kRefused;
  }
  if (!call.reporter.json()) {
    Output().put("No reservations in the system\n");
    return 0;
  }
  Output().put("{\"reservations\":[]}\n");
  return 0;
}

int show_hostnames(ControlCall& call) {
  const auto words = behind(call);
  std::string text = words.empty() ? "" : words[0];
  if (text.empty())
    for (const char* name : {"BAI_JOB_NODELIST", "SLURM_JOB_NODELIST"})
      if (const char* value = getenv(name); text.empty() && value) text = value;
  if (text.empty() && call.reporter.dialect().slurm) {
    call.reporter.error_line("host list is empty");
    return 0;
  }
  if (text.empty())
    return call.reporter.mistyped(
        {"bad_hostlist", "a host list is missing", "", "write show hostnames n[1-4]"});
  auto names = expand_hostlist(text);
  if (!names.ok()) return call.reporter.mistyped(names.error());
  Output out;
  for (const auto& name : *names) out.put(name).put("\n");
  return 0;
}

int show_hostlist(ControlCall& call, bool sorted) {
  const auto words = behind(call);
  if (words.empty() && call.reporter.dialect().slurm) return call.reporter.said("invalid encode argument");
  if (words.empty())
    return call.reporter.mistyped(
        {"bad_hostlist", "host names are missing", "", "write show hostlist n1,n2"});
  auto names = expand_hostlist(words[0]);
  if (!names.ok()) return call.reporter.mistyped(names.error());
  Output().put(sorted ? compress_hostlist_sorted(std::move(*names)) : compress_hostlist(*names)).put("\n");
  return 0;
}

// What Slurm can have, and a cluster of ours never has.
int show_nothing(ControlCall&) { return 0; }
int show_no_frontends(ControlCall&) {
  Output().put("No nodes in the system\n");
  return 0;
}

}  // namespace

int control_show(ControlCall& call) {
  struct Entity {
    std::string_view name;
    int (*run)(ControlCall&);
  };
  static constexpr Entity kEntities[] = {
      {"jobs", show_jobs},
      {"steps", show_steps},
      {"nodes", show_nodes},
      {"partitions", show_partitions},
      {"config", show_config},
      {"reservations", show_reservations},
      {"hostnames", show_hostnames},
      {"hostlistsorted", [](ControlCall& c) { return show_hostlist(c, true); }},
      {"hostlist", [](ControlCall& c) { return show_hostlist(c, false); }},
      {"licenses", show_licenses},
      {"topology", show_topology},
      {"aliases", show_aliases},
      {"daemons", show_daemons},
      {"assoc_mgr", show_nothing},
      {"bbstat", show_nothing},
      {"burstbuffer", show_nothing},
      {"dwstat", show_nothing},
      {"federation", show_nothing},
      {"frontend", show_no_frontends},
  };
  if (call.words.empty() && call.reporter.dialect().slurm)
    return call.reporter.said("too few arguments for keyword:show");
  if (call.words.empty())
    return call.reporter.mistyped({"bad_command", "what is to be shown?", "",
                                   "job, step, node, partition, config, hostnames or hostlist"});
  if (call.words.size() > 2 && call.reporter.dialect().slurm)
    return call.reporter.said("too many arguments for keyword:show");
  std::string_view word = std::string_view(call.words[0]);
  const auto equals = word.find('=');  // "show job=7"
  const std::string_view name = word.substr(0, equals);
  const Entity* found = nullptr;
  for (const auto& entity : kEntities)
    if (!name.empty() && (istarts_with(entity.name, name) || (name.size() == 3 && iequals(name, "job"))) &&
        !found && istarts_with(entity.name, name))
      found = &entity;
  for (const auto& entity : kEntities)
    if (iequals(entity.name, name)) found = &entity;
  if (iequals(name, "jobid")) found = &kEntities[0];
  if (iequals(name, "stepid")) found = &kEntities[1];
  if (iequals(name, "nodename")) found = &kEntities[2];
  if (iequals(name, "partitionname")) found = &kEntities[3];
  if (!found) {
    if (call.reporter.dialect().slurm) {
      return call.reporter.said("invalid entity:" + call.words[0] + " for keyword:show ");
    }
    std::vector<std::string_view> names;
    for (const auto& entity : kEntities) names.push_back(entity.name);
    return call.reporter.mistyped(
        {"bad_command", "cannot show " + quote(call.words[0]), "", did_you_mean(call.words[0], names)});
  }
  if (equals != std::string_view::npos)
    call.words.insert(call.words.begin() + 1, std::string(word.substr(equals + 1)));
  return found->run(call);
}

}  // namespace bai::cli
