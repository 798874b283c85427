// The processes of a private cluster: started apart from their starter, written down in DIR/run/NAME.pid (the
// pid) and NAME.start (when it started, in which boot), and found again by both, so that a number which the
// kernel gave to somebody else is never signalled. bai-cluster is single-threaded; so is this.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "cluster/interrupt.h"
#include "cluster/layout.h"

namespace bai::cluster {

// An ordinary user that a child becomes.
struct RunAs {
  uid_t uid = 0;
  gid_t gid = 0;
};

struct Process {
  std::string name;
  pid_t pid = 0;
  Fd pidfd;  // readable when it has ended
};

// Starts argv in a session of its own; input from /dev/null, output and errors appended to DIR/log/NAME.log,
// nothing else open, `/` as working directory, the environment inherited. The child writes its own pid file
// before it becomes the program, so none is lost when we die. Errors: spawn_failed.
Result<Process> start_process(const Layout& layout, const std::string& name,
                              const std::vector<std::string>& argv, std::optional<RunAs> as = {});
// The same, waiting for its end and that of all that it started: for initdb. Errors: interrupted, the program failed; the
// message ends with the last lines of its log.
Status run_process(const Layout& layout, const std::string& name, const std::vector<std::string>& argv,
                   std::optional<RunAs> as, Interrupt& interrupt);

// The process of this name if it runs.
std::optional<Process> find_process(const Layout& layout, const std::string& name);

// Ends it: the signal, up to `grace_ms` of waiting, SIGKILL. Removes its pid file. Errors: not_ended.
Status stop_process(const Layout& layout, Process process, int signum, int grace_ms);
void remove_pid_files(const Layout& layout, const std::string& name);
// Ends what a program has left in the session that start_process() made for it; the program itself is gone.
void end_session(pid_t session);

// Waits until `done` says yes, asking it first at once and then whenever `pause_ms` have passed or something
// happened: one of `watched` ended (error daemon_died, with its log's last lines), a signal came
// (interrupted), `timeout_ms` passed (timed_out, with `what`).
Status wait_until(const Layout& layout, const std::vector<const Process*>& watched, Interrupt& interrupt,
                  int timeout_ms, int pause_ms, const std::string& what, const std::function<bool()>& done);

// Waits until it has ended. False after the timeout.
bool wait_for_end(const Process& process, int timeout_ms);

// The last lines of a log, for an error's message; empty when there are none.
std::string log_tail(const std::string& path, std::size_t lines = 5);

// An executable of this name in PATH or in the system's directories.
std::optional<std::string> find_program(const std::string& name);

}  // namespace bai::cluster
