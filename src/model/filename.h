// The patterns in output file names: %j, %A, %a, %x, %u, %N, %n, %t, %s, %J and %%, as in sbatch(1), "filename pattern".
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/ids.h"

namespace bai {

// What the patterns stand for. Where a value is not known yet (a waiting job's node), its pattern is kept as it is.
struct FilenameContext {
  JobId job = 0;                       // %j; and %A when there is no array
  JobId array_job = 0;                 // %A; 0: no array
  std::uint32_t array_task = kNoTask;  // %a; prints 4294967294 without an array, as Slurm does
  std::string_view job_name;           // %x; not signed, so its slashes become underscores
  std::string_view user;               // %u
  std::string_view node;               // %N; empty: not known
  std::uint32_t node_index = 0;        // %n, the node's number within the job
  std::uint32_t task = 0;              // %t, the task's rank
  std::string_view step = "batch";     // %s; %J is JOB.STEP
};

// The pattern with everything replaced. %5j pads numbers with zeros to 5 digits (at most 10); a backslash anywhere switches
// replacement off, and is taken out; other letters after % stay as they are. The result is not cut.
std::string expand_filename(std::string_view pattern, const FilenameContext& context);

// The pattern with %x alone replaced, for who signs it before the job's name may be changed. Left as it is where a backslash
// in the pattern or the name stands in the way.
std::string settle_job_name(std::string_view pattern, std::string_view job_name);

// expand_filename(), and relative names made absolute under `workdir`. "/dev/null" for an empty pattern.
std::string expand_path(std::string_view pattern, std::string_view workdir, const FilenameContext& context);

// True when a pattern's first names do not depend on the task's rank or node: one file for the whole job.
bool is_one_file(std::string_view pattern);

}  // namespace bai
