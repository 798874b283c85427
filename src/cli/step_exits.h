// How the tasks of a step ended: who runs still, what is said about it in srun's words, and what the command's exit status is. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/idset.h"
#include "cli/step_layout.h"

namespace bai::cli {

class StepExits {
 public:
  explicit StepExits(const StepLayout& layout);

  // A task began to run; one ended, `status` as of waitpid(2). Repeats are ignored.
  void started(std::uint32_t task);
  void ended(std::uint32_t task, int status);
  // Its node is lost: it ended, nobody knows how; or with a status that was told otherwise.
  void lost(std::size_t node, int status = 1 << 8);

  bool all_ended() const { return running_.empty(); }
  bool any_ended() const { return !ended_.empty(); }
  bool failed(std::uint32_t task) const;
  // As srun's exit code: the highest of the tasks', or 128 and the highest signal.
  int exit_code() const;
  bool signalled() const;
  void at_least(int code) { least_ = code; }
  // The step ended by its own doing, with this exit code, whatever its tasks ended with (MPI_Abort); 0: with theirs.
  void decided(int code) { decided_ = code; }

  // "n1: tasks 0-1: Exited with exit code 3" for what ended badly since the last call, one line for what is alike.
  std::vector<std::string> news();
  // "StepId=7.0 tasks 0-1: running"
  std::vector<std::string> states() const;

 private:
  struct News {
    std::size_t node;
    int status;
    IdSet tasks;
  };
  const StepLayout& layout_;
  std::vector<std::uint32_t> node_of_;
  std::vector<int> status_;
  IdSet running_, ended_, begun_;
  std::vector<News> news_;
  int worst_ = 0;
  int least_ = 0;
  int decided_ = 0;
};

}  // namespace bai::cli
