// Nodes as the scheduler sees them, and who has booked what of them for when. Private to sokovan.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "sokovan/arena.h"
#include "sokovan/sokovan.h"
#include "sokovan/timeline.h"

namespace bai::sokovan {

// What a job has or will have: running, decided to start and not yet confirmed, or planned. Registered with its nodes by address.
struct Booking {
  enum Kind : std::uint8_t { kRunning, kDecided, kPlanned };
  struct Part {
    std::uint32_t node;
    Taken taken;
    friend bool operator==(const Part&, const Part&) = default;
  };
  std::uint64_t id = 0;  // ascending in order of making
  JobId job = 0;         // the array's head for a start decided from it
  JobId array = 0;
  std::uint32_t task = kNoTask;
  std::uint32_t uid = 0;
  Kind kind = kRunning;
  bool exclusive = false;       // nodes shared with nobody
  bool exclusive_user = false;  // with the same user's jobs only
  std::uint8_t extensions = 0;  // how often its predicted run time proved too short
  Time from = kBeginning;       // of a planned one: its start
  Time to = kFarFuture;         // when it is expected to end
  Time latest = kFarFuture;     // when its limit ends it
  std::vector<Part> parts;
  std::vector<std::pair<std::uint32_t, std::int32_t>> licenses;  // index, count
};

// One booking's part of one node.
struct Seat {
  const Booking* booking;
  std::uint32_t part;
};

struct NodeSlot {
  Istr name;
  std::vector<std::string> features;
  std::uint32_t weight = 1;
  bool exists = false, usable = false;
  std::uint32_t sockets = 1, cores = 1, threads = 1;  // cores of a socket, threads of a core
  std::uint64_t tmp_mib = 0;
  Amounts total;
  std::vector<DeviceGroup> devices;
  Layout layout;
  std::uint32_t leaf = kNowhere;  // its leaf switch
  std::uint32_t jobs = 0;         // that hold something here now
  std::uint32_t plans = 0;
  std::uint32_t closed = 0;  // of both, those that share it with their own user's only
  Timeline timeline;         // from now on
  std::vector<Seat> seats;
  struct Place {
    std::uint32_t arena, position;
  };
  std::vector<Place> places;
};

class Nodes {
 public:
  std::size_t size() const { return slots_.size(); }
  const NodeSlot& operator[](std::uint32_t node) const { return slots_[node]; }
  const NodeSlot* find(std::string_view name, std::uint32_t* index = nullptr) const;
  Names& names() { return names_; }
  const Names& names() const { return names_; }

  enum class Changed : std::uint8_t { kNothing, kUsable, kShape, kMembers };  // the last: arenas are void
  Changed set(const NodeSet& set);
  bool gone(std::string_view name);
  void set_leaf(std::uint32_t node, std::uint32_t leaf) { slots_[node].leaf = leaf; }

  // The arena of a partition's nodes; equal lists share one. Void after kMembers.
  std::uint32_t arena(const std::vector<Istr>& members);
  const Arena& arena_at(std::uint32_t index) const { return *arenas_[index]; }
  Arena& arena_at(std::uint32_t index) { return *arenas_[index]; }
  std::uint64_t arena_generation() const { return arena_generation_; }

  // Puts the booking on its nodes' timelines and seats, or takes it off. It must stay where it is in between.
  void add(const Booking& booking);
  void remove(const Booking& booking);
  // Another expected end.
  void move_end(Booking& booking, Time to);

  void set_now(Time now) { now_ = now; }  // never backwards
  // New horizons, from `now` on. Nodes that somebody planned for are looked at again, others are as they were.
  void begin_pass(Time now);
  Time horizon(std::size_t index) const { return horizons_[index]; }
  // The last horizon at or before `end`, to rule out with.
  std::size_t horizon_before(Time end) const;

  // What is free now, for fit().
  NodeRoom room(std::uint32_t node) const;
  // Every change of a node's timeline is appended here; planners keep their place in it.
  struct Change {
    std::uint32_t node;
    Time from, to;
  };
  const std::vector<Change>& log() const { return log_; }
  void clear_log() { log_.clear(); }
  // Whether anything now or later shares its nodes with its own user's jobs only.
  bool any_closed() const { return closed_ != 0; }
  // For tests: timelines and trees are what the seats say.
  std::string check(Time now) const;

 private:
  void update(std::uint32_t node);  // its leaves in all trees
  void rebuild(std::uint32_t node);
  Taken taken_by(const Booking& booking, const Booking::Part& part) const;
  void forget_arenas();

  std::deque<NodeSlot> slots_;  // in order of their first NodeSet; timelines point into them
  std::unordered_map<std::string, std::uint32_t> index_;
  Names names_;
  std::vector<std::unique_ptr<Arena>> arenas_;
  std::map<std::vector<std::uint32_t>, std::uint32_t> arena_of_;  // by members in configuration order
  std::uint64_t arena_generation_ = 1;
  std::vector<Change> log_;
  Time now_;
  std::array<Time, kHorizons.size()> horizons_{};
  std::uint64_t closed_ = 0;
};

}  // namespace bai::sokovan
