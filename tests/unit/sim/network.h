// Network: what TCP promises between agents and the controller and no more: in order within a session, cut anywhere at any time, the
// ends notice at different times, and nothing is promised between two sessions. One thread.
#pragma once

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "controller/io.h"
#include "world.h"

namespace bai::sim {

class Network {
 public:
  using Conn = controller::ConnId;
  // What the ends hear. A session that an end has closed tells it nothing more.
  std::function<void(int agent, Conn)> on_up, on_down;  // at the agent
  std::function<void(int agent, Conn, wire::OrderBody)> on_order;
  std::function<void(int controller, Conn, wire::AgentBody)> on_agent;
  std::function<void(int controller, Conn)> on_closed;

  explicit Network(World& world) : world_(world) {}

  Conn new_id() { return ++last_; }

  // An agent dials any controller that listens; nullopt-like 0 when nobody does.
  void dial(int agent) {
    world_.after(world_.between(100, 2'000), [this, agent] {
      if (listening_.empty()) return on_down(agent, 0);
      auto controller = listening_.begin();
      if (listening_.size() > 1) std::advance(controller, world_.rng.below(listening_.size()));
      Conn id = new_id();
      auto& session = sessions_[id];
      session.agent = agent;
      session.controller = *controller;
      session.slow = world_.fault(20);
      if (world_.fault(10)) world_.after(world_.between(0, 20'000'000), [this, id] { cut(id); });
      on_up(agent, id);
    });
  }
  void listen(int controller, bool open) {
    if (open)
      listening_.insert(controller);
    else
      listening_.erase(controller);
  }

  void to_controller(Conn id, wire::AgentBody body) {
    auto it = sessions_.find(id);
    if (it == sessions_.end() || !it->second.agent_open) return;
    send(id, it->second.up, [this, id, body = std::move(body)]() mutable {
      auto session = sessions_.find(id);
      if (session != sessions_.end() && session->second.controller_open)
        on_agent(session->second.controller, id, std::move(body));
    });
  }
  bool to_agent(Conn id, wire::OrderBody order) {
    auto it = sessions_.find(id);
    if (it == sessions_.end() || !it->second.controller_open) return false;
    int agent = it->second.agent;
    send(id, it->second.down, [this, id, agent, order = std::move(order)]() mutable {
      auto session = sessions_.find(id);
      if (session != sessions_.end() && session->second.agent_open) on_order(agent, id, std::move(order));
    });
    return true;
  }

  // The agent's end is closed, by itself or by its death. What it sent may still arrive, in part, and late.
  void agent_closes(Conn id) {
    auto it = sessions_.find(id);
    if (it == sessions_.end() || !it->second.agent_open) return;
    it->second.agent_open = false;
    lose_some(it->second.up);
    tell_controller(id);
  }
  void controller_closes(Conn id) {
    auto it = sessions_.find(id);
    if (it == sessions_.end() || !it->second.controller_open) return;
    lose_some(it->second.down);
    tell_agent(id);
    it->second.controller_open = false;
    world_.after(world_.between(0, 5'000),
                 [this, id, controller = it->second.controller] { on_closed(controller, id); });
  }
  // A controller died: its ends are gone with it, and it hears nothing more of these sessions.
  void controller_dies(int controller) {
    for (auto& [id, session] : sessions_) {
      if (session.controller != controller) continue;
      if (session.controller_open) tell_agent(id);
      session.controller_open = false;
    }
  }
  // It does not answer any more: the agents notice by their heartbeats, sooner or later.
  void controller_is_silent(int controller) {
    for (const auto& [id, session] : sessions_)
      if (session.controller == controller && session.agent_open)
        world_.after(world_.between(10'000'000, 60'000'000), [this, id = id] { tell_agent(id); });
  }
  void cut(Conn id) {
    auto it = sessions_.find(id);
    if (it == sessions_.end()) return;
    world_.note("session " + std::to_string(id) + " is cut");
    lose_some(it->second.up);
    lose_some(it->second.down);
    if (it->second.agent_open) tell_agent(id);
    if (it->second.controller_open) tell_controller(id);
  }
  void cut_one() {
    if (sessions_.empty()) return;
    auto it = sessions_.end();
    for (auto back = world_.rng.below(4); back > 0 && std::prev(it) != sessions_.begin(); --back) --it;
    cut(std::prev(it)->first);
  }

 private:
  struct Direction {
    std::uint64_t sent = 0, passed = 0, limit = ~std::uint64_t{0};
    std::int64_t last_us = 0;
  };
  struct Session {
    int agent = 0, controller = 0;
    bool agent_open = true, controller_open = true, slow = false;
    Direction up, down;
  };

  void send(Conn id, Direction& d, std::function<void()> deliver) {
    std::uint64_t number = ++d.sent;
    bool up = &d == &sessions_[id].up;
    std::int64_t delay = world_.between(50, 1'500);
    if (world_.fault(40) || sessions_[id].slow) delay = world_.between(0, 3'000'000);
    if (world_.fault(2'000)) delay = world_.between(0, 30'000'000);
    d.last_us = std::max(d.last_us, world_.us() + delay);
    world_.after(d.last_us - world_.us(), [this, id, up, number, deliver = std::move(deliver)] {
      auto it = sessions_.find(id);
      if (it == sessions_.end()) return;
      Direction& direction = up ? it->second.up : it->second.down;
      if (number > direction.limit) return;
      direction.passed = number;
      deliver();
    });
  }
  void lose_some(Direction& d) {
    std::uint64_t on_the_way = std::min(d.sent, d.limit) - std::min(d.passed, d.limit);
    d.limit = std::min(d.limit, d.passed + world_.rng.below(on_the_way + 1));
  }
  std::int64_t notice_us() {
    return world_.fault(8) ? world_.between(0, 60'000'000) : world_.between(0, 50'000);
  }
  void tell_agent(Conn id) {
    world_.after(notice_us(), [this, id] {
      auto it = sessions_.find(id);
      if (it == sessions_.end() || !it->second.agent_open) return;
      it->second.agent_open = false;
      lose_some(it->second.up);
      tell_controller(id);
      on_down(it->second.agent, id);
    });
  }
  void tell_controller(Conn id) {
    auto it = sessions_.find(id);
    std::int64_t when = std::max<std::int64_t>(it->second.up.last_us - world_.us(), 0) + notice_us();
    world_.after(when, [this, id] {
      auto session = sessions_.find(id);
      if (session == sessions_.end() || !session->second.controller_open) return;
      session->second.controller_open = false;
      int controller = session->second.controller;
      if (!session->second.agent_open) sessions_.erase(session);
      on_closed(controller, id);
    });
  }

  World& world_;
  Conn last_ = 0;
  std::set<int> listening_;
  std::map<Conn, Session> sessions_;
};

}  // namespace bai::sim
