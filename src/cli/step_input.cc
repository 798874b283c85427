#include "cli/step_input.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "model/filename.h"
#include "step/streams.h"

namespace bai::cli {

Result<StepInput> StepInput::open(const std::string& word, const StepLayout& layout) {
  StepInput in;
  in.credit_.assign(layout.ranks.size(), step::kInputWindow);
  in.over_.assign(layout.ranks.size(), false);
  const StepTarget target = parse_step_target(word, layout.task_count());
  switch (target.kind) {
    case StepTarget::Kind::all:
      break;
    case StepTarget::Kind::none:
      in.ended_ = true;
      break;
    case StepTarget::Kind::one:
      in.task_ = target.task;
      for (std::size_t node = 0; node < layout.ranks.size(); ++node)
        if (std::count(layout.ranks[node].begin(), layout.ranks[node].end(), target.task) > 0)
          in.node_ = node;
      break;
    case StepTarget::Kind::file: {
      if (!is_one_file(target.pattern)) {  // each task's own, opened on its node
        in.ended_ = true;
        break;
      }
      FilenameContext names;
      names.job = layout.job;
      names.step = layout.step;
      const std::string name = expand_filename(target.pattern, names);
      in.file_.reset(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
      if (!in.file_)
        return Error{"io_error", std::string("Could not open stdin file: ") + strerror(errno), "",
                     "file " + name};
      in.fd_ = in.file_.get();
    }
  }
  return in;
}

std::uint32_t StepInput::room() const {
  std::uint32_t least = 0;
  bool any = false;
  for (std::size_t node = 0; node < credit_.size(); ++node) {
    if (!wanted_by(node) || over_[node]) continue;
    least = any ? std::min(least, credit_[node]) : credit_[node];
    any = true;
  }
  return least;
}

bool StepInput::wanted() const { return !ended_ && !paused_ && room() > 0; }

void StepInput::credit(std::size_t node, std::uint32_t bytes) {
  if (node < credit_.size()) credit_[node] = std::min(credit_[node] + bytes, step::kInputWindow);
}

void StepInput::over(std::size_t node) {
  if (node < over_.size()) over_[node] = true;
}

std::string StepInput::take() {
  std::string bytes(room(), '\0');
  const ssize_t n = read(fd_, bytes.data(), bytes.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return {};
  if (n < 0 && errno == EIO && isatty(fd_) && tcgetpgrp(fd_) != getpgrp()) {
    paused_ = true;
    return {};
  }
  if (n <= 0) {
    ended_ = true;
    return {};
  }
  bytes.resize(static_cast<std::size_t>(n));
  for (std::size_t node = 0; node < credit_.size(); ++node)
    if (wanted_by(node) && !over_[node]) credit_[node] -= static_cast<std::uint32_t>(n);
  return bytes;
}

}  // namespace bai::cli
