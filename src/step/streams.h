// The streams of the tasks of one node: what they write goes to the clients, what the client sends goes into their stdin. When the client is
// slow the tasks' pipes fill up and nothing is lost; what a task does not read costs at most kInputWindow. Clients that attach later
// get a little of what was before, and hold up nobody for longer than kMaxStallMs.
// The shepherd's only thread; times are monotonic milliseconds.
#pragma once

#include <poll.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "step/protocol.h"
#include "step/task_launch.h"
#include "step/uplink.h"

namespace bai::step {

constexpr uint32_t kInputWindow = 64u << 10;  // bytes of stdin that a client may have under way
constexpr int64_t kMaxStallMs = 5000;
constexpr size_t kBacklogBytes = 16u << 10;
constexpr size_t kMaxAttached = 8;

class Streams {
 public:
  // What clients ask for beside bytes.
  struct Handlers {
    std::function<void(int signum)> signal;
    std::function<void(bool at_once, const std::string& why)> terminate;
    std::function<void(uint8_t exit_code, const std::string& why)> end_all;
    std::function<void(const std::string& why)> client_gone;  // once, and not when it took its leave
  };
  // `user`: whose step it is, and whose its clients are.
  Streams(const StreamPlan& plan, uid_t user, Handlers handlers, int64_t now_ms);

  // Non-blocking descriptors of ours; absent ones are files, or nothing. A terminal's are two of its master.
  void add_task(uint32_t rank, Fd in, Fd out, Fd err);
  // Window sizes go there; `master` belongs to the caller's rank and lives as long as its output.
  void set_terminal(int master) { terminal_ = master; }

  // A further client. Errors: busy (too many), bad_value.
  Status attach(const AttachRequest& request, int64_t now_ms);

  void add_pollfds(std::vector<pollfd>* fds);
  void serve(const std::vector<pollfd>& fds, int64_t now_ms);
  void on_time(int64_t now_ms);
  // Until on_time() has something to do; -1: nothing.
  int64_t pause_ms(int64_t now_ms) const;

  // For all clients, and for those that attach later.
  void tasks_started(const StartedTasks& started);
  void task_ended(uint32_t rank, int wait_status);
  void note(const std::string& line);
  void step_ended(const StepStatus& status);
  // To the step's own client alone. False: there is none.
  bool send_own(FrameType type, uint8_t detail, std::string_view payload);

  // Is there, or may there be again, a client that sees to the step?
  bool has_client() const { return !client_over_; }
  // Nothing more will come from the tasks.
  bool drained() const { return outputs_.empty(); }
  // Stops reading what the tasks write: processes that cannot be ended hold their ends.
  void stop_outputs();
  // Every client has all, or is gone.
  bool delivered() const;
  // Lets go of all clients.
  void close();

 private:
  struct Output {
    Fd fd;
    uint32_t rank;
    uint8_t which;
    int slot = -1;
  };
  struct Client {
    Client(Uplink link, bool may_write) : up(std::move(link)), input(may_write) {}
    Uplink up;
    bool input;                  // may send stdin and signals
    uint32_t in_flight = 0;      // of its stdin, not yet in the tasks
    uint32_t credit = 0;         // to be given back
    int64_t stalled_since = -1;  // an attached one: without room
  };
  // Bytes of stdin; when the last task has read them the client may send as many more.
  struct Segment {
    Segment(Streams* s, Client* c, std::string_view text) : streams(s), from(c), bytes(text) {}
    ~Segment() { streams->used(from, bytes.size()); }
    Segment(const Segment&) = delete;
    Segment& operator=(const Segment&) = delete;
    Streams* streams;
    Client* from;
    std::string bytes;
  };
  struct Input {
    Fd fd;
    uint32_t rank;
    bool terminal;
    bool ends = false;  // closed once the queue is empty
    std::deque<std::shared_ptr<Segment>> queue;
    size_t at = 0;  // in the first
    int slot = -1;
  };

  bool can_read() const;
  bool read_output(Output& output);
  void send_output(uint32_t rank, uint8_t which, std::string_view bytes);
  void remember(uint32_t rank, uint8_t which, std::string_view bytes);
  void write_input(Input& input);
  void on_frame(Client& client, const Frame& frame);
  void take_input(Client& client, const Frame& frame);
  void used(Client* client, size_t bytes);
  void give_credit();
  void sweep(int64_t now_ms);
  template <class F>
  void each_client(F f);

  const bool detach_;
  const uid_t user_;
  const uint32_t node_index_;
  Handlers handlers_;
  std::list<Client> clients_;
  bool client_over_;  // the step's own client is gone, or there never was one
  std::vector<Output> outputs_;
  std::list<Input> inputs_;
  int terminal_ = -1;
  std::unique_ptr<char[]> scratch_;

  struct Remembered {
    FrameType type;
    uint8_t which;
    uint32_t rank;
    std::string bytes;
  };
  std::deque<Remembered> backlog_;
  size_t backlog_bytes_ = 0;
  std::vector<Remembered> ended_;  // tasks, and the step
  std::string started_;
};

}  // namespace bai::step
