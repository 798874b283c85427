#include "cli/run_options.h"

#include <cstdlib>
#include <fstream>
#include <set>

#include "base/fd.h"
#include "base/hostlist.h"
#include "base/text.h"
#include "cli/option_reader.h"
#include "cli/report.h"
#include "cli/submit_options.h"
#include "cli/values.h"
#include "model/cpu_bind.h"
#include "model/devices.h"
#include "model/gpu_bind.h"

namespace bai::cli {
namespace {

constexpr auto kReq = ArgKind::required;
constexpr auto kOpt = ArgKind::optional;

// Options of bai-submit that say something of a script, or that srun uses for something else.
const std::set<std::string_view> kBatchOnly = {
    "array",     "bulk",      "parsable", "requeue",      "no-requeue", "request-id", "sweep",
    "wrap",      "wait",      "output",   "error",        "input",      "hold",       "verbose",
    "test-only", "open-mode", "export",   "signal",       "propagate",  "chdir",      "ntasks",
    "nodes",     "exclusive", "quiet",    "distribution", "overcommit", "gpu-bind"};

// clang-format off
std::vector<Option> step_options() {
  return {
      {.name = "bcast", .arg = kOpt, .value_name = "PATH", .help = "First copy the program to PATH on the nodes, and run it there", .env = "BCAST"},
      {.name = "chdir", .letter = 'D', .arg = kReq, .value_name = "DIR", .help = "Run in this directory", .env = "REMOTE_CWD"},
      {.name = "cpu-bind", .arg = kReq, .value_name = "HOW", .help = "Bind tasks to processors: none, cores, sockets, map_cpu:LIST, ..., verbose", .env = "CPU_BIND_WISH"},
      {.name = "detach", .help = "The step goes on when this command dies; see bai-attach"},
      {.name = "distribution", .letter = 'm', .arg = kReq, .value_name = "HOW", .help = "Tasks over nodes: block, cyclic, plane=N, arbitrary", .env = "DISTRIBUTION"},
      {.name = "epilog", .arg = kReq, .value_name = "PROGRAM", .help = "Run it here after the step; none", .env = "EPILOG"},
      {.name = "error", .letter = 'e', .arg = kReq, .value_name = "WHERE", .help = "Standard error: a file with patterns, all, none, or a task's number", .env = "STDERRMODE"},
      {.name = "exact", .help = "Only as many processors as the tasks ask", .env = "EXACT"},
      {.name = "exclusive", .arg = kOpt, .value_name = "user", .help = "As a step: --exact. As a job: whole nodes", .env = "EXCLUSIVE"},
      {.name = "export", .arg = kReq, .value_name = "WHAT", .help = "Environment for the tasks: ALL (default), NONE, NIL, or names and NAME=VALUE", .env = "EXPORT_ENV"},
      {.name = "gpu-bind", .arg = kReq, .value_name = "HOW", .help = "Bind tasks to GPUs: none, single:N, map_gpu:LIST, ..., verbose", .env = "GPU_BIND"},
      {.name = "immediate", .letter = 'I', .arg = kOpt, .value_name = "S", .help = "Give up when it cannot start at once"},
      {.name = "input", .letter = 'i', .arg = kReq, .value_name = "WHERE", .help = "Standard input: a file, all, none, or a task's number", .env = "STDINMODE"},
      {.name = "jobid", .arg = kReq, .value_name = "JOB", .help = "A step of this running job"},
      {.name = "kill-on-bad-exit", .letter = 'K', .arg = kOpt, .value_name = "0|1", .help = "End all tasks when one fails", .env = "KILL_BAD_EXIT"},
      {.name = "label", .letter = 'l', .help = "Begin each line with its task's number", .env = "LABELIO"},
      {.name = "mpi", .arg = kReq, .value_name = "KIND", .help = "How MPI ranks meet: none, pmi1, pmix; list", .env = "MPI_TYPE"},
      {.name = "multi-prog", .help = "PROGRAM is a file that says which tasks run what"},
      {.name = "nodes", .letter = 'N', .arg = kReq, .value_name = "N[-M]", .help = "Number of nodes, or least and most"},
      {.name = "ntasks", .letter = 'n', .arg = kReq, .value_name = "N", .help = "Number of tasks", .env = "NTASKS"},
      {.name = "open-mode", .arg = kReq, .value_name = "append|truncate", .help = "How output files are opened", .env = "OPEN_MODE"},
      {.name = "output", .letter = 'o', .arg = kReq, .value_name = "WHERE", .help = "Standard output: a file with patterns (%j %s %t %n %N ...), all, none, or a task's number", .env = "STDOUTMODE"},
      {.name = "overcommit", .letter = 'O', .help = "More tasks than processors", .env = "OVERCOMMIT"},
      {.name = "overlap", .help = "Share what other steps of the job use", .env = "OVERLAP"},
      {.name = "prolog", .arg = kReq, .value_name = "PROGRAM", .help = "Run it here before the step; none", .env = "PROLOG"},
      {.name = "propagate", .arg = kOpt, .value_name = "LIMITS", .help = "Resource limits that it takes along: ALL, NONE, or names as NOFILE,CORE", .env = "PROPAGATE"},
      {.name = "pty", .help = "Task 0 gets a terminal"},
      {.name = "quiet", .letter = 'Q', .help = "Say nothing but errors"},
      {.name = "quit-on-interrupt", .help = "One Ctrl-C ends the tasks"},
      {.name = "relative", .letter = 'r', .arg = kReq, .value_name = "N", .help = "Begin with the job's Nth node; the first is 0"},
      {.name = "signal", .arg = kReq, .value_name = "[R:]SIGNAL[@S]", .help = "Send a signal S seconds (60) before the time limit", .env = "SIGNAL"},
      {.name = "task-epilog", .arg = kReq, .value_name = "PROGRAM", .help = "Run it on the nodes after each task", .env = "TASK_EPILOG"},
      {.name = "task-prolog", .arg = kReq, .value_name = "PROGRAM", .help = "Run it on the nodes before each task", .env = "TASK_PROLOG"},
      {.name = "unbuffered", .letter = 'u', .help = "Output as it comes, not line by line", .env = "UNBUFFEREDIO"},
      {.name = "verbose", .letter = 'v', .help = "Say more", .hidden = true},
      {.name = "wait", .letter = 'W', .arg = kReq, .value_name = "S", .help = "End the others so long after the first task; 0: never", .env = "WAIT"},
  };
}
// clang-format on

Status read_counts(OptionReader& in, StepSpec& spec) {
  in.into("ntasks", spec.tasks, positive);
  in.into("cpus-per-task", spec.cpus_per_task, positive);
  in.into("ntasks-per-node", spec.tasks_per_node, positive);
  in.with("nodes", [&](std::string_view text) -> Status {
    auto range = parse_count_range(text);
    if (!range.ok()) return range.error();
    spec.min_nodes = range->min;
    spec.max_nodes = range->max;
    return {};
  });
  in.with("relative", [&](std::string_view text) -> Status {
    auto n = parse_count(text, 0, 1 << 20);
    if (!n.ok()) return n.error();
    spec.relative = true;
    spec.first_node = static_cast<std::uint32_t>(*n);
    return {};
  });
  auto memory = [](std::uint64_t& out) {
    return [&out](std::string_view text) -> Status {
      auto mib = parse_memory_mib(text, ZeroMemory::kAllowed);
      if (!mib.ok()) return mib.error();
      out = *mib;  // 0: the step shares the job's
      return {};
    };
  };
  in.with("mem", memory(spec.mem_mib));
  in.with("mem-per-cpu", memory(spec.mem_per_cpu_mib));
  auto hosts = [](Istr& out) {
    return [&out](std::string_view text) -> Status {
      auto names = expand_hostlist(text);
      if (!names.ok()) return names.error();
      out = Istr(text);
      return {};
    };
  };
  in.with("nodelist", hosts(spec.nodes_wanted));
  in.with("exclude", hosts(spec.nodes_excluded));
  auto devices = [&spec](DevicePer per, std::string_view kind) {
    return [&spec, per, kind](std::string_view text) -> Status {
      if (text == "none") return {};
      auto read = parse_device_requests(text, per, kind);
      if (!read) return read.error();
      spec.devices.insert(spec.devices.end(), read->begin(), read->end());
      return {};
    };
  };
  in.with("gres", devices(DevicePer::kNode, {}));
  in.with("gpus", devices(DevicePer::kJob, "gpu"));
  in.with("gpus-per-node", devices(DevicePer::kNode, "gpu"));
  in.with("gpus-per-task", devices(DevicePer::kTask, "gpu"));
  in.with("time", [&](std::string_view value) -> Status {
    auto limit = parse_time_limit(value);
    if (!limit.ok()) return limit.error();
    spec.time_limit = *limit;
    return {};
  });
  return {};
}

// The lines of SLURM_HOSTFILE: a node each, with `*N` for N tasks.
Status read_hostfile(StepSpec& spec) {
  const char* file = getenv("BAI_HOSTFILE");
  if (!file) file = getenv("SLURM_HOSTFILE");
  if (!file)
    return Error{"bad_option", "--distribution=arbitrary needs to know where", "--distribution",
                 "set SLURM_HOSTFILE to a file with a node's name for each task"};
  std::ifstream in(file);
  if (!in) return errno_error("cannot open", file, errno);
  for (std::string line; std::getline(in, line);)
    for (auto word : split_list(line)) {
      std::uint64_t times = 1;
      if (const auto star = word.find('*'); star != word.npos) {
        auto count = parse_count(word.substr(star + 1), 1, 1 << 20);
        if (!count.ok()) return count.error();
        times = static_cast<std::uint64_t>(*count);
        word = word.substr(0, star);
      }
      if (spec.hosts.size() + times > 65536)
        return Error{"bad_value", std::string(file) + " names too many tasks", "SLURM_HOSTFILE", ""};
      spec.hosts.insert(spec.hosts.end(), times, Istr(word));
    }
  return {};
}

Status read_distribution(std::string_view text, StepSpec& spec) {
  const auto first = text.substr(0, text.find_first_of(":,"));
  if (first.starts_with("plane=")) {
    auto size = parse_count(first.substr(6), 1, 1 << 20);
    if (!size.ok()) return size.error();
    spec.distribution = Distribution::kPlane;
    spec.plane = static_cast<std::uint32_t>(*size);
    return {};
  }
  if (first == "*" || iequals(first, "block") || iequals(first, "nopack") || iequals(first, "pack"))
    spec.distribution = Distribution::kBlock;
  else if (iequals(first, "cyclic"))
    spec.distribution = Distribution::kCyclic;
  else if (iequals(first, "arbitrary"))
    spec.distribution = Distribution::kArbitrary;
  else
    return Error{"bad_value", quote(text) + " is no distribution", "",
                 "one of: block, cyclic, plane=N, arbitrary"};
  return spec.distribution == Distribution::kArbitrary ? read_hostfile(spec) : Status();
}

Status read_mpi(std::string_view text, StepRun& run) {
  if (text == "pmix_v3" || text == "pmix_v4") text = "pmix";  // one server speaks with them all
  for (auto known : {"none", "pmi1", "pmix"})
    if (text == known) {
      run.mpi = Istr(known);
      return {};
    }
  // A program that finds no server is a silent world of one.
  if (text == "pmi2")
    return Error{"bad_value", "PMI-2 is not spoken here", "", "MPICH programs start with --mpi=pmi1"};
  return Error{"bad_value", quote(text) + " is no kind of MPI start", "", "one of: none, pmi1, pmix"};
}

std::optional<JobId> own_job() {
  for (const char* name : {"BAI_JOB_ID", "SLURM_JOB_ID", "SLURM_JOBID"})
    if (const char* text = getenv(name))
      if (auto id = parse_count(text, 1, 0xffffffff); id.ok()) return static_cast<JobId>(*id);
  return {};
}

}  // namespace

std::vector<Option> allocation_options() {
  std::vector<Option> out;
  Dialect dialect;
  for (auto& option : submit_table(dialect).options) {
    const std::string_view name = option.name;
    if (kBatchOnly.contains(name) || name == "help" || name == "version" || name == "conf" || name == "json")
      continue;
    option.directive = false;
    // A job's own variables are in the environment of the steps that it runs; they are not wishes.
    static const std::set<std::string_view> kRead = {"ACCOUNT", "CONSTRAINT", "PARTITION",
                                                     "QOS",     "TIMELIMIT",  "SPREAD_JOB"};
    if (!kRead.contains(option.env)) option.env = "";
    out.push_back(option);
  }
  return out;
}

OptionTable run_table(const Dialect& dialect) {
  OptionTable table;
  table.program = dialect.program;
  table.synopsis = "[OPTION...] PROGRAM [ARGUMENT...]";
  table.description =
      "Run a program as the tasks of a step: inside a job on what the job has, else in a job made for it.";
  table.options = allocation_options();
  for (auto& option : step_options()) table.options.push_back(option);
  add_common_options(table, 'h', 'V', false);
  return table;
}

Result<WantedStep> make_step(const Parsed& parsed, const Dialect& dialect, const std::string& cwd) {
  WantedStep out;
  OptionReader in(parsed, dialect);
  (void)read_counts(in, out.spec);
  out.job = own_job();
  in.with("jobid", [&](std::string_view text) -> Status {
    auto id = parse_count(text, 1, 0xffffffff);
    if (!id.ok()) return id.error();
    out.job = static_cast<JobId>(*id);
    return {};
  });
  in.with("distribution", [&](std::string_view text) { return read_distribution(text, out.spec); });
  in.with("mpi", [&](std::string_view text) { return read_mpi(text, out.run); });
  auto text = [](Istr& target) {
    return [&target](std::string_view value) -> Status {
      target = Istr(value);
      return plain_text(value);
    };
  };
  in.with("job-name", text(out.spec.name));
  in.with("cpu-bind", [&](std::string_view how) -> Status {
    if (auto read = parse_cpu_bind(how); !read.ok()) return read.error();
    return text(out.run.cpu_bind)(how);
  });
  in.with("gpu-bind", [&](std::string_view how) -> Status {
    if (auto read = parse_gpu_bind(how); !read.ok()) return read.error();
    return text(out.run.gpu_bind)(how);
  });
  out.run.workdir = Istr(cwd);
  in.with("chdir", [&](std::string_view dir) -> Status {
    out.run.workdir = Istr(dir.starts_with('/') ? std::string(dir) : cwd + "/" + std::string(dir));
    return plain_text(dir);
  });
  // -c says how much a task takes, so that others may take the rest.
  out.spec.exact = parsed.has("exact") || parsed.has("exclusive") || out.spec.cpus_per_task > 0;
  out.spec.overlap = parsed.has("overlap");
  out.spec.overcommit = parsed.has("overcommit");
  out.input = parsed.value_or("input", "");
  out.output = parsed.value_or("output", "");
  out.error = parsed.value_or("error", "");
  out.label = parsed.has("label");
  out.unbuffered = out.run.unbuffered = parsed.has("unbuffered");
  in.with("open-mode", [&](std::string_view value) -> Status {
    if (value != "append" && value != "a" && value != "truncate" && value != "t")
      return Error{"bad_value", quote(value) + " is not known", "", "say append or truncate"};
    out.append = value.starts_with('a');
    out.run.open_mode = out.append ? OpenMode::kAppend : OpenMode::kTruncate;
    return {};
  });
  in.with("kill-on-bad-exit", [&](std::string_view value) -> Status {
    out.run.kill_on_bad_exit = value.empty() || value != "0";
    return {};
  });
  in.with("wait", [&](std::string_view value) -> Status {
    auto seconds = parse_count(value, 0, 1 << 30);
    if (!seconds.ok()) return seconds.error();
    out.run.wait_s = static_cast<std::uint32_t>(*seconds);
    return {};
  });
  in.with("comment", text(out.run.comment));
  in.with("signal", [&](std::string_view value) -> Status {
    auto signal = parse_warning_signal(value);
    if (!signal.ok()) return signal.error();
    out.run.signal = *signal;
    return {};
  });
  const auto beside = [](std::optional<std::string>& to) {
    return [&to](std::string_view path) -> Status {
      to = path;
      return plain_text(path);
    };
  };
  in.with("prolog", beside(out.prolog));
  in.with("epilog", beside(out.epilog));
  const auto around = [&cwd](Istr& to) {
    return [&cwd, &to](std::string_view path) -> Status {
      if (path == "none") return {};
      to = Istr(path.starts_with('/') ? std::string(path) : cwd + "/" + std::string(path));
      return plain_text(path);
    };
  };
  in.with("task-prolog", around(out.run.task_prolog));
  in.with("task-epilog", around(out.run.task_epilog));
  out.run.pty = parsed.has("pty");
  out.run.detach = parsed.has("detach");
  out.immediate = parsed.has("immediate");
  out.quit_on_interrupt = parsed.has("quit-on-interrupt");
  if (parsed.has("multi-prog") && !parsed.rest.empty()) {
    out.multi_prog = parsed.rest[0];
    out.run.multi_prog = true;
  }
  if (in.error()) return *in.error();
  return out;
}

}  // namespace bai::cli
