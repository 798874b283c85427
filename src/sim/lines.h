// Lines: a text file, plain or gzip'd, line by line. For files from anywhere: the length of a line and of the whole (after
// unpacking) are bounded, and bytes that are no text are the caller's to refuse. One thread.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bai::sim {

class Lines {
 public:
  static constexpr std::size_t kMaxLine = 4096;                        // bytes
  static constexpr std::uint64_t kMaxBytes = std::uint64_t{16} << 30;  // of the file, unpacked

  // Errors: no_file.
  static Result<Lines> open(const std::string& path);

  // The next line, without its end, valid until the next call; of one that is too long only the beginning. False at the end of the file,
  // and when it cannot be read on: see status().
  bool next(std::string_view& line);
  bool too_long() const { return too_long_; }       // the line that next() gave
  std::uint64_t number() const { return number_; }  // of that line, from 1
  std::string place() const;                        // "FILE:LINE"
  const std::string& path() const { return path_; }
  // Errors: bad_file (a broken gzip file, a reading error, more than kMaxBytes).
  const Status& status() const { return status_; }

 private:
  struct Close {
    void operator()(gzFile file) const { gzclose(file); }
  };
  explicit Lines(std::string path, gzFile file) : path_(std::move(path)), file_(file) {}
  bool fill();

  std::string path_;
  std::unique_ptr<gzFile_s, Close> file_;
  std::string buffer_;
  std::size_t at_ = 0;  // of what is not read yet
  std::uint64_t number_ = 0, bytes_ = 0;
  bool too_long_ = false, at_end_ = false;
  Status status_;
};

// Broken lines that were skipped: how many, and the first few in words.
struct Broken {
  static constexpr std::size_t kTold = 10;
  std::uint64_t count = 0;
  std::vector<std::string> first;  // "FILE:LINE: what is wrong"

  // One more: the line that `lines` gave last. With `strict` that is an error: bad_trace.
  Status add(const Lines& lines, const std::string& wrong, bool strict);
};

}  // namespace bai::sim
