#include "sokovan/finder.h"

#include <algorithm>

namespace bai::sokovan {

// What is free of the node in the window; false when it is not offered.
bool Finder::room(const Option& option, std::uint32_t position, Time from, Time until, Room& out) {
  ++steps;
  const auto& arena = nodes_.arena_at(option.arena);
  const auto& now = arena.free(0).at(position);
  if (now.cpus() < 0 && now == Amounts::nothing()) return false;
  const auto& slot = nodes_[arena.node(position)];
  const auto& timeline = slot.timeline;
  // Only planned starts take something in the future: without them what is free at first stays so.
  const Time to = slot.plans ? until : from;
  out.node = &slot;
  out.free = timeline.lowest(from, to);
  out.slots = nullptr;
  if (timeline.has_devices()) {
    timeline.lowest_slots(from, to, slots_);
    slot.layout.summarise(slots_.data(), out.free);
    out.slots = slots_.data();
  }
  if (!option.single_user && slot.closed == 0) return true;
  // Whoever is there then, and minds or is minded, shall be the same user.
  return std::none_of(slot.seats.begin(), slot.seats.end(), [&](const Seat& seat) {
    const auto& other = *seat.booking;
    return other.uid != option.uid && (option.single_user || other.exclusive_user) && other.from < until &&
           other.to > from;
  });
}

std::uint32_t Finder::capacity_at(const Option& option, std::uint32_t position, Time from, Time to) {
  Room room_there;
  if (!option.allows(position) || !room(option, position, from, to, room_there)) return 0;
  if (!covers(room_there.free, option.wish.least)) return 0;
  return capacity(option.wish, room_there);
}

bool Finder::take_one(const Option& option, std::uint32_t position, Time from, Time to, Pick& out) {
  Room room_there;
  const auto& wish = option.wish;
  if (!option.allows(position) || !room(option, position, from, to, room_there)) return false;
  if (!covers(room_there.free, wish.least) || capacity(wish, room_there) < wish.tasks) return false;
  auto taken = take(wish, room_there, wish.tasks, wish.units, option.placement);
  if (!taken) return false;
  out = {nodes_.arena_at(option.arena).node(position), position, wish.tasks, *std::move(taken)};
  return true;
}

// The plain case: any one node, the tightest or loosest of those that can take all of it.
bool Finder::one_node(const Option& option, Time now, Time to, Pick& out) {
  const auto& arena = nodes_.arena_at(option.arena);
  const auto& least = option.wish.least;
  const auto& tree = arena.free(nodes_.horizon_before(to));
  // Is there one at all? The tree tells that of failures best.
  auto position = tree.find(least, 0);
  while (position != kNowhere && !take_one(option, position, now, to, out))
    position = tree.find(least, position + 1);
  if (position == kNowhere) return false;
  const auto first = position;
  const auto order = option.placement->order;
  if (order == Placement::kInTurn) {
    position = tree.find(least, arena.next_in_turn);
    while (position != kNowhere && !take_one(option, position, now, to, out))
      position = tree.find(least, position + 1);
    return position != kNowhere || take_one(option, first, now, to, out);
  }
  const auto& by_free = arena.by_free();
  for (auto weight : arena.weights()) {
    auto begin = by_free.lower_bound({weight, least.cpus(), 0});
    auto end = by_free.lower_bound({weight, INT32_MAX, 0});
    if (order == Placement::kLoosest) {
      while (end != begin) {
        // The first of those with equally much.
        const auto group = by_free.lower_bound({weight, std::get<1>(*std::prev(end)), 0});
        for (auto it = group; it != end; ++it)
          if (covers(tree.at(std::get<2>(*it)), least) && take_one(option, std::get<2>(*it), now, to, out))
            return true;
        end = group;
      }
    } else {
      for (; begin != end; ++begin)
        if (covers(tree.at(std::get<2>(*begin)), least) &&
            take_one(option, std::get<2>(*begin), now, to, out))
          return true;
    }
  }
  return take_one(option, first, now, to, out);
}

void Finder::add_candidate(const Option& option, std::uint32_t position, const Room& room) {
  const auto& wish = option.wish;
  if (!covers(room.free, wish.least)) return;
  Candidate c;
  c.tasks = capacity(wish, room);
  if (c.tasks == 0 || c.tasks < wish.uniform) return;
  if (wish.units && (c.units = unit_capacity(wish, room)) == 0) return;
  c.position = position;
  c.node = nodes_.arena_at(option.arena).node(position);
  c.leaf = room.node->leaf;
  c.wanted =
      !wish.wanted.empty() && std::find(wish.wanted.begin(), wish.wanted.end(), c.node) != wish.wanted.end();
  candidates_.push_back(c);
}

// Into the order of preference: weight, then as the placement has it, then position.
void Finder::rank(const Option& option, Time from, Time to) {
  const auto& arena = nodes_.arena_at(option.arena);
  const auto order = option.placement->order;
  struct Key {
    std::uint32_t weight;
    Cost cost;
    std::uint32_t position, index;
    auto operator<=>(const Key&) const = default;  // NOLINT: no nullptr is meant
  };
  std::vector<Key> keys;
  keys.reserve(candidates_.size());
  bool sorted = true;
  for (std::uint32_t i = 0; i < candidates_.size(); ++i) {
    const auto& c = candidates_[i];
    Cost cost;
    switch (order) {
      case Placement::kTightest:
        cost.cost = nodes_[c.node].timeline.segments()[0].free.cpus();
        break;
      case Placement::kLoosest:
        cost.cost = -std::int64_t{nodes_[c.node].timeline.segments()[0].free.cpus()};
        break;
      case Placement::kInTurn:
        cost.cost = c.position < arena.next_in_turn;
        break;
      case Placement::kSwitches:
        break;
      case Placement::kCost: {
        Room there;
        if (!room(option, c.position, from, to, there)) break;
        if (auto taken = take(option.wish, there, c.tasks, option.wish.units ? 1 : 0, option.placement))
          cost = option.placement->cost({c.node, there.node, there.free, there.slots}, *taken);
        break;
      }
    }
    keys.push_back({arena.weight(c.position), cost, c.position, i});
    sorted = sorted && (i == 0 || keys[i - 1] < keys[i]);
  }
  if (sorted) return;
  std::sort(keys.begin(), keys.end());
  std::vector<Candidate> out;
  out.reserve(keys.size());
  for (const auto& key : keys) out.push_back(candidates_[key.index]);
  candidates_ = std::move(out);
}

// Chooses from the candidates.
std::vector<Pick> Finder::pick(const Option& option, Time from, Time to) {
  const auto& wish = option.wish;
  std::size_t wanted = 0;
  std::uint64_t tasks = 0;
  for (const auto& c : candidates_) wanted += c.wanted, tasks += c.tasks;
  missing_tasks = tasks < wish.tasks ? wish.tasks - tasks : 0;
  missing_nodes = candidates_.size() < wish.min_nodes ? wish.min_nodes - candidates_.size() : 0;
  if (candidates_.size() < wish.min_nodes || wanted < wish.wanted.size() || (missing_tasks && !wish.units))
    return {};
  rank(option, from, to);
  if (wish.simple_set && wish.min_nodes <= 1 && wish.wanted.empty())  // one that can take all of it
    for (const auto& c : candidates_)
      if (c.tasks >= wish.tasks && c.units >= wish.units) {
        candidates_ = {Candidate(c)};
        break;
      }
  const auto chosen =
      choose(wish, candidates_, nodes_, topology_, option.placement->order == Placement::kSwitches);
  std::vector<Pick> out;
  out.reserve(chosen.size());
  for (const auto& c : chosen) {
    Room there;
    if (!room(option, c.position, from, to, there)) return {};
    auto taken = take(wish, there, c.tasks, c.units, option.placement);
    if (!taken) return {};
    out.push_back({c.node, c.position, c.tasks, *std::move(taken)});
  }
  return out;
}

std::vector<Pick> Finder::find_now(const Option& option, Time now, Time to) {
  const auto& arena = nodes_.arena_at(option.arena);
  const auto& wish = option.wish;
  const auto& tree = arena.free(nodes_.horizon_before(to));
  ++steps;
  missing_tasks = missing_nodes = 0;
  if (!covers(tree.top(), wish.least)) {
    const bool one = wish.uniform && wish.min_nodes == 1;
    missing_tasks = one ? 0 : wish.tasks;
    missing_nodes = one ? 0 : wish.min_nodes;
    return {};
  }
  if (wish.uniform && wish.min_nodes == 1 && wish.simple_set && wish.wanted.empty() &&
      option.placement->order != Placement::kCost) {
    Pick one;
    if (!one_node(option, now, to, one)) return {};
    return {std::move(one)};
  }
  candidates_.clear();
  for (auto p = tree.find(wish.least, 0); p != kNowhere; p = tree.find(wish.least, p + 1)) {
    Room there;
    if (option.allows(p) && room(option, p, now, to, there)) add_candidate(option, p, there);
  }
  return pick(option, now, to);
}

std::vector<Pick> Finder::find_among(const Option& option, std::span<const std::uint32_t> positions,
                                     Time from, Time to) {
  candidates_.clear();
  for (auto p : positions) {
    Room there;
    if (option.allows(p) && room(option, p, from, to, there)) add_candidate(option, p, there);
  }
  return pick(option, from, to);
}

bool Finder::possible(const Option& option, bool usable) {
  const auto& arena = nodes_.arena_at(option.arena);
  const auto& wish = option.wish;
  candidates_.clear();
  for (auto p = arena.total().find(wish.least, 0); p != kNowhere; p = arena.total().find(wish.least, p + 1)) {
    ++steps;
    if (!option.allows(p)) continue;
    const auto& slot = nodes_[arena.node(p)];
    if (usable && !slot.usable) continue;
    const auto full = usable ? slot.layout.full() : slot.layout.all();
    add_candidate(option, p, {&slot, slot.total, full.empty() ? nullptr : full.data()});
    if (wish.uniform && wish.simple_set && wish.wanted.empty() && candidates_.size() == wish.min_nodes)
      return true;
  }
  std::size_t wanted = 0;
  for (const auto& c : candidates_) wanted += c.wanted;
  if (candidates_.size() < wish.min_nodes || wanted < wish.wanted.size()) return false;
  return !choose(wish, candidates_, nodes_, topology_, false).empty();
}

}  // namespace bai::sokovan
