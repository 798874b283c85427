// The configuration file of srun --multi-prog: which tasks run which program. Lines of `RANKS PROGRAM ARGUMENTS`, RANKS as "0,2-3" or "*"
// for all others; %t stands for the rank, %o for its place within the line's ranks. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/idset.h"
#include "base/result.h"

namespace bai {

class MultiProg {
 public:
  // `ranks` of the step: each must have a line. Errors: bad_multi_prog, with the line.
  static Result<MultiProg> parse(std::string_view text, std::uint32_t ranks);

  // What this rank runs, its patterns replaced.
  std::vector<std::string> words(std::uint32_t rank) const;

 private:
  struct Line {
    IdSet ranks;
    bool rest = false;  // *
    std::vector<std::string> words;
  };
  std::vector<Line> lines_;
};

}  // namespace bai
