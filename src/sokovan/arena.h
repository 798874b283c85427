// Arena: one partition's nodes in order of preference (weight, then configuration), with search trees over what is free of them:
// now, and the least from now until each of a few horizons (horizon trees). "Who can take this without touching a planned start"
// is then a descent: the tree of the last horizon that a job outlives rules out, the node's timeline decides.
// Private to sokovan.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <set>
#include <tuple>
#include <vector>

#include "base/time.h"
#include "sokovan/amounts.h"

namespace bai::sokovan {

inline constexpr std::uint32_t kNowhere = std::numeric_limits<std::uint32_t>::max();

// From now; the first is now itself.
inline constexpr std::array<Seconds, 7> kHorizons = {0,         15 * 60,   3600,         4 * 3600,
                                                     12 * 3600, 24 * 3600, 7 * 24 * 3600};

// A max-tree over positions, lane by lane.
class MaxTree {
 public:
  void resize(std::size_t n);  // all of it nothing()
  void set(std::uint32_t at, const Amounts& value);
  const Amounts& at(std::uint32_t position) const { return tree_[leaves_ + position]; }
  const Amounts& top() const { return tree_[1]; }
  // The first position from `from` on that covers `need`, or kNowhere. O(log n) where lanes agree.
  std::uint32_t find(const Amounts& need, std::uint32_t from) const;

 private:
  std::size_t leaves_ = 1;
  std::vector<Amounts> tree_{2, Amounts::nothing()};
};

class Arena {
 public:
  struct Member {
    std::uint32_t node;
    std::uint32_t weight;
  };
  // In order of preference.
  explicit Arena(std::vector<Member> members);

  std::size_t size() const { return members_.size(); }
  std::uint32_t node(std::uint32_t position) const { return members_[position].node; }
  std::uint32_t weight(std::uint32_t position) const { return members_[position].weight; }

  // What a node has when it is empty; nothing() when it does not exist.
  void set_total(std::uint32_t position, const Amounts& total) { total_.set(position, total); }
  // What is free of it until each horizon; nothing() when it is not usable.
  void set_free(std::uint32_t position, std::size_t horizon, const Amounts& free);
  const MaxTree& total() const { return total_; }
  const MaxTree& free(std::size_t horizon) const { return free_[horizon]; }

  // Usable nodes by (weight, CPUs free now, position): the tightest that could fit comes first.
  using Tight = std::tuple<std::uint32_t, std::int32_t, std::uint32_t>;
  const std::set<Tight>& by_free() const { return by_free_; }
  const std::vector<std::uint32_t>& weights() const { return weights_; }  // ascending, each once

  std::uint32_t next_in_turn = 0;  // placement roundrobin: where the last one ended

 private:
  std::vector<Member> members_;
  std::vector<std::uint32_t> weights_;
  MaxTree total_;
  std::array<MaxTree, kHorizons.size()> free_;
  std::set<Tight> by_free_;
};

}  // namespace bai::sokovan
