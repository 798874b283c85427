#include "cli/cast.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <span>
#include <thread>

#include "base/env.h"
#include "base/fd.h"
#include "base/text.h"
#include "base/units.h"
#include "cast/receiver.h"
#include "cast/source.h"
#include "cli/begin.h"
#include "cli/run.h"
#include "cli/session.h"
#include "cli/step_client.h"
#include "step/task_launch.h"

namespace bai::cli {
namespace {

constexpr std::string_view kReceive = "--receive";  // the first word of a receiver's
constexpr std::uint32_t kMaxFanout = 1000;

OptionTable cast_table(const Dialect& dialect) {
  OptionTable table;
  table.program = dialect.program;
  table.synopsis = "[OPTION...] FILE DESTINATION";
  table.description = "Copy a file to the same place on every node of a job.";
  table.permute = true;
  constexpr auto kReq = ArgKind::required;
  table.options = {
      {.name = "compress",
       .letter = 'C',
       .arg = ArgKind::optional,
       .value_name = "KIND",
       .help = "Compress on the way: zlib, none",
       .env = "COMPRESS"},
      {.name = "fanout",
       .letter = 'F',
       .arg = kReq,
       .value_name = "N",
       .help = "Each node passes the file on to so many (8)",
       .env = "FANOUT"},
      {.name = "force", .letter = 'f', .help = "Replace a file that is there", .env = "FORCE"},
      {.name = "jobid",
       .letter = 'j',
       .arg = kReq,
       .value_name = "JOB",
       .help = "To the nodes of this running job"},
      {.name = "preserve",
       .letter = 'p',
       .help = "Keep the times of last reading and writing",
       .env = "PRESERVE"},
      {.name = "size",
       .letter = 's',
       .arg = kReq,
       .value_name = "SIZE",
       .help = "Ignored",
       .env = "SIZE",
       .hidden = true},
      {.name = "timeout",
       .letter = 't',
       .arg = kReq,
       .value_name = "S",
       .help = "Ignored",
       .env = "TIMEOUT",
       .hidden = true},
      {.name = "verbose", .letter = 'v', .help = "Say more", .hidden = true},
  };
  add_common_options(table, 'h', 'V', false);
  return table;
}

// "/path/bai-cast", beside whatever program this is: what nodes run.
std::string own_program() {
  char path[PATH_MAX] = "";
  const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  if (n <= 0) return "bai-cast";
  return parent_dir(std::string(path, static_cast<std::size_t>(n))) + "/bai-cast";
}

// What a batch script's environment says of its own layout is not meant for the receivers.
void forget_layout() {
  std::vector<std::string> names;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view line = *entry;
    const std::string_view name = line.substr(0, line.find('='));
    if (name == "SLURM_CONF" || name == "SLURM_JOB_ID" || name == "SLURM_JOBID") continue;
    if (name.starts_with("SLURM_") || name.starts_with("BAI_RUN_")) names.emplace_back(name);
  }
  for (const auto& name : names) unsetenv(name.c_str());
}

// Another thread runs the source, with all signals left to this one.
class SourceThread {
 public:
  SourceThread(cast::Source& source, Fd stop) : stop_(std::move(stop)) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this, &source] { result_ = source.run(stop_.get()); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  ~SourceThread() { (void)end(); }
  SourceThread(const SourceThread&) = delete;
  SourceThread& operator=(const SourceThread&) = delete;
  // What came of it.
  Status end() {
    if (thread_.joinable()) {
      const std::uint64_t one = 1;
      (void)!write(stop_.get(), &one, sizeof one);
      thread_.join();
    }
    return result_;
  }

 private:
  Fd stop_;
  Status result_;
  std::thread thread_;
};

std::string time_text(const timespec& t) {
  return std::to_string(t.tv_sec) + "." + std::to_string(t.tv_nsec);
}

// The words of a receiver: --receive FORCE MODE READ WRITTEN ENDPOINTS PATH; the key comes on its standard input.
std::vector<std::string> receiver_words(const CastRequest& request, const struct stat& file,
                                        const std::vector<std::string>& endpoints) {
  return {own_program(),
          std::string(kReceive),
          request.replace ? "1" : "0",
          std::to_string(file.st_mode & 07777),
          request.preserve ? time_text(file.st_atim) : "now",
          request.preserve ? time_text(file.st_mtim) : "now",
          join(endpoints, ","),
          request.path};
}

Result<std::optional<timespec>> parse_time(std::string_view text) {
  if (text == "now") return std::optional<timespec>();
  const auto dot = text.find('.');
  auto seconds = parse_count(text.substr(0, dot), 0, INT64_MAX);
  auto rest = parse_count(dot == text.npos ? "0" : text.substr(dot + 1), 0, 999'999'999);
  if (!seconds.ok() || !rest.ok()) return Error{"bad_value", quote(text) + " is no time"};
  return std::optional(timespec{*seconds, *rest});
}

Result<std::uint32_t> number_in(const char* bai, const char* slurm) {
  const char* text = getenv(bai);
  if (!text) text = getenv(slurm);
  auto number = parse_count(text ? text : "", 0, 1 << 20);
  if (!number.ok())
    return Error{"bad_value", std::string(bai) + " is no number", "",
                 "receivers are started by bai-cast alone"};
  return static_cast<std::uint32_t>(*number);
}

std::string node_name() {
  const char* name = getenv("SLURMD_NODENAME");
  return name ? name : "";
}

// %N is the node's name: nodes may share the directory.
std::string expand_node(std::string path) {
  for (std::size_t at = 0; (at = path.find("%N", at)) != path.npos; at += node_name().size())
    path.replace(at, 2, node_name());
  return path;
}

Status receive(std::span<const char* const> words) {
  if (words.size() != 6) return Error{"bad_option", "receivers are started by bai-cast alone"};
  cast::ReceiverPlan plan;
  plan.replace = std::string_view(words[0]) == "1";
  auto mode = parse_count(words[1], 0, 07777);
  auto read_at = parse_time(words[2]), written_at = parse_time(words[3]);
  auto rank = number_in("BAI_PROCID", "SLURM_PROCID");
  auto count = number_in("BAI_STEP_NUM_TASKS", "SLURM_STEP_NUM_TASKS");
  for (const Error* error : {mode.ok() ? nullptr : &mode.error(), read_at.ok() ? nullptr : &read_at.error(),
                             written_at.ok() ? nullptr : &written_at.error(),
                             rank.ok() ? nullptr : &rank.error(), count.ok() ? nullptr : &count.error()})
    if (error) return *error;
  plan.look = {static_cast<mode_t>(*mode), *read_at, *written_at};
  plan.rank = *rank;
  plan.count = *count;
  for (const std::string_view endpoint : split(words[4], ',')) plan.root.emplace_back(endpoint);
  plan.path = expand_node(words[5]);
  plan.key.resize(step::kStreamKeyBytes);
  std::size_t have = 0;
  while (have < plan.key.size()) {
    const ssize_t n = read(0, plan.key.data() + have, plan.key.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Error{"gone", "the command that sends the file has gone"};
    have += static_cast<std::size_t>(n);
  }
  return cast::Receiver::run(plan);
}

Result<CastRequest> make_cast(const Parsed& parsed) {
  CastRequest out;
  const char* job = getenv("BAI_JOB_ID");
  if (!job) job = getenv("SLURM_JOB_ID");
  const std::string id = parsed.value_or("jobid", job ? job : "");
  if (id.empty())
    return Error{"bad_option", "to the nodes of which job?", "--jobid",
                 "run it in a job, or name one with --jobid"};
  auto number = parse_count(id, 1, 0xffffffff);
  if (!number.ok()) return Error{"bad_value", quote(id) + " is no job", "--jobid", ""};
  out.job = static_cast<JobId>(*number);
  const std::string kind = parsed.has("compress") ? parsed.value_or("compress", "") : "none";
  if (kind != "" && kind != "zlib" && kind != "lz4" && kind != "none")
    return Error{"bad_value", quote(kind) + " is no way to compress", "--compress", "zlib or none"};
  out.compress = kind != "none";
  auto fanout = parse_count(parsed.value_or("fanout", std::to_string(cast::kDefaultFanout)), 1, kMaxFanout);
  if (!fanout.ok()) return Error{"bad_value", fanout.error().message, "--fanout", "a number from 1 to 1000"};
  out.fanout = static_cast<std::uint32_t>(*fanout);
  out.replace = parsed.has("force");
  out.preserve = parsed.has("preserve");
  out.conf = parsed.value_or("conf", "");
  out.file = parsed.rest[0];
  out.path = parsed.rest[1];
  if (!out.path.starts_with('/')) {
    char cwd[PATH_MAX];
    if (!getcwd(cwd, sizeof cwd)) return errno_error("the current directory is unknown", "", errno);
    out.path = std::string(cwd) + "/" + out.path;
  }
  return out;
}

}  // namespace

int cast_file(const CastRequest& asked, const Reporter& reporter) {
  CastRequest request = asked;
  if (request.path.ends_with('/')) request.path += request.file.substr(request.file.rfind('/') + 1);
  Fd file(open(request.file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat look {};
  if (!file || fstat(file.get(), &look) != 0)
    return reporter.refused({"io_error", "Can't open " + quote(request.file) + ": " + strerror(errno)});
  if (!S_ISREG(look.st_mode))
    return reporter.refused(
        {"io_error", quote(request.file) + " is no file", "", "pack a directory with tar(1)"});

  Parsed conf;
  std::vector<std::string> words = {reporter.dialect().slurm ? "srun" : "bai-run",
                                    "--jobid=" + std::to_string(request.job),
                                    "--overlap",
                                    "--ntasks-per-node=1",
                                    "--kill-on-bad-exit=1",
                                    "--mpi=none",
                                    "--cpu-bind=none",
                                    "--job-name=bai-cast",
                                    "--chdir=/"};
  static const Option conf_option{.name = "conf", .arg = ArgKind::required};
  if (!request.conf.empty()) {
    words.push_back("--conf=" + request.conf);
    conf.given.push_back({&conf_option, request.conf, true, Source::command_line, "--conf"});
  }
  auto session = Session::open(conf, reporter);
  if (!session.ok()) return reporter.refused(session.error());
  if (auto connected = session->connect(); !connected.ok()) return reporter.refused(connected.error());
  const std::string address = session->own_address();
  auto port = open_client_port(address.empty() ? std::vector<std::string>() : std::vector{address});
  if (!port.ok()) return reporter.refused(port.error());

  std::string key(step::kStreamKeyBytes, '\0');
  Env::real().random_bytes(key.data(), key.size());
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) return reporter.refused(errno_error("cannot make a pipe", "", errno));
  const Fd from(pipe_ends[0]);
  Fd to(pipe_ends[1]);
  Fd stop(eventfd(0, EFD_CLOEXEC));
  const Fd input(
      fcntl(0, F_DUPFD_CLOEXEC, 3));  // ours again afterwards; a job script's loop may read from it
  if (!stop || write(to.get(), key.data(), key.size()) != static_cast<ssize_t>(key.size()) ||
      dup2(from.get(), 0) < 0)
    return reporter.refused(errno_error("cannot make what the step reads", "", errno));
  to.reset();
  forget_layout();

  for (auto& word : receiver_words(request, look, port->endpoints)) words.push_back(std::move(word));
  std::vector<const char*> argv;
  for (const auto& word : words) argv.push_back(word.c_str());
  argv.push_back(nullptr);
  cast::Source source(std::move(file), std::move(port->listener), key, request.fanout, request.compress);
  SourceThread thread(source, std::move(stop));
  const int status = run_run(reporter.dialect(), static_cast<int>(argv.size()) - 1, argv.data());
  if (input)
    dup2(input.get(), 0);
  else
    close(0);
  if (auto sent = thread.end(); !sent.ok()) return reporter.refused(sent.error());
  return status;
}

int run_cast(const Dialect& dialect, int argc, const char* const* argv) {
  Reporter reporter(dialect);
  if (argc > 1 && argv[1] == kReceive) {
    if (auto received = receive(std::span(argv + 2, static_cast<std::size_t>(argc - 2))); !received.ok()) {
      return reporter.refused(received.error(), node_name());
    }
    return 0;
  }
  const OptionTable table = cast_table(dialect);
  int status = 0;
  auto begun = begin(table, argc, argv, {"BAI_CAST_", "SBCAST_"}, reporter, status);
  if (!begun) return status;
  if (begun->rest.size() != 2)
    return reporter.mistyped(
        {"bad_option", "a file and its destination are needed", "", "write FILE DESTINATION"});
  auto request = make_cast(*begun);
  if (!request.ok()) return reporter.mistyped(request.error());
  return cast_file(*request, reporter);
}

}  // namespace bai::cli
