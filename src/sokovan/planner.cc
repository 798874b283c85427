#include "sokovan/planner.h"

#include <algorithm>

namespace bai::sokovan {
namespace {

Time end_of(Time from, Seconds limit) { return limit == kUnlimited ? kFarFuture : from + limit; }

// So many planned nodes make an index worth its making.
constexpr std::size_t kManySpecials = 64;
// Candidate times at which a request that no bound tells exactly is tried in full, one after the other; then ever fewer.
constexpr std::uint32_t kTries = 64;
// What is looked at of the future at first, and how much more each time that it held nothing: most is found soon.
constexpr Seconds kFirstLook = 6 * 3600;
constexpr int kLookFurther = 4;
constexpr Seconds kLongestLook = 400 * 86400;

}  // namespace

void Planner::forget() {
  known_.clear();
  needs_.clear();
}

Planner::Known& Planner::known(std::uint32_t index) {
  auto [it, is_new] = known_.try_emplace(index);
  auto& known = it->second;
  const auto& arena = nodes_.arena_at(index);
  auto mark = [&](std::uint32_t position) {
    if (known.special[position]) return;
    known.special[position] = 1;
    known.specials.push_back(position);
  };
  if (is_new) {
    known.special.resize(arena.size());
    known.seen = nodes_.log().size();
    for (std::uint32_t p = 0; p < arena.size(); ++p) {
      const auto& slot = nodes_[arena.node(p)];
      if (!slot.usable || !slot.exists) continue;
      if (slot.plans) {
        mark(p);
        continue;
      }
      const auto& segments = slot.timeline.segments();
      for (std::size_t i = 1; i < segments.size(); ++i)
        known.releases.push_back({segments[i].from, p, segments[i].free});
    }
    std::sort(known.releases.begin(), known.releases.end(), [](const Release& a, const Release& b) {
      return a.at != b.at ? a.at < b.at : a.position < b.position;
    });
    steps += known.releases.size();
  }
  const auto& log = nodes_.log();
  for (; known.seen < log.size(); ++known.seen)
    for (const auto& place : nodes_[log[known.seen].node].places)
      if (place.arena == index) mark(place.position);
  return known;
}

// At most so many tasks; exact for plain requests.
std::uint32_t Planner::bound(const Option& option, std::uint32_t position, const Amounts& free) const {
  const auto& wish = option.wish;
  if (!covers(free, wish.least)) return 0;
  if (wish.exact) return wish.uniform;
  const auto& slot = nodes_[nodes_.arena_at(option.arena).node(position)];
  Wish const* judged = &wish;
  if (!wish.plain && slot.layout.slots) return wish.uniform ? wish.uniform : wish.tasks;
  const auto tasks = capacity(*judged, {&slot, free, nullptr});
  return tasks < wish.uniform ? 0 : tasks;
}

// When what a node with planned starts can take changes: at a release, and at times from which the limit reaches a planned start.
void Planner::add_events(const Option& option, std::uint32_t position, Time from, Seconds limit, Time after,
                         Time until) {
  const auto& wish = option.wish;
  const auto& slot = nodes_[nodes_.arena_at(option.arena).node(position)];
  const auto& segments = slot.timeline.segments();
  steps += segments.size();
  // Not only how much is free matters: each change of the node may be the one.
  const bool loose = !wish.plain || option.single_user || slot.closed != 0;
  const auto in_sight = [&](Time at) { return at > after && at <= until; };
  if (wish.exact && !loose) {
    const std::int64_t need = limit == kUnlimited ? INT64_MAX : (Time{} + limit).us;
    for (std::size_t i = 0; i < segments.size(); ++i) {
      if (segments[i].from > until) break;
      if (!covers(segments[i].free, wish.least)) continue;
      const Time begin = std::max(from, segments[i].from);
      while (i + 1 < segments.size() && covers(segments[i + 1].free, wish.least)) ++i;
      const Time end = i + 1 < segments.size() ? segments[i + 1].from : kFarFuture;
      if (end <= begin || (end != kFarFuture && (limit == kUnlimited || end.us - begin.us < need))) continue;
      if (in_sight(begin)) events_.push_back({begin, position, wish.uniform});
      if (const Time last{end.us - need + 1}; end != kFarFuture && in_sight(last))
        events_.push_back({last, position, 0});
    }
    return;
  }
  std::vector<Time> times;
  if (in_sight(from)) times.push_back(from);
  for (std::size_t i = 1; i < segments.size(); ++i) {
    if (segments[i].from > from && in_sight(segments[i].from)) times.push_back(segments[i].from);
    if (limit == kUnlimited || segments[i].from - limit < from) continue;
    if (const Time at{(segments[i].from - limit).us + 1}; in_sight(at)) times.push_back(at);
  }
  std::sort(times.begin(), times.end());
  std::uint32_t last = capacity_[position];
  for (auto at : times) {
    const auto tasks = bound(option, position, slot.timeline.lowest(at, end_of(at, limit)));
    if (tasks != last || loose) events_.push_back({at, position, tasks});
    last = tasks;
  }
}

bool Planner::by_windows(const Option& option, Time from, Seconds limit, Planned& out) {
  const auto& wish = option.wish;
  auto& need = needs_.at({option.arena, option.filter.get(), wish.least.cpus(), wish.least.mem()});
  if (!need.windows) {
    need.windows = std::make_unique<Windows>(nodes_, option);
    need.filter = option.filter;
  }
  const auto before = need.windows->steps;
  const bool found = need.windows->earliest(wish.min_nodes, from, limit, out.at, positions_);
  steps += need.windows->steps - before;
  if (!found) return false;
  const auto& arena = nodes_.arena_at(option.arena);
  out.picks.clear();
  for (auto p : positions_) {
    const auto& slot = nodes_[arena.node(p)];
    auto taken = take(wish, {&slot, slot.total, nullptr}, wish.uniform, 0, nullptr);
    out.picks.push_back({arena.node(p), p, wish.uniform, *std::move(taken)});
  }
  return true;
}

bool Planner::by_sweep(const Option& option, Time now, Time from, Seconds limit, Planned& out) {
  const auto& known = this->known(option.arena);
  const auto& arena = nodes_.arena_at(option.arena);
  const auto& wish = option.wish;
  const auto size = static_cast<std::uint32_t>(arena.size());
  const bool single = wish.uniform && wish.min_nodes == 1 && wish.wanted.empty() && wish.simple_set;
  capacity_.assign(size, 0);
  events_.clear();
  std::uint64_t tasks = 0, count = 0;
  // Where the bound is none, each release may be the one.
  const bool loose = !wish.plain || option.single_user || nodes_.any_closed();
  auto set = [&](std::uint32_t p, std::uint32_t to) {
    auto& is = capacity_[p];
    tasks += to, tasks -= is;
    count += (to != 0), count -= (is != 0);
    is = to;
  };
  const auto& free_now = arena.free(0);
  for (std::uint32_t p = 0; p < size; ++p) {
    const auto& free = free_now.at(p);
    if (free == Amounts::nothing() || known.special[p] || !covers(free, wish.least) || !option.allows(p))
      continue;
    set(p, bound(option, p, free));
  }
  steps += size;
  Time until = from + kFirstLook;
  const auto look = [&](Time after) {
    events_.clear();
    for (auto p : known.specials)
      if (option.allows(p) && !(free_now.at(p) == Amounts::nothing()))
        add_events(option, p, from, limit, after, until);
    std::sort(events_.begin(), events_.end(), [](const Event& a, const Event& b) {
      return a.at != b.at ? a.at < b.at : a.position < b.position;
    });
  };
  look(kBeginning);
  const std::uint64_t want_tasks = wish.units ? wish.min_nodes : wish.tasks;
  std::uint32_t tries = 0, next_try = 0, last_position = kNowhere;
  auto good = [&](Time at) {
    if (count < wish.min_nodes || tasks < want_tasks) return false;
    positions_.clear();
    if (single && last_position != kNowhere && capacity_[last_position]) {
      positions_.push_back(last_position);  // only here something changed
    } else {
      if (tries++ < next_try) return false;
      if (tries > kTries) next_try = tries + tries / 8;
      for (std::uint32_t p = 0; p < size; ++p)
        if (capacity_[p]) positions_.push_back(p);
    }
    out.picks = finder_.find_among(option, positions_, at, end_of(at, limit));
    out.at = at;
    return !out.picks.empty();
  };
  std::size_t i = 0, j = 0;
  const auto& releases = known.releases;
  while (i < releases.size() && releases[i].at <= from) {
    if (!known.special[releases[i].position] && option.allows(releases[i].position))
      set(releases[i].position, bound(option, releases[i].position, releases[i].free));
    ++i;
  }
  while (j < events_.size() && events_[j].at <= from) set(events_[j].position, events_[j].capacity), ++j;
  if (from > now && good(from)) return true;
  for (Seconds ahead = kFirstLook;;) {
    const Time at = std::min(i < releases.size() ? releases[i].at : kFarFuture,
                             j < events_.size() ? events_[j].at : kFarFuture);
    if (j == events_.size() && at > until) {
      const Time after = until;
      ahead *= kLookFurther;
      until = ahead > kLongestLook ? kFarFuture : until + ahead;
      look(after);
      j = 0;
      continue;
    }
    if (i == releases.size() && j == events_.size()) return false;
    bool more = false;
    std::uint32_t changed = 0;
    for (; i < releases.size() && releases[i].at == at; ++i) {
      const auto p = releases[i].position;
      ++steps;
      if (known.special[p] || !covers(releases[i].free, wish.least) || !option.allows(p)) continue;
      const auto to = bound(option, p, releases[i].free);
      if (to > capacity_[p] || (loose && to)) more = true, ++changed, last_position = p;
      set(p, to);
    }
    for (; j < events_.size() && events_[j].at == at; ++j) {
      ++steps;
      if (events_[j].capacity > capacity_[events_[j].position] || (loose && events_[j].capacity))
        more = true, ++changed, last_position = events_[j].position;
      set(events_[j].position, events_[j].capacity);
    }
    if (changed > 1) last_position = kNowhere;
    if (more && good(at)) return true;
  }
}

bool Planner::earliest(const Option& option, Time now, Time from, Seconds limit, Planned& out) {
  const auto& wish = option.wish;
  if (wish.exact && wish.simple_set && wish.wanted.empty() && !option.single_user && !nodes_.any_closed()) {
    auto& need = needs_[{option.arena, option.filter.get(), wish.least.cpus(), wish.least.mem()}];
    ++need.uses;
    if (need.windows || (need.uses > 1 && known(option.arena).specials.size() > kManySpecials))
      return by_windows(option, std::max(from, now), limit, out);
  }
  return by_sweep(option, now, std::max(from, now), limit, out);
}

}  // namespace bai::sokovan
