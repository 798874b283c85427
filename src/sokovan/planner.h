// Planner: the exact earliest start of one job, given what runs and what was planned before it. Private to sokovan.
//
// What runs only ever gives back, so for nodes without planned starts one list of releases by time is enough, made once for a
// pass and walked for each job; nodes that were touched since are looked at one by one. Where many starts are planned for equal
// needs, an index of windows takes over.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "sokovan/finder.h"
#include "sokovan/windows.h"

namespace bai::sokovan {

struct Planned {
  Time at;
  std::vector<Pick> picks;
};

class Planner {
 public:
  Planner(const Nodes& nodes, Finder& finder) : nodes_(nodes), finder_(finder) {}
  // What was learned of the nodes is void: before each full pass, and when nodes come, go or change.
  void forget();
  // The first time from `from` on when the option has nodes for `limit`. False when there is none.
  bool earliest(const Option& option, Time now, Time from, Seconds limit, Planned& out);
  std::uint64_t steps = 0;

 private:
  struct Release {  // from `at` on so much is free
    Time at;
    std::uint32_t position;
    Amounts free;
  };
  struct Known {  // of one arena
    std::vector<Release> releases;
    std::vector<std::uint8_t> special;  // by position: it has planned starts, or changed since
    std::vector<std::uint32_t> specials;
    std::size_t seen = 0;  // of nodes.log()
  };
  struct Event {  // a special node's capacity from `at` on
    Time at;
    std::uint32_t position, capacity;
  };
  using NeedKey = std::tuple<std::uint32_t, const Filter*, std::int32_t, std::int32_t>;
  struct Need {
    std::uint32_t uses = 0;
    std::unique_ptr<Windows> windows;
    std::shared_ptr<const Filter> filter;
  };

  Known& known(std::uint32_t arena);
  std::uint32_t bound(const Option& option, std::uint32_t position, const Amounts& free) const;
  // Those in (after, until].
  void add_events(const Option& option, std::uint32_t position, Time from, Seconds limit, Time after,
                  Time until);
  bool by_windows(const Option& option, Time from, Seconds limit, Planned& out);
  bool by_sweep(const Option& option, Time now, Time from, Seconds limit, Planned& out);

  const Nodes& nodes_;
  Finder& finder_;
  std::map<std::uint32_t, Known> known_;
  std::map<NeedKey, Need> needs_;
  std::vector<Event> events_;
  std::vector<std::uint32_t> capacity_, positions_;
};

}  // namespace bai::sokovan
