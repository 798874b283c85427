#include "sim/replay.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "base/fd.h"
#include "sokovan/plugins.h"
#include "sokovan/recording.h"

namespace bai::sim {
namespace {

// A window on a file: what is to be decoded next is at its beginning.
class Window {
 public:
  explicit Window(Fd fd) : fd_(std::move(fd)) {}
  std::string_view bytes() const { return std::string_view(buffer_).substr(at_); }
  void skip(std::size_t n) { at_ += n; }
  // False at the end of the file; then, or after an error, nothing was added.
  Result<bool> more() {
    buffer_.erase(0, at_);
    at_ = 0;
    const auto before = buffer_.size();
    // Ever more of it, so that a long record is not looked at again for every few bytes.
    buffer_.resize(before + std::max<std::size_t>(before, 1 << 20));
    ssize_t got = 0;
    do got = read(fd_.get(), buffer_.data() + before, buffer_.size() - before);
    while (got < 0 && errno == EINTR);
    const int err = errno;
    buffer_.resize(before + static_cast<std::size_t>(got < 0 ? 0 : got));
    if (got < 0) return errno_error("cannot be read", "", err);
    return got > 0;
  }

 private:
  Fd fd_;
  std::string buffer_;
  std::size_t at_ = 0;
};

Status play(const sokovan::Recorded& recorded, const sokovan::PlacementSource& plugins,
            std::optional<sokovan::Scheduler>& scheduler, Replayed& out) {
  if (recorded.change) {
    ++out.changes;
    if (const auto* set = std::get_if<sokovan::PartitionSet>(&*recorded.change))
      if (auto good = sokovan::check_placement(*set->partition, plugins); !good) return good;
    scheduler->apply(*recorded.change);
  } else if (recorded.decided) {
    ++out.decisions;
    const auto& before = *recorded.decided;
    out.starts += before.decisions.starts.size();
    const auto now = scheduler->decide(before.now, before.budget);
    const auto text = sokovan::difference(before.decisions, now);
    if (!text.empty() && out.different++ == 0)
      out.first_difference =
          "decision " + std::to_string(out.decisions) + ", " + format_timestamp(before.now) + ": " + text;
  } else {
    scheduler.emplace(plugins);
  }
  return {};
}

}  // namespace

Result<Replayed> replay_file(const std::string& path, const sokovan::PlacementSource& plugins) {
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    auto error = errno_error("cannot read the file", path, errno);
    error.code = "no_file";
    return error;
  }
  Window window(std::move(fd));
  Replayed out;
  std::optional<sokovan::Scheduler> scheduler(std::in_place, plugins);
  sokovan::RecordingReader reader;
  bool begun = false;
  std::uint64_t offset = 0;
  for (;;) {
    std::size_t used = 0;
    std::optional<Error> wrong;
    if (!begun) {
      auto program = sokovan::RecordingReader::header(window.bytes(), used);
      if (!program.ok())
        wrong = program.error();
      else
        out.program = *program, begun = used != 0;
    } else {
      auto recorded = reader.next(window.bytes(), used);
      if (!recorded.ok())
        wrong = recorded.error();
      else if (used)
        if (auto played = play(*recorded, plugins, scheduler, out); !played) return played.error();
    }
    if (wrong) {
      wrong->place = path + ", byte " + std::to_string(offset);
      return *wrong;
    }
    window.skip(used);
    offset += used;
    if (used) continue;
    auto more = window.more();
    if (!more.ok()) return Error{"bad_file", more.error().message, path, ""};
    if (*more) continue;
    out.cut_off = !window.bytes().empty();
    if (!begun) return Error{"bad_recording", "this is no recording of the scheduler", path, ""};
    return out;
  }
}

}  // namespace bai::sim
