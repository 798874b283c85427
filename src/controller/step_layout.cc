#include "controller/step_layout.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "base/hostlist.h"
#include "base/text.h"
#include "controller/cpu_choice.h"

namespace bai::controller {
namespace {

using Shares = std::vector<StepShare>;

Error too_large(std::string message, std::string remedy) {
  return {"step_too_large", std::move(message), "", std::move(remedy)};
}

// A node that the step may use, with the tasks that fit there now and that would fit were the job's steps gone.
struct Candidate {
  std::size_t at = 0;
  std::uint32_t now = 0, ever = 0;
  bool wanted = false;
};

struct Wish {
  std::uint32_t tasks = 1, nodes = 1, cpus_per_task = 1;
};

Result<std::set<std::string>> names_in(const Istr& list, const std::vector<StepRoom>& rooms,
                                       const char* option) {
  std::set<std::string> out;
  if (list.empty()) return out;
  auto names = expand_hostlist(list.view());
  if (!names) return Error{"bad_hostlist", names.error().message, option, names.error().remedy};
  for (auto& name : *names) {
    if (std::none_of(rooms.begin(), rooms.end(), [&](const auto& room) { return room.has.node == name; }))
      return Error{"bad_node", "node " + name + " is not one of the job's", option,
                   "see BAI_JOB_NODELIST for those that are"};
    out.insert(std::move(name));
  }
  return out;
}

std::uint32_t fitting(std::uint32_t cpus, const StepSpec& spec, std::uint32_t cpus_per_task) {
  std::uint32_t n = spec.overcommit ? (cpus > 0 ? UINT32_MAX : 0) : cpus / cpus_per_task;
  return spec.tasks_per_node ? std::min(n, spec.tasks_per_node) : n;
}

std::uint64_t memory_of(const StepSpec& spec, std::uint32_t cpus) {
  return spec.mem_mib ? spec.mem_mib : spec.mem_per_cpu_mib * cpus;
}

std::uint32_t free_cpus(const StepSpec& spec, const StepRoom& room) {
  if (spec.overlap) return room.has.cpus;
  if (!spec.exact && room.steps > 0) return 0;  // it takes all CPUs, so it waits for all
  return room.has.cpus - std::min(room.has.cpus, room.cpus_used);
}

Result<std::vector<Candidate>> candidates(const StepSpec& spec, const std::vector<StepRoom>& rooms,
                                          std::uint32_t cpus_per_task) {
  auto wanted = names_in(spec.nodes_wanted, rooms, "--nodelist");
  if (!wanted) return wanted.error();
  auto excluded = names_in(spec.nodes_excluded, rooms, "--exclude");
  if (!excluded) return excluded.error();
  if (spec.relative && spec.first_node >= rooms.size())
    return Error{"bad_request",
                 "the job has " + std::to_string(rooms.size()) + " nodes, none with number " +
                     std::to_string(spec.first_node),
                 "--relative", "give a lower one; the first is 0"};
  std::vector<Candidate> out;
  for (std::size_t i = spec.relative ? spec.first_node : 0; i < rooms.size(); ++i) {
    const auto& room = rooms[i];
    const std::string name = room.has.node.str();
    if (excluded->contains(name)) continue;
    std::uint32_t now = fitting(free_cpus(spec, room), spec, cpus_per_task);
    const std::uint64_t memory = memory_of(spec, cpus_per_task);
    if (!spec.overlap && memory > room.has.mem_mib - std::min(room.has.mem_mib, room.mem_used_mib)) now = 0;
    std::uint32_t ever = fitting(room.has.cpus, spec, cpus_per_task);
    if (memory > room.has.mem_mib) now = ever = 0;
    out.push_back({i, now, ever, wanted->contains(name)});
  }
  return out;
}

// `want` of the candidates that hold `tasks` together, by the capacity that `room` names; empty when there are none.
std::vector<Candidate> choose(const std::vector<Candidate>& all, const Wish& wish, bool exactly,
                              std::uint32_t Candidate::*room) {
  std::vector<Candidate> usable;
  for (const auto& c : all) {
    if (c.*room > 0)
      usable.push_back(c);
    else if (c.wanted)
      return {};
  }
  std::stable_sort(usable.begin(), usable.end(),
                   [](const auto& a, const auto& b) { return a.wanted > b.wanted; });
  const auto held = [&](std::size_t n) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += usable[i].*room;
    return sum;
  };
  if (usable.size() < wish.nodes) return {};
  std::size_t n = wish.nodes;
  while (n < usable.size() && n < wish.tasks && usable[n].wanted) ++n;  // none without a task, as srun
  if (held(n) < wish.tasks && !exactly)
    while (n < usable.size() && held(n) < wish.tasks) ++n;
  if (held(n) < wish.tasks) {  // the roomiest ones may do
    std::stable_sort(usable.begin(), usable.end(), [&](const auto& a, const auto& b) {
      return a.wanted != b.wanted ? a.wanted > b.wanted : a.*room > b.*room;
    });
    if (held(n) < wish.tasks) return {};
  }
  usable.resize(n);
  std::sort(usable.begin(), usable.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
  return usable;
}

// Ranks by sbatch(1)'s --distribution.
void deal(const StepSpec& spec, std::uint32_t tasks, const std::vector<std::uint32_t>& room, Shares& shares) {
  const std::size_t n = shares.size();
  if (spec.distribution == Distribution::kBlock) {
    std::vector<std::uint32_t> counts(n, 1);
    std::uint32_t left = tasks - static_cast<std::uint32_t>(n);
    // With --overcommit nobody's room ends: evenly then.
    const bool endless = std::any_of(room.begin(), room.end(), [](auto r) { return r == UINT32_MAX; });
    const std::uint32_t even = (tasks + static_cast<std::uint32_t>(n) - 1) / static_cast<std::uint32_t>(n);
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint32_t more = std::min(left, (endless ? even : room[i]) - 1);
      counts[i] += more;
      left -= more;
    }
    std::uint32_t rank = 0;
    for (std::size_t i = 0; i < n; ++i)
      for (std::uint32_t k = 0; k < counts[i]; ++k) shares[i].ranks.push_back(rank++);
    return;
  }
  const std::uint32_t at_once = spec.distribution == Distribution::kPlane ? std::max(1u, spec.plane) : 1;
  for (std::uint32_t rank = 0; rank < tasks;)
    for (std::size_t i = 0; i < n && rank < tasks; ++i)
      for (std::uint32_t k = 0; k < at_once && rank < tasks && shares[i].ranks.size() < room[i]; ++k)
        shares[i].ranks.push_back(rank++);
}

// What a node gives of what was asked; false: not now. Whole devices and shares of one, in the order of the job's.
bool give_devices(const StepSpec& spec, const StepRoom& room, std::uint32_t node, std::uint32_t nodes,
                  StepShare& share) {
  auto left = room.has.devices;
  if (!spec.overlap)
    for (const auto& used : room.devices_used)
      for (auto& has : left)
        if (has.kind == used.kind && has.index == used.index) has.amount -= std::min(has.amount, used.amount);
  for (const auto& wanted : spec.devices) {
    DeviceAmount amount = wanted.amount;
    if (wanted.per == DevicePer::kTask) amount *= share.ranks.size();
    if (wanted.per == DevicePer::kJob)  // evenly, the first nodes one more
      amount = (wanted.amount / kWholeDevice / nodes + (node < wanted.amount / kWholeDevice % nodes)) *
               kWholeDevice;
    for (auto& has : left) {
      if (amount == 0) break;
      if (!(has.kind == wanted.kind) || !type_matches(wanted.type.view(), has.type.view())) continue;
      const DeviceAmount part =
          amount < kWholeDevice ? (has.amount >= amount ? amount : 0) : std::min(has.amount, amount);
      if (part == 0) continue;
      share.devices.push_back({has.kind, has.type, has.index, part});
      has.amount -= part;
      amount -= part;
    }
    if (amount > 0) return false;
  }
  return true;
}

std::optional<Shares> fill(const StepSpec& spec, const std::vector<StepRoom>& rooms, const Wish& wish,
                           const std::vector<Candidate>& chosen, std::uint32_t Candidate::*room) {
  Shares shares;
  std::vector<std::uint32_t> capacity;
  for (const auto& c : chosen) {
    shares.push_back({rooms[c.at].has.node, static_cast<std::uint32_t>(c.at), 0, 0, {}, {}, {}});
    capacity.push_back(c.*room);
  }
  deal(spec, wish.tasks, capacity, shares);
  for (std::size_t i = 0; i < shares.size(); ++i) {
    auto& share = shares[i];
    const auto& has = rooms[share.index];
    const auto asked = static_cast<std::uint64_t>(share.ranks.size()) * wish.cpus_per_task;
    share.cpus =
        spec.exact ? static_cast<std::uint32_t>(std::min<std::uint64_t>(asked, has.has.cpus)) : has.has.cpus;
    share.mem_mib = memory_of(spec, static_cast<std::uint32_t>(asked));
    const std::uint64_t used = spec.overlap || room == &Candidate::ever ? 0 : has.mem_used_mib;
    if (share.mem_mib > has.has.mem_mib - std::min(has.has.mem_mib, used)) return {};
    if (spec.devices.empty()) {
      share.devices = has.has.devices;
    } else {
      StepRoom free = has;
      if (room == &Candidate::ever) free.devices_used.clear();
      if (!give_devices(spec, free, static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(shares.size()),
                        share))
        return {};
    }
  }
  return shares;
}

Result<std::optional<Shares>> arbitrary(const StepSpec& spec, const std::vector<StepRoom>& rooms) {
  std::map<std::string_view, std::size_t> index;
  for (std::size_t i = 0; i < rooms.size(); ++i) index[rooms[i].has.node.view()] = i;
  std::map<std::size_t, std::vector<std::uint32_t>> ranks;
  const auto tasks = static_cast<std::uint32_t>(spec.hosts.size());
  if (spec.tasks > tasks)
    return Error{"bad_request",
                 std::to_string(spec.tasks) + " tasks and only " + std::to_string(tasks) + " hosts",
                 "SLURM_HOSTFILE", "give a line for each task"};
  for (std::uint32_t rank = 0; rank < (spec.tasks ? spec.tasks : tasks); ++rank) {
    auto it = index.find(spec.hosts[rank].view());
    if (it == index.end())
      return Error{"bad_node", "node " + spec.hosts[rank].str() + " is not one of the job's",
                   "SLURM_HOSTFILE", "see BAI_JOB_NODELIST for those that are"};
    ranks[it->second].push_back(rank);
  }
  Shares shares;
  const std::uint32_t cpus_per_task = std::max(1u, spec.cpus_per_task);
  for (auto& [at, mine] : ranks) {
    const auto& room = rooms[at];
    const auto asked = static_cast<std::uint64_t>(mine.size()) * cpus_per_task;
    if (!spec.overcommit && asked > room.has.cpus)
      return too_large("node " + room.has.node.str() + " has " + std::to_string(room.has.cpus) +
                           " CPUs of the job, its tasks ask for " + std::to_string(asked),
                       "spread them over more nodes");
    if (!spec.overcommit && asked > free_cpus(spec, room)) return std::optional<Shares>();
    shares.push_back({room.has.node, static_cast<std::uint32_t>(at),
                      spec.exact ? static_cast<std::uint32_t>(std::min<std::uint64_t>(asked, room.has.cpus))
                                 : room.has.cpus,
                      memory_of(spec, static_cast<std::uint32_t>(asked)), room.has.devices, std::move(mine)});
  }
  return std::optional<Shares>(std::move(shares));
}

}  // namespace

void take(std::vector<StepRoom>& rooms, const Step& step) {
  if (step.spec.overlap) return;
  for (const auto& share : step.nodes) {
    if (share.index >= rooms.size()) continue;
    auto& room = rooms[share.index];
    room.steps++;
    room.cpus_used += share.cpus;
    add_cpus(room.cpus_taken, share.cpu_ids.view());
    room.mem_used_mib += share.mem_mib;
    if (!step.spec.devices.empty())
      room.devices_used.insert(room.devices_used.end(), share.devices.begin(), share.devices.end());
  }
}

void give(std::vector<StepRoom>& rooms, const Step& step) {
  if (step.spec.overlap) return;
  for (const auto& share : step.nodes) {
    if (share.index >= rooms.size()) continue;
    auto& room = rooms[share.index];
    room.steps -= std::min(room.steps, 1u);
    room.cpus_used -= std::min(room.cpus_used, share.cpus);
    remove_cpus(room.cpus_taken, share.cpu_ids.view());
    room.mem_used_mib -= std::min(room.mem_used_mib, share.mem_mib);
    if (step.spec.devices.empty()) continue;
    for (const auto& device : share.devices)
      if (auto it = std::find(room.devices_used.begin(), room.devices_used.end(), device);
          it != room.devices_used.end())
        room.devices_used.erase(it);
  }
}

namespace {

Result<std::optional<Shares>> choose_shares(const StepSpec& spec, const std::vector<StepRoom>& rooms) {
  if (spec.distribution == Distribution::kArbitrary && !spec.hosts.empty()) return arbitrary(spec, rooms);
  Wish wish;
  wish.cpus_per_task = std::max(1u, spec.cpus_per_task);
  auto all = candidates(spec, rooms, wish.cpus_per_task);
  if (!all) return all.error();
  const auto there = static_cast<std::uint32_t>(all->size());
  if (spec.min_nodes > there)
    return too_large("Requested node configuration is not available",
                     "the job has " + std::to_string(rooms.size()) + " nodes; ask for fewer");
  wish.nodes = spec.min_nodes ? spec.min_nodes : std::max(1u, there);
  if (spec.max_nodes) wish.nodes = std::min(wish.nodes, spec.max_nodes);
  if (spec.tasks) {
    wish.tasks = spec.tasks;
    // Of one that takes just its CPUs, as few nodes as hold it; of another, all that the job has.
    if (!spec.min_nodes && spec.exact) wish.nodes = 1;
    wish.nodes = std::min(wish.nodes, wish.tasks);
  } else {
    wish.tasks = wish.nodes * std::max(1u, spec.tasks_per_node);
  }
  const bool exactly = spec.min_nodes > 0 || (spec.max_nodes > 0 && spec.max_nodes <= wish.nodes);
  if (auto chosen = choose(*all, wish, exactly, &Candidate::now); !chosen.empty())
    if (auto shares = fill(spec, rooms, wish, chosen, &Candidate::now)) return shares;
  if (auto chosen = choose(*all, wish, exactly, &Candidate::ever); !chosen.empty())
    if (fill(spec, rooms, wish, chosen, &Candidate::ever)) return std::optional<Shares>();
  return too_large("More processors requested than permitted",
                   "the job has " +
                       std::to_string(std::accumulate(
                           rooms.begin(), rooms.end(), 0u,
                           [](std::uint32_t sum, const auto& room) { return sum + room.has.cpus; })) +
                       " CPUs on " + std::to_string(rooms.size()) +
                       " nodes; ask for fewer tasks, CPUs, memory or devices");
}

}  // namespace

Result<std::optional<Shares>> lay_out(const StepSpec& spec, const std::vector<StepRoom>& rooms) {
  auto shares = choose_shares(spec, rooms);
  if (shares && *shares)
    for (auto& share : **shares) {
      const auto& room = rooms[share.index];
      const IdSet taken = spec.overlap ? IdSet() : room.cpus_taken;
      share.cpu_ids =
          share.cpus >= room.has.cpus
              ? room.has.cpu_ids
              : Istr(choose_step_cpus(cpu_set(room.has.cpu_ids.view()), taken, share.cpus).format());
    }
  return shares;
}

}  // namespace bai::controller
