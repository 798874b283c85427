// IdSet: an ordered set of uint32 kept as ranges: the tasks of a job array that still wait, a million of them
// in 8 bytes. One owner at a time; const members from any thread. Copying copies the ranges.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bai {

class IdSet {
 public:
  // Both ends included.
  struct Range {
    uint32_t first;
    uint32_t last;
    friend bool operator==(const Range&, const Range&) = default;
  };

  IdSet() = default;
  IdSet(const IdSet& other);
  IdSet& operator=(const IdSet& other);
  IdSet(IdSet&& other) noexcept;
  IdSet& operator=(IdSet&& other) noexcept;

  // Adding what is there and removing what is not change nothing and return false. O(log ranges) to find; a
  // change that adds or drops a range moves the ranges behind it (8 bytes each), except at either end.
  bool insert(uint32_t id);
  bool erase(uint32_t id);
  // The same for first..last, both included; first <= last.
  void insert(uint32_t first, uint32_t last);
  void erase(uint32_t first, uint32_t last);
  bool contains(uint32_t id) const;

  bool empty() const { return head_ == ranges_.size(); }
  // How many ids; O(1).
  uint64_t count() const { return count_; }
  // The smallest and the largest; the set must not be empty.
  uint32_t first() const { return ranges_[head_].first; }
  uint32_t last() const { return ranges_.back().last; }
  // The smallest id above or at `id`, if any.
  std::optional<uint32_t> next(uint32_t id) const;
  // Takes the smallest out; amortised O(1). Nothing when empty.
  std::optional<uint32_t> pop_first();
  void clear();

  // f(id) for each, in order.
  template <class F>
  void for_each(F f) const {
    for (const Range& r : ranges()) {
      for (uint32_t id = r.first;; ++id) {
        f(id);
        if (id == r.last) break;
      }
    }
  }
  // Disjoint, ascending, with a gap between neighbours. Valid until the next change.
  std::span<const Range> ranges() const { return {ranges_.data() + head_, ranges_.size() - head_}; }

  // "1-3,5,7-9"; empty for the empty set. parse() reads it back.
  std::string format() const;
  // Ids and ranges separated by commas, ranges with an optional step: "1-3,5,0-15:4". Every id is at most
  // `max_id`. Errors: bad_id_set.
  static Result<IdSet> parse(std::string_view text, uint32_t max_id);

  // Bytes on the heap.
  size_t heap_bytes() const { return ranges_.capacity() * sizeof(Range); }

  friend bool operator==(const IdSet& a, const IdSet& b);

 private:
  size_t find(uint32_t id) const;  // index of the first range that ends at or after id
  void drop_dead();

  std::vector<Range> ranges_;
  size_t head_ = 0;  // ranges before it were popped and wait to be reclaimed
  uint64_t count_ = 0;
};

// What sbatch --array says: which tasks, and how many may run at once.
struct ArraySpec {
  IdSet ids;
  uint32_t max_running = 0;  // 0: no limit
};

// "0-15:4,20%2", also "[0-15]". As in Slurm an id is at most max_array_size - 1, and 0 for it turns arrays
// off; "%0" is no limit. Errors: bad_array.
Result<ArraySpec> parse_array_spec(std::string_view text, uint32_t max_array_size);

// As squeue prints the tasks that wait (without its brackets): ids at even steps as "0-12:4", else ranges,
// cut to max_bytes - 1 with "..." as Slurm does at 64 (SLURM_BITSTR_LEN); below 8 nothing is cut. Then "%2"
// for max_running.
std::string format_array_spec(const IdSet& ids, uint32_t max_running, size_t max_bytes = 0);

}  // namespace bai
