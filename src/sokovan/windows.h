// Windows: for one need, all stretches of time in which nodes have as much free, by their beginnings. Where hundreds of starts are
// planned on the same nodes, the earliest time at which k of them are free together is one walk over it. Private to sokovan.
#pragma once

#include <cstdint>
#include <vector>

#include "sokovan/arena.h"
#include "sokovan/option.h"

namespace bai::sokovan {

class Windows {
 public:
  // Of the positions that `option` may use and that are up.
  Windows(const Nodes& nodes, const Option& option);

  // The earliest start at or after `from` for k nodes and so long a time, and which nodes: those whose windows end first.
  // False when there is none.
  bool earliest(std::uint32_t k, Time from, Seconds limit, Time& at, std::vector<std::uint32_t>& positions);
  std::uint64_t steps = 0;  // windows looked at

 private:
  struct Window {
    Time from, to;
    std::uint32_t position;
    friend bool operator<(const Window& a, const Window& b) {
      return a.from != b.from ? a.from < b.from : a.position < b.position;
    }
  };
  struct Chunk {
    std::vector<Window> windows;  // sorted
    std::int64_t longest = 0;     // microseconds
    Time last_end;
    void measure();
  };
  void catch_up();
  void renew(std::uint32_t position, Time from, Time to);
  void insert(const Window& window);
  void erase(const Window& window);
  std::size_t chunk_of(const Window& window) const;

  const Nodes& nodes_;
  std::uint32_t arena_;
  std::shared_ptr<const Filter> filter_;
  Amounts least_;
  std::size_t seen_ = 0;  // of nodes.log()
  std::vector<Chunk> chunks_;
  std::vector<std::vector<Window>> of_;     // by position, sorted
  std::vector<std::uint32_t> position_of_;  // by node; kNowhere
  struct Open {
    Time latest, end;  // start, end
    std::uint32_t position;
  };
  std::vector<Open> open_;
  std::vector<Window> fresh_;
};

}  // namespace bai::sokovan
