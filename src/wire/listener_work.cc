// The listener's workers: MUNGE, unsealing, and the callbacks.
#include "base/thread_name.h"
#include "wire/listener_impl.h"

namespace bai::wire {
namespace {

constexpr int kItemsPerTurn = 32;  // of one connection before a worker turns to another

}  // namespace

void Listener::Impl::give_work(const ConnPtr& conn) {
  {
    const std::lock_guard lock(work_mutex);
    (conn->known ? work : strangers).push_back(conn);
  }
  work_ready.notify_one();
}

void Listener::Impl::work_loop() {
  name_thread("wire-work");
  bool greeted = false;  // last; they take turns
  for (;;) {
    ConnPtr conn;
    bool greets = false;
    {
      // MUNGE and name services may hang, and strangers wait for them: one worker is always left for those who are known.
      std::unique_lock lock(work_mutex);
      const auto may_greet = [&] { return !strangers.empty() && greeting < options.workers; };
      work_ready.wait(lock, [&] { return work_stop || !work.empty() || may_greet(); });
      if (work_stop) return;
      greets = may_greet() && (work.empty() || !greeted);
      greeted = greets;
      auto& from = greets ? strangers : work;
      conn = std::move(from.front());
      from.pop_front();
      greeting += greets;
    }
    take_turn(conn);
    if (greets) {
      const std::lock_guard lock(work_mutex);
      --greeting;
      if (!strangers.empty()) work_ready.notify_one();
    }
  }
}

void Listener::Impl::take_turn(const ConnPtr& conn) {
  for (int i = 0; i < kItemsPerTurn; ++i) {
    Parts message;
    {
      const std::lock_guard lock(conn->mutex);
      if ((conn->closing || conn->kill) && !conn->inbound.empty()) {
        conn->inbound.clear();
        n.inbound_bytes -= std::exchange(conn->inbound_bytes, 0);
      }
      if (conn->inbound.empty()) {
        conn->scheduled = false;
        if (!std::exchange(conn->gone, false)) return;
      } else {
        message = std::move(conn->inbound.front());
        conn->inbound.pop_front();
        conn->inbound_bytes -= held_by(message);
        n.inbound_bytes -= held_by(message);
      }
    }
    if (message.empty()) {  // gone, and nothing is left of it
      if (conn->followed && callbacks.on_closed) callbacks.on_closed(conn->id);
      return;
    }
    if (conn->known) {
      on_frame(conn, message);
    } else {
      on_hello(conn, std::move(message));
    }
  }
  give_work(conn);
}

void Listener::Impl::on_hello(const ConnPtr& conn, Parts hello) {
  auto opened = DaemonSession::accept(options.self, hello);
  hello = {};
  if (!opened) {
    ++n.refused;
    note(log::Level::warning, *conn, opened.error(), "a caller was refused");
    const std::lock_guard lock(conn->mutex);
    refuse_with(conn, opened.error());
    return end_handshake(*conn);
  }
  ++n.authenticated;
  conn->session.emplace(std::move(opened->session));
  conn->caller = std::move(opened->caller);
  {
    const std::lock_guard lock(conn->mutex);
    if (conn->closing || conn->kill || conn->gone) return;  // too late: nobody hears of it
    if (!count_user(conn->caller.uid, 1)) {
      ++n.refused;
      const Error busy{"busy", "too many connections of uid " + std::to_string(conn->caller.uid)};
      note(log::Level::warning, *conn, busy, "a caller was refused");
      refuse_with(conn, busy);
      return end_handshake(*conn);
    }
    conn->known = true;
    end_handshake(*conn);
    release_hello(*conn);
    conn->followed = !opened->early && callbacks.on_opened;
    if (!opened->early) enqueue(conn, conn->session->seal({}));
  }
  if (opened->early) {
    deliver(conn, std::move(*opened->early));
  } else if (callbacks.on_opened) {
    callbacks.on_opened(conn->id, conn->caller);
  }
}

void Listener::Impl::on_frame(const ConnPtr& conn, const Parts& message) {
  auto plain = conn->session->open(message);
  if (!plain) {
    ++n.broken;
    note(log::Level::warning, *conn, plain.error(), "a session was ended");
    const std::lock_guard lock(conn->mutex);
    conn->kill = true;
    return mark_dirty(conn);
  }
  deliver(conn, std::move(*plain));
}

void Listener::Impl::deliver(const ConnPtr& conn, std::string plaintext) {
  ++n.messages_in;
  if (!callbacks.on_message(conn->id, conn->caller, std::move(plaintext))) return;
  const std::lock_guard lock(conn->mutex);
  conn->followed = true;
}

}  // namespace bai::wire
