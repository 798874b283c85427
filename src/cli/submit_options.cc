#include "cli/submit_options.h"

#include "base/fd.h"
#include "base/hostlist.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/option_reader.h"
#include "cli/report.h"
#include "cli/request_options.h"
#include "cli/slurm_options.h"
#include "cli/values.h"
#include "model/constraint.h"

namespace bai::cli {
namespace {

constexpr auto kReq = ArgKind::required;
constexpr auto kOpt = ArgKind::optional;

// clang-format off
std::vector<Option> job_options() {
  return {
      {.name = "alternative", .arg = kReq, .value_name = "OPTIONS", .help = "Other resources that would do as well, as '-N 2 -n 64'; may be repeated", .directive = true, .repeatable = true},
      {.name = "array", .letter = 'a', .arg = kReq, .value_name = "INDEXES", .help = "Submit a job array: 0-15, 1,3,7, 0-20:4, with %N at most N at a time", .directive = true, .env = "ARRAY_INX"},
      {.name = "account", .letter = 'A', .arg = kReq, .value_name = "NAME", .help = "Charge the job to this account", .directive = true, .env = "ACCOUNT"},
      {.name = "begin", .letter = 'b', .arg = kReq, .value_name = "TIME", .help = "Start no earlier than this: 16:00, tomorrow, now+1hour, 2026-01-20T12:34", .directive = true},
      {.name = "bulk", .arg = kReq, .value_name = "FILE", .help = "Submit many jobs: one JSON object a line, keys as these options (-: standard input)"},
      {.name = "chdir", .letter = 'D', .arg = kReq, .value_name = "DIR", .help = "Run the script in this directory", .directive = true, .aliases = {"workdir"}},
      {.name = "comment", .arg = kReq, .value_name = "TEXT", .help = "A comment, shown with the job", .directive = true, .env = "COMMENT"},
      {.name = "constraint", .letter = 'C', .arg = kReq, .value_name = "LIST", .help = "Only nodes with these features (a&b, a|b, [a|b], [a*2&b*4])", .directive = true, .env = "CONSTRAINT"},
      {.name = "contiguous", .help = "Nodes next to each other", .directive = true},
      {.name = "cores-per-socket", .arg = kReq, .value_name = "N", .help = "Only nodes with at least N cores a socket", .directive = true},
      {.name = "cpus-per-gpu", .arg = kReq, .value_name = "N", .help = "Processors for each GPU", .directive = true, .env = "CPUS_PER_GPU"},
      {.name = "cpus-per-task", .letter = 'c', .arg = kReq, .value_name = "N", .help = "Processors for each task", .directive = true, .env = "CPUS_PER_TASK"},
      {.name = "deadline", .arg = kReq, .value_name = "TIME", .help = "Drop the job if it cannot end before this", .directive = true, .env = "DEADLINE"},
      {.name = "dependency", .letter = 'd', .arg = kReq, .value_name = "LIST", .help = "Wait for other jobs: afterok:7:8, afterany:9, singleton; ',' for all, '?' for any", .directive = true, .env = "DEPENDENCY"},
      {.name = "error", .letter = 'e', .arg = kReq, .value_name = "FILE", .help = "Standard error; patterns as in --output", .directive = true, .env = "ERROR"},
      {.name = "exclude", .letter = 'x', .arg = kReq, .value_name = "NODES", .help = "Not on these nodes", .directive = true},
      {.name = "exclusive", .arg = kOpt, .value_name = "user", .help = "Whole nodes, shared with no other job", .directive = true, .env = "EXCLUSIVE"},
      {.name = "export", .arg = kReq, .value_name = "WHAT", .help = "Environment for the job: ALL (default), NONE, NIL, or names and NAME=VALUE", .directive = true, .env = "EXPORT"},
      {.name = "extra-node-info", .letter = 'B', .arg = kReq, .value_name = "S[:C[:T]]", .help = "Only nodes with so many sockets, cores and threads", .directive = true, .hidden = true},
      {.name = "gpus", .letter = 'G', .arg = kReq, .value_name = "[TYPE:]N", .help = "GPUs for the whole job; 0.5 is half of one", .directive = true, .env = "GPUS"},
      {.name = "gpus-per-node", .arg = kReq, .value_name = "[TYPE:]N", .help = "GPUs on each node", .directive = true, .env = "GPUS_PER_NODE"},
      {.name = "gpus-per-socket", .arg = kReq, .value_name = "[TYPE:]N", .help = "GPUs for each socket; give --sockets-per-node", .directive = true, .env = "GPUS_PER_SOCKET"},
      {.name = "gpus-per-task", .arg = kReq, .value_name = "[TYPE:]N", .help = "GPUs for each task", .directive = true, .env = "GPUS_PER_TASK"},
      {.name = "gres", .arg = kReq, .value_name = "LIST", .help = "Devices on each node: KIND[:TYPE]:N,...", .directive = true, .env = "GRES"},
      {.name = "hold", .letter = 'H', .help = "Submit held; bai-control release lets it go", .directive = true},
      {.name = "input", .letter = 'i', .arg = kReq, .value_name = "FILE", .help = "Standard input (default: /dev/null)", .directive = true, .env = "INPUT"},
      {.name = "job-name", .letter = 'J', .arg = kReq, .value_name = "NAME", .help = "The job's name (default: the script's)", .directive = true, .env = "JOB_NAME"},
      {.name = "licenses", .letter = 'L', .arg = kReq, .value_name = "LIST", .help = "Licenses: name[:count],...", .directive = true, .env = "LICENSES"},
      {.name = "mail-type", .arg = kReq, .value_name = "LIST", .help = "Send mail on BEGIN, END, FAIL, REQUEUE, TIME_LIMIT, ALL, ...", .directive = true},
      {.name = "mail-user", .arg = kReq, .value_name = "USER", .help = "Send it to this user or address", .directive = true},
      {.name = "mem", .arg = kReq, .value_name = "SIZE", .help = "Memory on each node: 512 (MiB), 4G", .directive = true, .env = "MEM_PER_NODE"},
      {.name = "mem-per-cpu", .arg = kReq, .value_name = "SIZE", .help = "Memory for each processor", .directive = true, .env = "MEM_PER_CPU"},
      {.name = "mem-per-gpu", .arg = kReq, .value_name = "SIZE", .help = "Memory for each GPU", .directive = true, .env = "MEM_PER_GPU"},
      {.name = "mincpus", .arg = kReq, .value_name = "N", .help = "At least so many processors on each node", .directive = true},
      {.name = "nice", .arg = kOpt, .value_name = "N", .help = "Lower the priority by N (default: 100)", .directive = true, .env = "NICE"},
      {.name = "no-requeue", .help = "Never run the job a second time", .directive = true, .env = "NO_REQUEUE"},
      {.name = "nodefile", .letter = 'F', .arg = kReq, .value_name = "FILE", .help = "On the nodes that this file names", .directive = true, .hidden = true},
      {.name = "nodelist", .letter = 'w', .arg = kReq, .value_name = "NODES", .help = "On these nodes: n[1-4],n7", .directive = true},
      {.name = "nodes", .letter = 'N', .arg = kReq, .value_name = "N[-M]", .help = "Number of nodes, or least and most", .directive = true},
      {.name = "ntasks", .letter = 'n', .arg = kReq, .value_name = "N", .help = "Number of tasks to make room for", .directive = true},
      {.name = "ntasks-per-core", .arg = kReq, .value_name = "N", .help = "At most N tasks on each core", .directive = true},
      {.name = "ntasks-per-gpu", .arg = kReq, .value_name = "N", .help = "At most N tasks for each GPU", .directive = true},
      {.name = "ntasks-per-node", .arg = kReq, .value_name = "N", .help = "Tasks on each node", .directive = true},
      {.name = "ntasks-per-socket", .arg = kReq, .value_name = "N", .help = "At most N tasks on each socket", .directive = true},
      {.name = "open-mode", .arg = kReq, .value_name = "append|truncate", .help = "How output files are opened", .directive = true, .env = "OPEN_MODE"},
      {.name = "output", .letter = 'o', .arg = kReq, .value_name = "FILE", .help = "Standard output: %j job, %A array, %a task, %x name, %u user, %N node", .directive = true, .env = "OUTPUT"},
      {.name = "parsable", .help = "Print only the job's number", .directive = true},
      {.name = "partition", .letter = 'p', .arg = kReq, .value_name = "NAME", .help = "The partition, or several", .directive = true, .env = "PARTITION"},
      {.name = "priority", .arg = kReq, .value_name = "N", .help = "Set the priority (operators); 0 holds", .directive = true, .env = "PRIORITY"},
      {.name = "propagate", .arg = kOpt, .value_name = "LIMITS", .help = "Resource limits that it takes along: ALL, NONE, or names as NOFILE,CORE", .directive = true},
      {.name = "qos", .letter = 'q', .arg = kReq, .value_name = "NAME", .help = "The quality of service", .directive = true, .env = "QOS"},
      {.name = "quiet", .letter = 'Q', .help = "Say nothing but errors", .directive = true},
      {.name = "request-id", .arg = kReq, .value_name = "ID", .help = "Settle a submission whose outcome is unknown"},
      {.name = "requeue", .help = "Run the job again after a node fails", .directive = true, .env = "REQUEUE"},
      {.name = "signal", .arg = kReq, .value_name = "[B:|R:]SIGNAL[@S]", .help = "Send a signal S seconds (60) before the time limit; B: to the script only", .directive = true, .env = "SIGNAL"},
      {.name = "sockets-per-node", .arg = kReq, .value_name = "N", .help = "Only nodes with at least N sockets", .directive = true},
      {.name = "spread-job", .help = "Over as many nodes as possible", .directive = true, .env = "SPREAD_JOB"},
      {.name = "sweep", .arg = kReq, .value_name = "OPTION=FROM..TO[,STEP]", .help = "Say when it could start for each value; submit nothing"},
      {.name = "switches", .arg = kReq, .value_name = "N[@TIME]", .help = "At most N leaf switches; any after waiting for TIME", .directive = true, .env = "REQ_SWITCH"},
      {.name = "test-only", .help = "Say when the job could start; submit nothing", .directive = true, .env = "TEST_ONLY"},
      {.name = "threads-per-core", .arg = kReq, .value_name = "N", .help = "Only nodes with at least N threads a core", .directive = true, .env = "THREADS_PER_CORE"},
      {.name = "time", .letter = 't', .arg = kReq, .value_name = "LIMIT", .help = "Time limit: minutes, H:MM:SS, D-HH", .directive = true, .env = "TIMELIMIT"},
      {.name = "tmp", .arg = kReq, .value_name = "SIZE", .help = "Only nodes with so much temporary disk", .directive = true},
      {.name = "verbose", .letter = 'v', .help = "Say more", .directive = true, .hidden = true},
      {.name = "wait", .letter = 'W', .help = "Wait for the job's end and exit as it did", .directive = true, .env = "WAIT"},
      {.name = "wrap", .arg = kReq, .value_name = "COMMAND", .help = "Submit this shell command instead of a script"},
  };
}
// clang-format on

Result<std::int64_t> nice_value(std::string_view text) {
  return text.empty() ? Result<std::int64_t>(100) : parse_int(text, -2147483645, 2147483645);
}
std::string absolute(std::string_view dir, const std::string& cwd) {
  if (dir.starts_with('/')) return std::string(dir);
  while (dir.starts_with("./")) dir.remove_prefix(2);
  if (dir.empty() || dir == ".") return cwd;
  return cwd == "/" ? "/" + std::string(dir) : cwd + "/" + std::string(dir);
}

void read_resources(OptionReader& in, ResourceRequest& request) {
  in.into("ntasks", request.tasks, positive);
  in.into("cpus-per-task", request.cpus_per_task, positive);
  in.into("ntasks-per-node", request.tasks_per_node, positive);
  in.with("nodes", [&](std::string_view text) -> Status {
    auto range = parse_count_range(text);
    if (!range.ok()) return range.error();
    request.min_nodes = range->min;
    request.max_nodes = range->max;
    return {};
  });
  auto memory = [&request](std::uint64_t& out) {
    return [&request, &out](std::string_view text) -> Status {
      auto mib = parse_memory_mib(text, ZeroMemory::kAllowed);
      if (!mib.ok()) return mib.error();
      // 0 is all that each node has, whichever of the two says so.
      (*mib == 0 ? request.mem_per_node_mib : out) = *mib == 0 ? kAllMemory : *mib;
      return {};
    };
  };
  in.with("mem", memory(request.mem_per_node_mib));
  in.with("mem-per-cpu", memory(request.mem_per_cpu_mib));
  if (const Given* a = in.find("mem"), *b = in.find("mem-per-cpu"); a && b) {
    if (a->source == b->source)
      in.check(*b, Error{"bad_option", "--mem and --mem-per-cpu exclude each other", "", "give one of them"});
    else
      (a->source > b->source ? request.mem_per_cpu_mib : request.mem_per_node_mib) = 0;
  }
  in.with("exclusive", [&](std::string_view value) -> Status {
    if (!value.empty() && value != "user")
      return Error{"bad_value", quote(value) + " is not known", "", "say --exclusive or --exclusive=user"};
    (value.empty() ? request.exclusive : request.exclusive_user) = true;
    return {};
  });
  auto hosts = [](Istr& out) {
    return [&out](std::string_view text) -> Status {
      auto names = expand_hostlist(text);
      if (!names.ok()) return names.error();
      out = Istr(compress_hostlist_sorted(std::move(*names)));
      return {};
    };
  };
  in.with("nodefile", [&](std::string_view file) -> Status {
    auto text = read_all(std::string(file), 1 << 20);
    if (!text.ok()) return text.error();
    for (char& c : *text)
      if (c == '\n' || c == ' ' || c == '\t') c = ',';
    return hosts(request.nodes_wanted)(join(split_list(*text), ","));
  });
  in.with("nodelist", hosts(request.nodes_wanted));
  in.with("exclude", hosts(request.nodes_excluded));
  auto text = [](Istr& out) {
    return [&out](std::string_view value) -> Status {
      out = Istr(value);
      return plain_text(value);
    };
  };
  in.with("constraint", [&](std::string_view value) -> Status {
    request.constraint = Istr(value);
    if (auto read = parse_constraint(value); !read) return read.error();
    return plain_text(value);
  });
  in.with("licenses", text(request.licenses));
}

// Makes nodes, tasks and the list of nodes agree, as sbatch does.
void settle_counts(OptionReader& in, ResourceRequest& request, std::vector<std::string>& warnings) {
  const bool tasks_given = in.find("ntasks") != nullptr;
  if (in.find("nodes")) request.asked |= kAskedNodes;
  if (tasks_given || request.tasks_per_node != 0) request.asked |= kAskedTasks;
  if (in.find("cpus-per-task")) request.asked |= kAskedCpusPerTask;
  if (in.error()) return;
  auto wanted = expand_hostlist(request.nodes_wanted);
  if (wanted.ok() && wanted->size() > request.min_nodes) {
    request.min_nodes = static_cast<std::uint32_t>(wanted->size());
    if (request.max_nodes != 0 && request.max_nodes < request.min_nodes)
      return in.check(*in.find("nodes"),
                      Error{"bad_nodes",
                            "invalid number of nodes (-N " + std::to_string(request.min_nodes) + "-" +
                                std::to_string(request.max_nodes) + ")",
                            "", "name as many nodes as --nodes allows"});
  }
  if (!tasks_given) {
    request.tasks = request.min_nodes * std::max(1u, request.tasks_per_node);
    return;
  }
  if (request.tasks < request.min_nodes) {
    warnings.push_back("Warning: can't run " + std::to_string(request.tasks) + " processes on " +
                       std::to_string(request.min_nodes) + " nodes, setting nnodes to " +
                       std::to_string(request.tasks));
    request.min_nodes = request.max_nodes = request.tasks;
    if (wanted.ok() && wanted->size() > request.tasks) {
      wanted->resize(request.tasks);
      request.nodes_wanted = Istr(compress_hostlist_sorted(std::move(*wanted)));
    }
  }
  if (request.max_nodes > request.tasks) request.max_nodes = request.tasks;
}

void read_request(OptionReader& in, ResourceRequest& request, std::vector<std::string>& warnings) {
  read_resources(in, request);
  read_request_extras(in, request);
  settle_counts(in, request, warnings);
}

// The options that say what is asked of nodes; a job has nodes for itself, licences and --switches in whichever way it starts.
const OptionTable& request_table() {
  static const OptionTable kTable = [] {
    OptionTable table;
    table.program = "--alternative";
    for (const auto& option : job_options())
      for (std::string_view name : {"constraint",
                                    "contiguous",
                                    "cores-per-socket",
                                    "cpus-per-gpu",
                                    "cpus-per-task",
                                    "exclude",

                                    "gpus",
                                    "gpus-per-node",
                                    "gpus-per-socket",
                                    "gpus-per-task",
                                    "gres",

                                    "mem",
                                    "mem-per-cpu",
                                    "mem-per-gpu",
                                    "mincpus",
                                    "nodelist",
                                    "nodes",
                                    "ntasks",
                                    "ntasks-per-core",
                                    "ntasks-per-gpu",
                                    "ntasks-per-node",
                                    "ntasks-per-socket",
                                    "sockets-per-node",
                                    "spread-job",

                                    "threads-per-core",
                                    "tmp"})
        if (name == option.name) table.options.push_back(option);
    return table;
  }();
  return kTable;
}

// What it does not say is the default, not what the job says beside it.
Result<ResourceRequest> parse_alternative(std::string_view text, const Dialect& dialect,
                                          std::vector<std::string>& warnings) {
  auto words = split_shell_words(text);
  if (!words.ok()) return words.error();
  auto parsed = OptionParser(request_table()).parse(*words);
  std::optional<Error> wrong;
  ResourceRequest request;
  if (!parsed.ok()) {
    wrong = parsed.error();
  } else if (parsed->given.empty() || !parsed->rest.empty()) {
    wrong = Error{"bad_option",
                  parsed->rest.empty() ? "nothing is asked for" : quote(parsed->rest[0]) + " is no option",
                  "", "give options for resources, as '-N 2 -n 64'"};
  } else {
    OptionReader in(*parsed, dialect);
    read_request(in, request, warnings);
    wrong = in.error();
  }
  if (!wrong) return request;
  if (!wrong->place.empty()) wrong->message = wrong->place + ": " + wrong->message;
  return *wrong;
}

void read_alternatives(OptionReader& in, const Parsed& parsed, const Dialect& dialect,
                       ResourceRequest& request, std::vector<std::string>& warnings) {
  const auto given = parsed.all("alternative");
  if (given.empty()) return;
  RequestExtras extras = request.extras();
  for (const auto* one : given) {
    auto other = parse_alternative(one->value, dialect, warnings);
    in.check(*one, other.ok() ? Status() : Status(other.error()));
    if (other.ok()) extras.alternatives.push_back(*std::move(other));
  }
  if (extras.alternatives.size() > kMostAlternatives)
    in.check(*given.back(),
             Error{"bad_option", "more than " + std::to_string(kMostAlternatives) + " alternatives", "",
                   "give fewer"});
  request.set_extras(std::move(extras));
}

void read_extras(OptionReader& in, const SubmitContext& context, JobExtras& extras) {
  auto when = [&](Time& out) {
    return [&out, &context](std::string_view text) -> Status {
      auto at = parse_when(text, context.now, When::kFuture);
      if (!at.ok()) return at.error();
      out = *at;
      return {};
    };
  };
  in.with("begin", when(extras.begin));
  in.with("deadline", when(extras.deadline));
  if (const Given* given = in.find("deadline");
      given && extras.deadline.is_set() && extras.deadline <= context.now)
    in.check(*given, Error{"bad_time", "the deadline has passed", "", "give a time to come"});
  in.into("dependency", extras.dependencies, parse_dependencies);
  in.into("signal", extras.signal, parse_warning_signal);
  in.into("mail-type", extras.mail_events, parse_mail_events);
  auto text = [](Istr& out) {
    return [&out](std::string_view value) -> Status {
      out = Istr(value);
      return plain_text(value);
    };
  };
  in.with("mail-user", text(extras.mail_user));
  in.with("comment", text(extras.comment));
  in.with("qos", text(extras.qos));
  in.with("input", text(extras.std_in));
  if (extras.std_in == "/dev/null") extras.std_in = Istr();
}

}  // namespace

OptionTable submit_table(const Dialect& dialect) {
  OptionTable table;
  table.program = dialect.program;
  table.synopsis = "[OPTION...] [SCRIPT [ARGUMENT...]]";
  table.description = "Submit a job script. Without SCRIPT it is read from standard input.";
  table.options = job_options();
  for (auto& option : unmet_job_options()) table.options.push_back(std::move(option));
  for (const Option& option : std::vector<Option>{{.name = "distribution",
                              .letter = 'm',
                              .arg = kReq,
                              .value_name = "HOW",
                              .help = "How bai-run in it lays out tasks",
                              .directive = true,
                              .hidden = true},
                                                  {.name = "overcommit",
                                                  .letter = 'O',
                                                  .help = "Steps in it may have more tasks than processors",
                                                  .directive = true,
                                                  .hidden = true},
                                                  {.name = "gpu-bind",
                                                  .arg = kReq,
                                                  .value_name = "HOW",
                                                  .help = "How bai-run in it binds tasks to GPUs",
                                                  .directive = true,
                                                  .hidden = true}})
    table.options.push_back(option);
  add_common_options(table, 'h', 'V');
  return table;
}

Result<wire::Submission> make_submission(const Parsed& parsed, const SubmitContext& context,
                                         std::vector<std::string>& warnings) {
  wire::Submission out;
  JobSpec& spec = out.spec;
  OptionReader in(parsed, *context.dialect);
  read_request(in, spec.request, warnings);
  read_alternatives(in, parsed, *context.dialect, spec.request, warnings);
  JobExtras extras;
  read_extras(in, context, extras);
  spec.set_extras(std::move(extras));

  spec.host = Istr(context.host);
  spec.session = context.session;
  spec.uid = context.uid;
  spec.gid = context.gid;
  auto text = [](Istr& target) {
    return [&target](std::string_view value) -> Status {
      target = Istr(value);
      return plain_text(value);
    };
  };
  in.with("job-name", text(spec.name));
  in.with("account", text(spec.account));
  in.with("partition", text(spec.partition));
  in.with("output", text(spec.std_out));
  in.with("error", text(spec.std_err));
  spec.workdir = Istr(context.cwd);
  in.with("chdir", [&](std::string_view dir) -> Status {
    spec.workdir = Istr(absolute(dir, context.cwd));
    return plain_text(dir);
  });
  in.with("time", [&](std::string_view value) -> Status {
    auto limit = parse_time_limit(value);
    if (!limit.ok()) return limit.error();
    spec.time_limit = *limit == 0 ? kUnlimited : *limit;
    return {};
  });
  in.into("nice", spec.nice, nice_value);
  in.with("open-mode", [&](std::string_view value) -> Status {
    if (value == "append" || value == "a")
      spec.open_mode = OpenMode::kAppend;
    else if (value == "truncate" || value == "t")
      spec.open_mode = OpenMode::kTruncate;
    else
      return Error{"bad_value", quote(value) + " is not known", "", "say append or truncate"};
    return {};
  });
  if (const Given* given = parsed.find_last({"requeue", "no-requeue"}))
    spec.requeue = given->option->name == std::string_view("requeue") ? Requeue::kYes : Requeue::kNo;
  in.with("array", [&](std::string_view value) -> Status {
    if (value.empty() && context.dialect->slurm) return {};  // as good as none there
    auto array = parse_array_spec(value, context.max_array_size);
    if (!array.ok()) return array.error();
    out.array_tasks = std::move(array->ids);
    out.array_max_running = array->max_running;
    return {};
  });
  out.hold = parsed.has("hold");
  out.lost_dependencies_hold = context.dialect->slurm;
  in.with("priority", [&](std::string_view value) -> Status {
    if (iequals(value, "top")) {
      out.priority = 0xfffffffe;
      return {};
    }
    auto number = parse_int(value, 0, 0xfffffffe);
    if (!number.ok()) return number.error();
    out.priority = static_cast<std::uint32_t>(*number);
    if (*number == 0) out.hold = true;
    return {};
  });
  if (in.error()) return *in.error();
  if (spec.std_out.empty())
    spec.std_out = Istr(out.array_tasks ? context.dialect->array_output : context.dialect->output);
  return out;
}

}  // namespace bai::cli
