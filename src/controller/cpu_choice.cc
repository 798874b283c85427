#include "controller/cpu_choice.h"

#include <algorithm>
#include <map>

namespace bai::controller {
namespace {

constexpr std::uint32_t kMaxCpu = 1 << 20;

struct Socket {
  std::vector<std::uint32_t> whole, rest;  // free processors of cores that are wholly free, and of others
  bool near = false;
  std::size_t room() const { return whole.size() + rest.size(); }
};

std::vector<Socket> free_sockets(const NodeShape& shape, const IdSet& taken) {
  const std::uint32_t threads = std::max(1u, shape.threads_per_core);
  const std::uint32_t of_socket = std::max(1u, shape.cores_per_socket) * threads;
  std::vector<Socket> out((shape.cpus + of_socket - 1) / of_socket);
  for (std::uint32_t first = 0; first < shape.cpus; first += threads) {
    const std::uint32_t end = std::min(shape.cpus, first + threads);
    const auto used = taken.next(first);
    auto& socket = out[first / of_socket];
    auto& into = used && *used < end ? socket.rest : socket.whole;
    for (std::uint32_t cpu = first; cpu < end; ++cpu)
      if (!taken.contains(cpu)) into.push_back(cpu);
  }
  return out;
}

void take_from(const Socket& socket, std::uint32_t threads, std::uint32_t& count, IdSet& out) {
  // Whole cores for what fills them; what is left over goes where others are already.
  const auto wholes =
      static_cast<std::uint32_t>(std::min<std::size_t>(socket.whole.size(), count / threads * threads));
  for (std::uint32_t i = 0; i < wholes; ++i) out.insert(socket.whole[i]);
  count -= wholes;
  for (const auto cpu : socket.rest)
    if (count > 0) out.insert(cpu), --count;
  for (std::size_t i = wholes; i < socket.whole.size() && count > 0; ++i, --count)
    out.insert(socket.whole[i]);
}

}  // namespace

IdSet choose_cpus(const NodeShape& shape, const IdSet& taken, std::uint32_t count, const IdSet& near) {
  IdSet out;
  if (taken.empty() && count >= shape.cpus) {
    if (shape.cpus > 0) out.insert(0, shape.cpus - 1);
    return out;
  }
  auto sockets = free_sockets(shape, taken);
  const std::uint32_t threads = std::max(1u, shape.threads_per_core);
  for (std::size_t i = 0; i < sockets.size(); ++i)
    sockets[i].near = near.contains(static_cast<std::uint32_t>(i));
  const auto before = [](bool a_near, std::size_t a, bool b_near, std::size_t b) {
    return a_near != b_near ? a_near : a < b;
  };
  const Socket* best = nullptr;
  for (const auto& socket : sockets)
    if (socket.room() >= count && (!best || before(socket.near, socket.room(), best->near, best->room())))
      best = &socket;
  // What does not fit into the near ones begins there.
  if (best && (best->near || near.empty())) {
    take_from(*best, threads, count, out);
    return out;
  }
  std::stable_sort(sockets.begin(), sockets.end(), [&](const Socket& a, const Socket& b) {
    return before(a.near, b.room(), b.near, a.room());
  });
  for (const auto& socket : sockets) take_from(socket, threads, count, out);
  return out;
}

IdSet device_sockets(const std::vector<DeviceGroup>& groups, const std::vector<DeviceShare>& shares) {
  IdSet out;
  std::map<std::string_view, std::uint32_t> next;  // index within the kind
  for (const auto& group : groups) {
    if (group.counted) continue;
    std::uint32_t& index = next[group.kind.view()];
    for (std::uint32_t i = 0; i < group.count; ++i, ++index)
      if (i < group.sockets.size() && group.sockets[i] != kNoSocket &&
          std::any_of(shares.begin(), shares.end(), [&](const DeviceShare& share) {
            return share.kind == group.kind && share.index == index;
          }))
        out.insert(group.sockets[i]);
  }
  return out;
}

IdSet choose_step_cpus(const IdSet& job, const IdSet& taken, std::uint32_t count) {
  IdSet out;
  for (const bool others : {false, true})
    job.for_each([&](std::uint32_t cpu) {
      if (out.count() < count && taken.contains(cpu) == others) out.insert(cpu);
    });
  return out;
}

IdSet cpu_set(std::string_view text) {
  auto parsed = text.empty() ? Result<IdSet>(IdSet()) : IdSet::parse(text, kMaxCpu);
  return parsed.ok() ? std::move(*parsed) : IdSet();
}

void add_cpus(IdSet& to, std::string_view text) {
  const IdSet cpus = cpu_set(text);
  for (const auto& range : cpus.ranges()) to.insert(range.first, range.last);
}

void remove_cpus(IdSet& from, std::string_view text) {
  const IdSet cpus = cpu_set(text);
  for (const auto& range : cpus.ranges()) from.erase(range.first, range.last);
}

}  // namespace bai::controller
