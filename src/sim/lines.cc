#include "sim/lines.h"

#include <cerrno>
#include <cstring>

#include "base/fd.h"

namespace bai::sim {

Result<Lines> Lines::open(const std::string& path) {
  errno = 0;
  gzFile file = gzopen(path.c_str(), "rbe");
  if (!file) {
    auto error = errno_error("cannot read the file", path, errno ? errno : ENOMEM);
    error.code = "no_file";
    return error;
  }
  gzbuffer(file, 128 << 10);
  return Lines(path, file);
}

std::string Lines::place() const { return path_ + ":" + std::to_string(number_); }

bool Lines::fill() {
  if (at_end_ || !status_.ok()) return false;
  buffer_.erase(0, at_);
  at_ = 0;
  const auto before = buffer_.size();
  constexpr std::size_t kPiece = 64 << 10;
  buffer_.resize(before + kPiece);
  const int got = gzread(file_.get(), buffer_.data() + before, kPiece);
  buffer_.resize(before + static_cast<std::size_t>(got < 0 ? 0 : got));
  int code = Z_OK;
  const char* why = gzerror(file_.get(), &code);
  if (got < 0 || (code != Z_OK && code != Z_STREAM_END)) {
    status_ = Error{"bad_file", code == Z_ERRNO ? strerror(errno) : why, path_, ""};
    return false;
  }
  bytes_ += static_cast<std::uint64_t>(got);
  if (bytes_ > kMaxBytes) {
    status_ =
        Error{"bad_file", "it is longer than " + std::to_string(kMaxBytes >> 30) + " GiB", path_, "split it"};
    return false;
  }
  at_end_ = got == 0;
  return got > 0;
}

bool Lines::next(std::string_view& line) {
  too_long_ = false;
  std::size_t searched = 0;
  for (;;) {
    const auto end = buffer_.find('\n', at_ + searched);
    if (end != std::string::npos) {
      line = std::string_view(buffer_).substr(at_, end - at_);
      at_ = end + 1;
      break;
    }
    searched = buffer_.size() - at_;
    if (searched > kMaxLine) {  // the rest of it is of no interest
      too_long_ = true;
      at_ = buffer_.size() - kMaxLine;
      searched = kMaxLine;
    }
    if (fill()) continue;
    if (!status_.ok() || searched == 0) return false;
    line = std::string_view(buffer_).substr(at_);
    at_ = buffer_.size();
    break;
  }
  ++number_;
  too_long_ |= line.size() > kMaxLine;
  line = line.substr(0, kMaxLine);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return true;
}

}  // namespace bai::sim
