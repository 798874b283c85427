#include "cli/alloc.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/fd.h"
#include "base/text.h"
#include "cli/allocation.h"
#include "cli/begin.h"
#include "cli/run_options.h"
#include "cli/values.h"

namespace bai::cli {
namespace {

constexpr int kRejoinMs = 3'000;
constexpr int kNotFound = 127;

OptionTable alloc_table(const Dialect& dialect) {
  OptionTable table;
  table.program = dialect.program;
  table.synopsis = "[OPTION...] [COMMAND [ARGUMENT...]]";
  table.description =
      "Allocate nodes and run a command beside them: bai-run in it runs there. Without COMMAND, a shell.";
  table.options = allocation_options();
  constexpr auto kReq = ArgKind::required;
  constexpr auto kOpt = ArgKind::optional;
  // clang-format off
  for (const Option& option : std::vector<Option>{
           {.name = "bell", .help = "Accepted", .hidden = true},
           {.name = "chdir", .letter = 'D', .arg = kReq, .value_name = "DIR", .help = "Run the command in this directory"},
           {.name = "exclusive", .arg = kOpt, .value_name = "user", .help = "Whole nodes, shared with no other job"},
           {.name = "immediate", .letter = 'I', .arg = kOpt, .value_name = "S", .help = "Give up when it cannot start at once"},
           {.name = "kill-command", .letter = 'K', .arg = kOpt, .value_name = "SIGNAL", .help = "When the job ends, end the command with this signal (TERM)"},
           {.name = "no-bell", .help = "Accepted", .hidden = true},
           {.name = "no-shell", .help = "Run nothing and leave: the job lasts until its limit or bai-cancel"},
           {.name = "nodes", .letter = 'N', .arg = kReq, .value_name = "N[-M]", .help = "Number of nodes, or least and most"},
           {.name = "ntasks", .letter = 'n', .arg = kReq, .value_name = "N", .help = "Number of tasks to make room for"},
           {.name = "quiet", .letter = 'Q', .help = "Say nothing but errors"},
           {.name = "verbose", .letter = 'v', .help = "Say more", .hidden = true},
       })
    table.options.push_back(option);
  // clang-format on
  add_common_options(table, 'h', 'V', false);
  return table;
}

// The command beside the allocation; 0 when it could not be started.
pid_t start(const std::vector<std::string>& words, const std::vector<std::string>& variables,
            const std::string& dir, const sigset_t& mask) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  for (const auto& variable : variables) putenv(strdup(variable.c_str()));
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  std::string why;
  if (!dir.empty() && chdir(dir.c_str()) != 0) why = "cannot enter " + dir + ": " + strerror(errno);
  if (why.empty()) {
    std::vector<char*> argv;
    for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    why = "cannot run " + words[0] + ": " + strerror(errno);
  }
  why += "\n";
  (void)!write(2, why.data(), why.size());
  _exit(kNotFound);
}

class Command {
 public:
  Command(Session& session, Allocation& allocation, const Reporter& reporter, int kill_signal)
      : session_(session), allocation_(allocation), reporter_(reporter), kill_signal_(kill_signal) {}

  // Until the command has ended; its wait status.
  int run(pid_t pid, int signals) {
    pid_ = pid;
    for (;;) {
      int status = 0;
      if (waitpid(pid_, &status, WNOHANG) == pid_) return status;
      pollfd fds[2] = {{signals, POLLIN, 0}, {joined_ ? session_.fd() : -1, POLLIN, 0}};
      if (poll(fds, 2, joined_ || over_ ? -1 : kRejoinMs) < 0 && errno != EINTR) return status;
      if (fds[0].revents) on_signals(signals);
      if (joined_) listen();
      if (!joined_ && !over_ && !fds[0].revents) rejoin();
    }
  }
  bool over() const { return over_; }

 private:
  // The terminal's signals are the command's, which has them from the terminal.
  void on_signals(int signals) const {
    signalfd_siginfo info;
    while (read(signals, &info, sizeof info) == sizeof info)
      if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGHUP) kill(pid_, static_cast<int>(info.ssi_signo));
  }
  void listen() {
    for (;;) {
      auto reply = session_.poll_reply();
      if (!reply.ok()) {
        joined_ = false;
        return;
      }
      if (!*reply) return;
      if (auto* news = std::get_if<wire::AllocationReply>(&(*reply)->body))
        if (is_finished(news->job->state)) revoked(*news->job);
    }
  }
  void rejoin() {
    session_.be_quick(1);
    const Status again = allocation_.hold_again(session_);
    session_.be_quick(0);
    if (again.ok()) {
      joined_ = true;
    } else if (again.error().code == "no_such_job") {
      revoked(allocation_.job());
    }
  }
  void revoked(const Job& job) {
    if (std::exchange(over_, true)) return;
    joined_ = false;
    reporter_.error_line("Job allocation " + std::to_string(job.id) + " has been revoked" +
                         (job.state == JobState::kTimeout ? " (time limit)" : ""));
    if (kill_signal_ != 0) kill(pid_, kill_signal_);
  }

  Session& session_;
  Allocation& allocation_;
  const Reporter& reporter_;
  int kill_signal_;
  pid_t pid_ = 0;
  bool joined_ = true, over_ = false;
};

Result<int> kill_signal(const Parsed& parsed) {
  const Given* given = parsed.find("kill-command");
  if (!given) return isatty(0) ? SIGHUP : 0;  // a shell is told, as by a terminal that goes
  if (given->value.empty()) return SIGTERM;
  auto signal = parse_signal(given->value);
  if (!signal.ok())
    return Error{signal.error().code, signal.error().message, given->place, signal.error().remedy};
  return static_cast<int>(*signal);
}

}  // namespace

int run_alloc(const Dialect& dialect, int argc, const char* const* argv) {
  Reporter reporter(dialect);
  const OptionTable table = alloc_table(dialect);
  int status = 0;
  auto begun = begin(table, argc, argv, {"BAI_ALLOC_", "SALLOC_"}, reporter, status);
  if (!begun) return status;
  const Parsed parsed = std::move(*begun);
  reporter.set_quiet(parsed.has("quiet"));
  const bool no_shell = parsed.has("no-shell");
  if (no_shell && !parsed.rest.empty())
    return reporter.mistyped(
        {"bad_option", "a command and --no-shell exclude each other", "--no-shell", "leave one out"});
  auto signal = kill_signal(parsed);
  if (!signal.ok()) return reporter.mistyped(signal.error());
  auto submitter = Submitter::here(dialect);
  if (!submitter.ok()) return reporter.refused(submitter.error());
  auto session = Session::open(parsed, reporter);
  if (!session.ok()) return reporter.refused(session.error());

  std::vector<std::string> words = parsed.rest;
  if (words.empty()) {
    const char* shell = getenv("SHELL");
    words = {shell && *shell ? shell : "/bin/sh"};
  }
  sigset_t before;
  sigset_t watched;
  sigemptyset(&watched);
  for (int signum : {SIGCHLD, SIGINT, SIGQUIT, SIGTERM, SIGHUP}) sigaddset(&watched, signum);
  sigprocmask(SIG_BLOCK, &watched, &before);
  AllocationOptions options;
  options.name = parsed.rest.empty() ? "interactive" : words[0].substr(words[0].rfind('/') + 1);
  options.command = parsed.rest.empty() ? std::string() : join(words, " ");
  options.lease = !no_shell;
  options.quiet = parsed.has("quiet");
  options.announce = true;
  options.immediate = parsed.has("immediate");
  auto allocation = Allocation::make(*session, parsed, *submitter, options, reporter);
  if (!allocation.ok()) {
    if (allocation.error().code == "interrupted") {
      reporter.error_line(allocation.error().message);
      return kRefused;
    }
    return reporter.refused(allocation.error(), "Job submit/allocate failed");
  }
  if (no_shell) return 0;

  const Fd signals(signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
  const pid_t pid = start(words, allocation_variables(allocation->job(), allocation->time_limit()),
                          parsed.value_or("chdir", ""), before);
  if (pid <= 0) return reporter.refused(errno_error("cannot make a process for", words[0], errno));
  Command command(*session, *allocation, reporter, *signal);
  const int ended = command.run(pid, signals.get());
  ExitStatus exit;
  if (WIFSIGNALED(ended))
    exit.signal = static_cast<std::uint8_t>(WTERMSIG(ended));
  else
    exit.code = static_cast<std::uint8_t>(WEXITSTATUS(ended));
  if (!command.over()) {
    reporter.note("Relinquishing job allocation " + std::to_string(allocation->id()));
    if (auto given = allocation->give_back(*session, exit); !given.ok())
      reporter.error_line("job " + std::to_string(allocation->id()) +
                          " could not be given back: " + given.error().text());
  }
  return exit.signal ? 128 + exit.signal : exit.code;
}

}  // namespace bai::cli
