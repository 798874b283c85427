#include "sokovan/windows.h"

#include <algorithm>

namespace bai::sokovan {
namespace {

constexpr std::size_t kChunk = 128;

std::int64_t length(Time from, Time to) {
  if (from == kBeginning || to == kFarFuture) return INT64_MAX;
  return to.us - from.us;
}

}  // namespace

void Windows::Chunk::measure() {
  longest = 0;
  last_end = kBeginning;
  for (const auto& w : windows) {
    longest = std::max(longest, length(w.from, w.to));
    last_end = std::max(last_end, w.to);
  }
}

Windows::Windows(const Nodes& nodes, const Option& option)
    : nodes_(nodes),
      arena_(option.arena),
      filter_(option.filter),
      least_(option.wish.least),
      seen_(nodes.log().size()) {
  const auto& arena = nodes.arena_at(arena_);
  of_.resize(arena.size());
  position_of_.assign(nodes.size(), kNowhere);
  std::vector<Window> all;
  for (std::uint32_t p = 0; p < arena.size(); ++p) {
    const auto& slot = nodes[arena.node(p)];
    if (!filter_->allows(p)) continue;
    position_of_[arena.node(p)] = p;
    if (!slot.usable || !slot.exists) continue;
    const auto& segments = slot.timeline.segments();
    for (std::size_t i = 0; i < segments.size(); ++i) {
      if (!covers(segments[i].free, least_)) continue;
      const Time from = segments[i].from;
      while (i + 1 < segments.size() && covers(segments[i + 1].free, least_)) ++i;
      of_[p].push_back({from, i + 1 < segments.size() ? segments[i + 1].from : kFarFuture, p});
    }
    all.insert(all.end(), of_[p].begin(), of_[p].end());
  }
  std::sort(all.begin(), all.end());
  for (std::size_t i = 0; i < all.size(); i += kChunk / 2) {
    auto& chunk = chunks_.emplace_back();
    const auto end = std::min(all.size(), i + kChunk / 2);
    chunk.windows.assign(all.begin() + static_cast<std::ptrdiff_t>(i),
                         all.begin() + static_cast<std::ptrdiff_t>(end));
    chunk.measure();
  }
  if (chunks_.empty()) chunks_.emplace_back().measure();
}

// The last chunk that begins at or before it.
std::size_t Windows::chunk_of(const Window& window) const {
  auto it = std::upper_bound(chunks_.begin() + 1, chunks_.end(), window,
                             [](const Window& w, const Chunk& c) { return w < c.windows.front(); });
  return static_cast<std::size_t>(it - chunks_.begin()) - 1;
}

void Windows::insert(const Window& window) {
  const auto i = chunk_of(window);
  auto& chunk = chunks_[i];
  chunk.windows.insert(std::lower_bound(chunk.windows.begin(), chunk.windows.end(), window), window);
  chunk.longest = std::max(chunk.longest, length(window.from, window.to));
  chunk.last_end = std::max(chunk.last_end, window.to);
  if (chunk.windows.size() < kChunk) return;
  Chunk half;
  half.windows.assign(chunk.windows.begin() + kChunk / 2, chunk.windows.end());
  chunk.windows.resize(kChunk / 2);
  chunk.measure();
  half.measure();
  chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(i) + 1, std::move(half));
}

void Windows::erase(const Window& window) {
  const auto i = chunk_of(window);
  auto& chunk = chunks_[i];
  chunk.windows.erase(std::lower_bound(chunk.windows.begin(), chunk.windows.end(), window));
  if (chunk.windows.empty() && chunks_.size() > 1)
    chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(i));
  else if (length(window.from, window.to) == chunk.longest || window.to == chunk.last_end)
    chunk.measure();
}

// The node's windows that touch [from, to) are found anew.
void Windows::renew(std::uint32_t position, Time from, Time to) {
  auto& mine = of_[position];
  auto first =
      std::lower_bound(mine.begin(), mine.end(), from, [](const Window& w, Time t) { return w.to < t; });
  auto last = first;
  while (last != mine.end() && last->from <= to) ++last;
  const Time begin = first != last ? std::min(from, first->from) : from;
  const Time end = first != last ? std::max(to, std::prev(last)->to) : to;
  auto& fresh = fresh_;
  fresh.clear();
  const auto& slot = nodes_[nodes_.arena_at(arena_).node(position)];
  const auto& segments = slot.timeline.segments();
  std::size_t i = slot.usable && slot.exists ? 0 : segments.size();
  if (i == 0 && segments.size() > 8) {
    auto it = std::upper_bound(segments.begin(), segments.end(), begin,
                               [](Time t, const Timeline::Segment& s) { return t < s.from; });
    i = it == segments.begin() ? 0 : static_cast<std::size_t>(it - segments.begin()) - 1;
  }
  for (; i < segments.size() && segments[i].from < end; ++i) {
    const Time until = i + 1 < segments.size() ? segments[i + 1].from : kFarFuture;
    if (until <= begin || !covers(segments[i].free, least_)) continue;
    const Time a = std::max(begin, segments[i].from), b = std::min(end, until);
    if (!fresh.empty() && fresh.back().to == a)
      fresh.back().to = b;
    else
      fresh.push_back({a, b, position});
  }
  if (std::equal(first, last, fresh.begin(), fresh.end(),
                 [](const Window& x, const Window& y) { return x.from == y.from && x.to == y.to; }))
    return;
  for (auto it = first; it != last; ++it) erase(*it);
  for (const auto& w : fresh) insert(w);
  const auto at = mine.erase(first, last);
  mine.insert(at, fresh.begin(), fresh.end());
}

void Windows::catch_up() {
  const auto& log = nodes_.log();
  for (; seen_ < log.size(); ++seen_)
    if (const auto& change = log[seen_]; change.node < position_of_.size())
      if (const auto position = position_of_[change.node]; position != kNowhere)
        renew(position, change.from, change.to);
}

bool Windows::earliest(std::uint32_t k, Time from, Seconds limit, Time& at,
                       std::vector<std::uint32_t>& positions) {
  catch_up();
  const std::int64_t need = limit == kUnlimited ? INT64_MAX : (Time{} + limit).us;
  auto later = [](const Open& a, const Open& b) {
    return a.latest > b.latest;
  };  // a heap: who must start first is on top
  open_.clear();
  Time now = from;
  auto enough = [&] {
    while (!open_.empty() && open_.front().latest < now) {
      std::pop_heap(open_.begin(), open_.end(), later);
      open_.pop_back();
    }
    return open_.size() >= k;
  };
  bool found = false;
  for (const auto& chunk : chunks_) {
    if (chunk.longest < need || chunk.last_end <= from) continue;
    for (const auto& w : chunk.windows) {
      ++steps;
      const Time start = std::max(w.from, from);
      if (w.to != kFarFuture && (limit == kUnlimited || w.to.us - start.us < need || w.to <= start)) continue;
      if (start > now) {
        if ((found = enough())) break;
        now = start;
      }
      open_.push_back({w.to == kFarFuture ? kFarFuture : Time{w.to.us - need}, w.to, w.position});
      std::push_heap(open_.begin(), open_.end(), later);
    }
    if (found) break;
  }
  if (!found && !enough()) return false;
  at = now;
  // Those with the least to spare behind; equal ones in order of preference.
  auto tighter = [](const Open& a, const Open& b) {
    return a.end != b.end ? a.end < b.end : a.position < b.position;
  };
  if (open_.size() > k) std::nth_element(open_.begin(), open_.begin() + k, open_.end(), tighter);
  positions.clear();
  for (std::uint32_t i = 0; i < k; ++i) positions.push_back(open_[i].position);
  std::sort(positions.begin(), positions.end());
  return true;
}

}  // namespace bai::sokovan
