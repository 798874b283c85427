// The PMIx server of this node as its shepherd has it: a process of the job's user, bai-pmixd, since libpmix has threads, modules and clients of its own
// choosing, and nothing of that belongs into a shepherd. If it dies, the ranks are lost.
// The shepherd's only thread.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "step/launch.h"
#include "step/pmix_frames.h"

namespace bai::step {

constexpr int64_t kPmixFarewellMs = 2500;  // for it to clean up after its ranks

class PmixChild {
 public:
  struct Handlers {
    std::function<void(uint32_t node, std::string_view message)> send;  // to that node's server
    std::function<void(int exit_code, uint32_t rank, const std::string& words)> abort;
    std::function<void(const std::string& why)> broken;  // it is gone, or talks nonsense; once
  };
  // Starts it in the step's cgroups and waits until it serves, at most kPmixReadyMs. `dir`: the step's spool directory. Errors: io_error.
  static Result<std::unique_ptr<PmixChild>> start(const StepLaunch& launch, const std::string& dir,
                                                  const std::vector<std::string>& cgroups, Handlers handlers);
  ~PmixChild();  // kills it, if it was not reaped
  PmixChild(const PmixChild&) = delete;
  PmixChild& operator=(const PmixChild&) = delete;

  void add_task(uint32_t rank, std::vector<std::string>* env);
  // From another node's server.
  void take(uint32_t from, std::string_view message);
  // The task's process has ended; what it still said is heard. True when it was in MPI to the last.
  bool task_ended(uint32_t rank);
  bool any_in_mpi() const { return !in_mpi_.empty(); }
  // All tasks have ended: it may go.
  void let_go();
  // A process that was reaped: was it this one?
  bool reaped(pid_t pid);

  // `reading`: may it send?
  void add_pollfds(std::vector<pollfd>* fds, bool reading);
  void serve(const std::vector<pollfd>& fds);

 private:
  PmixChild(const StepLaunch& launch, std::string dir, Handlers handlers);
  Status spawn(const std::vector<std::string>& cgroups);
  Status await_ready();
  // False: it said nothing more, for now or for good.
  bool read_frames();
  bool read_words();
  void await_words();
  Status on_frame(const PmixFrame& frame);
  void put(PmixFrameType type, std::string_view body);
  void write_out();
  void break_off(const std::string& why);

  const StepLaunch& launch_;
  const std::string dir_;
  Handlers handlers_;
  pid_t pid_ = 0;  // 0: reaped
  Fd socket_, words_;
  std::string said_;  // the end of what it wrote to its standard error
  std::string in_;
  std::deque<std::string> out_;
  size_t out_at_ = 0, out_bytes_ = 0;
  int slot_ = -1, words_slot_ = -1;
  bool ready_ = false, broken_ = false, over_ = false;
  std::string failure_;
  PmixEnvironment environment_;
  std::set<uint32_t> in_mpi_;
};

}  // namespace bai::step
