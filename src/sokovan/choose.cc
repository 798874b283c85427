#include "sokovan/choose.h"

#include <algorithm>
#include <map>

namespace bai::sokovan {
namespace {

using List = std::vector<Candidate>;

struct Sum {
  std::uint64_t nodes = 0, tasks = 0, units = 0;
  void add(const Candidate& c) { ++nodes, tasks += c.tasks, units += c.units; }
  bool enough(const Wish& wish) const {
    return nodes >= wish.min_nodes && tasks >= wish.tasks && units >= wish.units;
  }
};

bool larger_first(const Candidate& a, const Candidate& b) {
  if (a.wanted != b.wanted) return a.wanted;
  return a.units != b.units ? a.units > b.units : a.tasks > b.tasks;
}

// How many from the front are enough; 0: all of them are not.
std::size_t prefix(const Wish& wish, const List& list) {
  Sum sum;
  for (std::size_t i = 0; i < list.size(); ++i) {
    sum.add(list[i]);
    if (sum.enough(wish) && (i + 1 == list.size() || !list[i + 1].wanted)) return i + 1;
  }
  return 0;
}

// Wanted ones come first in the list.
List fewest(const Wish& wish, List list) {
  auto n = prefix(wish, list);
  if (n == 0) return {};
  if (n > std::max<std::size_t>(wish.min_nodes, 1)) {
    List order = list;
    std::stable_sort(order.begin(), order.end(), larger_first);
    if (const auto fewer = prefix(wish, order); fewer < n) {
      // Put back into the order of preference.
      order.resize(n = fewer);
      std::vector<std::uint32_t> taken;
      for (const auto& c : order) taken.push_back(c.position);
      std::sort(taken.begin(), taken.end());
      std::erase_if(list, [&](const Candidate& c) {
        return !std::binary_search(taken.begin(), taken.end(), c.position);
      });
    }
  }
  if (wish.max_nodes && n > wish.max_nodes) return {};
  list.resize(n);
  return list;
}

// As many nodes as there can be.
List most(const Wish& wish, List list) {
  Sum sum;
  for (const auto& c : list) sum.add(c);
  if (!sum.enough(wish)) return {};
  std::size_t n = std::min<std::size_t>(list.size(), std::max(wish.tasks, wish.min_nodes));
  if (wish.max_nodes) n = std::min<std::size_t>(n, wish.max_nodes);
  if (n < list.size()) {
    List order = list;
    std::stable_sort(order.begin(), order.end(), larger_first);
    if (prefix(wish, order) > n || prefix(wish, order) == 0) return {};
    if (const auto front = prefix(wish, list); front == 0 || front > n) list = order;
    list.resize(n);
  }
  return list;
}

std::uint64_t worth(const Wish& wish, const List& list) {
  std::uint64_t sum = 0;
  for (const auto& c : list) sum += wish.units ? c.units : c.tasks;
  return sum;
}

// Runs of neighbours: the shortest that will do.
List neighbours(const Wish& wish, const List& list) {
  List by_position = list, best;
  std::sort(by_position.begin(), by_position.end(),
            [](const Candidate& a, const Candidate& b) { return a.position < b.position; });
  std::size_t wanted = 0;
  for (const auto& c : list) wanted += c.wanted;
  for (std::size_t first = 0; first < by_position.size(); ++first) {
    Sum sum;
    std::size_t seen = 0;
    for (std::size_t i = first; i < by_position.size(); ++i) {
      if (i > first && by_position[i].position != by_position[i - 1].position + 1) break;
      sum.add(by_position[i]);
      seen += by_position[i].wanted;
      if (wish.max_nodes && sum.nodes > wish.max_nodes) break;
      if (!sum.enough(wish) || seen < wanted) continue;
      if (best.empty() || sum.nodes < best.size())
        best.assign(by_position.begin() + static_cast<std::ptrdiff_t>(first),
                    by_position.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      break;
    }
  }
  return best;
}

// The lowest switch below which there is enough, of those the one with the least to spare; there the fullest leaves.
List on_few_switches(const Wish& wish, const List& list, const Topology& topology) {
  std::map<std::uint32_t, List> leaves;  // nodes without a switch: one each, behind the others
  std::uint32_t alone = topology.leaves();
  for (const auto& c : list) leaves[c.leaf == kNowhere ? alone++ : c.leaf].push_back(c);
  std::size_t wanted = 0;
  for (const auto& c : list) wanted += c.wanted;
  auto has_wanted = [&](const List& some) {
    return static_cast<std::size_t>(
               std::count_if(some.begin(), some.end(), [](const auto& c) { return c.wanted; })) == wanted;
  };
  const List* one = nullptr;
  for (const auto& [leaf, some] : leaves)
    if (has_wanted(some) && !fewest(wish, some).empty() && (!one || worth(wish, some) < worth(wish, *one)))
      one = &some;
  if (one) return fewest(wish, *one);
  List below;
  std::uint32_t level = 0;
  for (const auto& inner : topology.inner()) {
    if (!below.empty() && inner.level > level) break;
    List some;
    for (auto it = leaves.lower_bound(inner.first); it != leaves.end() && it->first < inner.last; ++it)
      some.insert(some.end(), it->second.begin(), it->second.end());
    if (!has_wanted(some) || fewest(wish, some).empty()) continue;
    if (below.empty() || worth(wish, some) < worth(wish, below)) below = std::move(some);
    level = inner.level;
  }
  if (below.empty()) below = list;
  // Leaf after leaf, those with wanted nodes first, then the fullest.
  std::map<std::uint32_t, List> groups;
  alone = topology.leaves();
  for (const auto& c : below) groups[c.leaf == kNowhere ? alone++ : c.leaf].push_back(c);
  std::vector<const List*> order;
  for (const auto& [leaf, some] : groups) order.push_back(&some);
  std::stable_sort(order.begin(), order.end(), [&](const List* a, const List* b) {
    const bool wa = std::any_of(a->begin(), a->end(), [](const auto& c) { return c.wanted; });
    const bool wb = std::any_of(b->begin(), b->end(), [](const auto& c) { return c.wanted; });
    if (wa != wb) return wa;
    return worth(wish, *a) > worth(wish, *b);
  });
  List some;
  std::uint32_t switches = 0;
  for (const auto* group : order) {
    if (wish.switches && switches == wish.switches) break;
    some.insert(some.end(), group->begin(), group->end());
    ++switches;
    List wanted_first = some;
    std::stable_partition(wanted_first.begin(), wanted_first.end(), [](const auto& c) { return c.wanted; });
    if (has_wanted(some))
      if (auto out = fewest(wish, std::move(wanted_first)); !out.empty()) return out;
  }
  return {};
}

// Constraints with counts: first enough nodes for each count, scarce ones first, then what is missing.
List with_counts(const Wish& wish, const List& list, const Nodes& nodes) {
  List out;
  std::vector<bool> used(list.size());
  std::vector<std::size_t> order(wish.counts.size());
  std::vector<std::size_t> have(wish.counts.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    order[i] = i;
    for (const auto& c : list) have[i] += wish.counts[i].test.holds(nodes[c.node].features);
  }
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return have[a] < have[b]; });
  for (auto i : order) {
    std::uint32_t missing = wish.counts[i].nodes;
    for (std::size_t j = 0; j < list.size() && missing; ++j) {
      if (used[j] || !wish.counts[i].test.holds(nodes[list[j].node].features)) continue;
      used[j] = true;
      --missing;
    }
    if (missing) return {};
  }
  List rest;
  for (std::size_t j = 0; j < list.size(); ++j) {
    Candidate c = list[j];
    c.wanted |= used[j];
    (c.wanted ? out : rest).push_back(c);
  }
  out.insert(out.end(), rest.begin(), rest.end());
  return fewest(wish, std::move(out));
}

void lay_out(const Wish& wish, List& list) {
  std::uint64_t tasks = std::max<std::uint64_t>(wish.tasks, list.size());
  std::uint64_t units = wish.units;
  if (wish.spread) {  // evenly, as far as each can
    std::vector<std::uint32_t> room;
    for (auto& c : list) room.push_back(c.tasks), c.tasks = 1, --tasks;
    for (bool more = true; tasks && more;) {
      more = false;
      for (std::size_t i = 0; i < list.size() && tasks; ++i)
        if (list[i].tasks < room[i]) ++list[i].tasks, --tasks, more = true;
    }
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::uint64_t others = list.size() - 1 - i;
    if (!wish.spread) {
      list[i].tasks = static_cast<std::uint32_t>(std::min<std::uint64_t>(list[i].tasks, tasks - others));
      tasks -= list[i].tasks;
    }
    if (wish.units) {
      list[i].units = static_cast<std::uint32_t>(
          std::min<std::uint64_t>(list[i].units, units > others ? units - others : 1));
      units -= std::min<std::uint64_t>(units, list[i].units);
    }
  }
}

}  // namespace

List choose(const Wish& wish, List candidates, const Nodes& nodes, const Topology& topology,
            bool few_switches) {
  std::stable_partition(candidates.begin(), candidates.end(), [](const auto& c) { return c.wanted; });
  List out;
  if (wish.contiguous)
    out = neighbours(wish, candidates);
  else if (!wish.counts.empty())
    out = with_counts(wish, candidates, nodes);
  else if (wish.spread)
    out = most(wish, std::move(candidates));
  else if (wish.switches || few_switches)
    out = on_few_switches(wish, candidates, topology);
  else
    out = fewest(wish, std::move(candidates));
  if (wish.units && out.size() > wish.units) return {};  // one at least on each
  lay_out(wish, out);
  return out;
}

}  // namespace bai::sokovan
