// What the tasks of a step write, put where the user wants it: labelled or not, whole lines of each task together, into the command's own
// streams or into files. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/sink.h"
#include "cli/step_layout.h"
#include "cli/step_target.h"

namespace bai::cli {

struct StepOutputOptions {
  std::string output;  // srun's -o; empty: all
  std::string error;   // -e; empty: as -o
  bool label = false;
  bool unbuffered = false;  // bytes as they come, not whole lines
  bool append = false;
  std::string user{};      // for %u
  std::string job_name{};  // for %x
};

class StepOutput {
 public:
  // Opens the files. Errors: io_error, in srun's words ("Could not open stdout file: No such file or directory").
  static Result<StepOutput> open(const StepOutputOptions& options, const StepLayout& layout);

  // From a task; `error`: of its standard error. An empty text is the end of that stream.
  void take(std::uint32_t task, bool error, std::string_view bytes);
  // What some sink has not taken: nothing more should come in until it has.
  const Sink* blocked() const;
  void go_on();
  // Writes all that is left, also unfinished lines.
  void finish();
  // errno's value when the command's own output cannot be written any more.
  int broken() const { return shared_[0] ? shared_[0]->broken() : 0; }

 private:
  struct Stream {
    Sink* to = nullptr;  // none: dropped
    std::string line;    // without its end yet
  };
  explicit StepOutput(const StepOutputOptions& options) : options_(options) {}
  Status open_stream(const StepLayout& layout, bool error);
  Result<Sink*> file(const std::string& name, bool error);
  Sink* own(bool error);
  void put_lines(Stream& stream, std::uint32_t task, std::string_view bytes);
  void put_line(Stream& stream, std::uint32_t task, std::string_view line, bool whole);

  StepOutputOptions options_;
  bool raw_ = false;
  int label_width_ = 1;
  std::unique_ptr<Sink> shared_[2];
  std::map<std::string, std::unique_ptr<Sink>> files_;
  std::vector<Stream> streams_[2];  // by rank
};

}  // namespace bai::cli
