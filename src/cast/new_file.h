// A file that appears in its place whole, or not at all. One thread.
#pragma once

#include <sys/types.h>
#include <time.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace bai::cast {

struct FileLook {
  mode_t mode = 0600;            // permissions
  std::optional<timespec> read;  // times of last reading and writing; absent: now
  std::optional<timespec> written;
};

class NewFile {
 public:
  // Nothing is seen under `path` yet. Without `replace` a file that is there is an error. Errors: exists, io_error.
  static Result<NewFile> make(const std::string& path, bool replace);
  NewFile(NewFile&&) = default;
  NewFile& operator=(NewFile&&) = default;
  ~NewFile();  // forgets what was not finished

  Status write(std::string_view bytes);
  std::uint64_t size() const { return size_; }
  // Puts it in its place. Errors: exists, io_error.
  Status finish(const FileLook& look);

 private:
  NewFile(std::string path, bool replace) : path_(std::move(path)), replace_(replace) {}
  std::string path_;
  bool replace_;
  Fd fd_;
  std::string temporary_;  // its name while it has one
  std::uint64_t size_ = 0;
};

}  // namespace bai::cast
