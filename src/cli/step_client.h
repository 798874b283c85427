// The client's end of a step (bai-run, bai-attach): listens, lets the shepherds of the step connect, copies streams, forwards signals, says in srun's
// words what happens, and knows the exit status.
//   StepClient client(options, reporter);
//   client.listen({});              // then the launch is asked for, with client.endpoints() and client.key()
//   client.begin(layout);           // opens the files of -o, -e and -i
//   client.watch(fd, POLLIN, [&](short) { ... client.node_lost(...) ... });
//   return client.run();
// One thread, in a process whose signals run() may take over.
#pragma once

#include <poll.h>

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/fd.h"
#include "base/result.h"
#include "cli/raw_terminal.h"
#include "cli/report.h"
#include "cli/step_exits.h"
#include "cli/step_input.h"
#include "cli/step_layout.h"
#include "cli/step_output.h"
#include "step/handshake.h"
#include "step/stream_link.h"

namespace bai::cli {

struct StepClientOptions {
  StepOutputOptions output{};
  std::string input{};  // srun's -i; empty: all
  bool pty = false;
  bool kill_on_bad_exit = false;   // -K
  std::uint64_t wait_s = 0;        // -W; 0: for ever
  bool quit_on_interrupt = false;  // the first Ctrl-C ends the step
  bool disable_status = false;     // -X: the first Ctrl-C goes to the tasks
  bool attached = false;           // to a step that others run: Ctrl-C leaves it
  std::uint64_t kill_wait_s = 30;
  // Asks the controller to end the step; for nodes that have not connected. May be empty.
  std::function<void(int signum)> end_step{};
};

// A port of this command's that nodes dial.
struct ClientPort {
  Fd listener;
  std::vector<std::string> endpoints;
};
// `addresses` (numeric) are what nodes are told, in order of preference; empty: this machine's. Errors: io_error.
Result<ClientPort> open_client_port(const std::vector<std::string>& addresses);

class StepClient {
 public:
  StepClient(StepClientOptions options, const Reporter& reporter);
  ~StepClient();
  StepClient(const StepClient&) = delete;
  StepClient& operator=(const StepClient&) = delete;

  // Opens a port, as open_client_port() does.
  Status listen(const std::vector<std::string>& addresses);
  const std::vector<std::string>& endpoints() const { return endpoints_; }
  const std::string& key() const { return key_; }

  // Errors: io_error in srun's words.
  Status begin(StepLayout layout);
  // Until the step has ended on all nodes, or is given up. Returns the exit status.
  int run();

  // One more descriptor for run() to watch; called again it replaces the last one, -1 ends it.
  void watch(int fd, short events, std::function<void(short)> ready);
  // From what is watched: the node will not be heard of again; the whole step will not (`why`, if any, is said).
  void node_lost(std::size_t node, const std::string& why, int status = 1 << 8);
  // `status`, as of waitpid(2): of tasks on nodes that never called.
  void step_lost(const std::string& why, int status = 1 << 8);
  // A node is connected and has not said its last word.
  bool hears() const;
  // Why the step ended by its own doing, if it did, as it was said already.
  const std::string& end_reason() const { return end_reason_; }
  // SIGTERM, later SIGKILL (`at_once`: that now) to all tasks.
  void terminate(bool at_once, const std::string& why);

 private:
  struct Node {
    step::StreamLink link;
    std::optional<std::uint64_t> link_id;
    bool over = false;
  };
  struct Caller {
    step::Handshake handshake;
    std::int64_t until_ms;
    int slot = -1;
  };
  class Signals;

  void add_pollfds(std::vector<pollfd>* fds);
  void serve(const std::vector<pollfd>& fds);
  void admit(const Fd& from);
  void shake(Caller& caller, bool* done);
  void on_frame(std::size_t index, const step::Frame& frame);
  void node_ended(std::size_t index, std::string_view payload);
  void task_ended(std::uint32_t task, int status);
  void end_all(std::size_t index, std::uint8_t exit_code, std::string_view why);
  void ask_to_end(int signum);
  void on_signal(int signum);
  void on_interrupt();
  void forward(int signum);
  void send_all(step::FrameType type, std::uint8_t detail, std::string_view payload);
  void send_input();
  void send_window();
  void abort(int signum);
  void on_time();
  std::int64_t pause_ms() const;
  void say_news();
  bool ended() const;
  void flush();

  const StepClientOptions options_;
  const Reporter& reporter_;
  const Env env_ = Env::real();
  Fd listener_;
  Fd near_;  // for nodes on this machine
  std::vector<std::string> endpoints_;
  std::string key_;
  StepLayout layout_;
  std::optional<StepOutput> output_;
  std::optional<StepInput> input_;
  std::optional<StepExits> exits_;
  RawTerminal terminal_;
  std::vector<Node> nodes_;
  std::vector<int> slots_;
  std::list<Caller> callers_;

  int watched_ = -1;
  short watched_events_ = 0;
  std::function<void(short)> watched_ready_;

  Signals* signals_ = nullptr;
  bool interrupted_ = false;
  std::int64_t interrupt_ms_ = 0, sent_interrupt_ms_ = -1'000'000;
  int forced_ = 0;
  bool aborted_ = false;  // by us or a signal that we passed on
  bool terminating_ = false;
  std::string end_reason_;
  bool left_ = false;
  std::optional<std::int64_t> news_at_, wait_at_, give_up_at_;
};

}  // namespace bai::cli
