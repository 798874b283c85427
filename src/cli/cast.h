// bai-cast (sbcast): puts a file on all nodes of a job, down a tree of receivers (cast/tree.h) that are the tasks of a step.
#pragma once

#include <string>

#include "cast/tree.h"
#include "cli/dialect.h"
#include "cli/report.h"
#include "model/ids.h"

namespace bai::cli {

struct CastRequest {
  JobId job = 0;
  std::string file;
  std::string path;  // absolute: where it goes on each node; with a slash at its end, the directory
  std::uint32_t fanout = cast::kDefaultFanout;
  bool compress = false;
  bool replace = false;
  bool preserve = false;  // times too
  std::string conf;       // --conf; may be empty
};

// The whole of it; the exit status. Takes this process's standard input and its variables for steps: call it before they are needed, or after.
int cast_file(const CastRequest& request, const Reporter& reporter);

// The whole command; its exit status.
int run_cast(const Dialect& dialect, int argc, const char* const* argv);

}  // namespace bai::cli
