// The standard input of a step's tasks, as the client has it: a descriptor or a file, for all tasks or for one; no more is read than the nodes
// have room for. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "cli/step_layout.h"
#include "cli/step_target.h"
#include "step/stream_frames.h"

namespace bai::cli {

class StepInput {
 public:
  // `word`: srun's -i. Errors: io_error ("Could not open stdin file: ...").
  static Result<StepInput> open(const std::string& word, const StepLayout& layout);

  // Whom it is for: a rank or step::kAllTasks. Nodes without any of these get its end at once.
  std::uint32_t task() const { return task_; }
  bool wanted_by(std::size_t node) const { return node == node_ || node_ == kEveryNode; }
  // There may be more, and there is room: poll fd() for reading.
  bool wanted() const;
  int fd() const { return fd_; }
  // Bytes that may be sent to every node that it is for.
  void credit(std::size_t node, std::uint32_t bytes);
  // That node reads no more.
  void over(std::size_t node);
  // What can be read and sent now; empty: the end, or nothing yet (see ended()).
  std::string take();
  bool ended() const { return ended_; }
  // It is a terminal that another job of the shell has: read on after SIGCONT.
  void go_on() { paused_ = false; }

 private:
  static constexpr std::size_t kEveryNode = SIZE_MAX;
  std::uint32_t room() const;
  Fd file_;
  int fd_ = 0;
  std::uint32_t task_ = step::kAllTasks;
  std::size_t node_ = kEveryNode;
  bool ended_ = false;
  bool paused_ = false;
  std::vector<std::uint32_t> credit_;  // of each node
  std::vector<bool> over_;
};

}  // namespace bai::cli
