// The sockets over which the tasks of a node speak PMI-1 to their shepherd. A task that breaks the protocol, or does not read its answers, is
// cut off; the others do not notice.
// The shepherd's only thread.
#pragma once

#include <poll.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "step/launch.h"
#include "step/pmi1.h"

namespace bai::step {

class PmiSockets {
 public:
  struct Handlers {
    std::function<void(const std::string& payload)> send;     // to the hub
    std::function<void(int exit_code, uint32_t rank)> abort;  // a task asks for the end of the step
  };
  PmiSockets(const StepLaunch& launch, Handlers handlers);

  // The end for one more task (in the order of the launch's) and its environment. Errors: io_error.
  Result<Fd> add_task(uint32_t rank, std::vector<std::string>* env);

  // From the hub.
  void take(std::string_view payload);
  // The task's process has ended; what it still said is heard, and no more. True when it was in MPI to the last.
  bool task_ended(uint32_t rank);
  // Is any task in MPI?
  bool any_in_mpi() const;

  void add_pollfds(std::vector<pollfd>* fds);
  void serve(const std::vector<pollfd>& fds);

 private:
  struct Task {
    Fd fd;
    uint32_t rank = 0;
    bool ended = false;
    std::string in, out;
    int slot = -1;
  };
  enum class Read : uint8_t { kSome, kNothing, kOver };
  Read read_lines(size_t index);
  bool write_out(Task& task);

  Handlers handlers_;
  uint32_t size_;
  std::string name_;
  Pmi1 pmi_;
  std::vector<Task> tasks_;
};

}  // namespace bai::step
