// Watchers: who follows the queue. Each gets a snapshot and then the changes that match what it asked for. What waits for a
// watcher to read it is bounded: one that falls behind is told nothing more until it has read all, then "resync" and a snapshot
// anew on the same connection. DESIGN 2. The committer's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "controller/select.h"
#include "controller/view.h"

namespace bai::controller {

class Watchers {
 public:
  struct Hooks {
    std::function<bool(ConnId, std::string bytes)> send;  // false: it is gone
    std::function<std::size_t(ConnId)> unread;            // bytes sent to it that it has not taken yet
    std::function<Time()> now;
  };
  // Bytes of changes that may wait, beside the rest of the snapshot.
  static constexpr std::size_t kSlack = 4 << 20;

  explicit Watchers(Hooks hooks) : hooks_(std::move(hooks)) {}

  void begin(ConnId conn, RequestId request, Selector selector, const View& view);
  void forget(ConnId conn);
  // The changes of one batch; the view is of the same LSN.
  void tell(const Effects& effects, const View& view);
  // Sends those a snapshot who have fallen behind and have read everything since. Returns how many.
  std::size_t catch_up(const View& view);
  // Whether there are such: catch_up() has to be called now and then.
  bool behind() const;

 private:
  struct Watch {
    ConnId conn = 0;
    RequestId request;
    Selector selector;
    std::unordered_set<JobId> shown;
    std::size_t limit = 0;  // of unread bytes
    bool behind = false;
  };
  void send_snapshot(Watch& watch, const View& view);
  void tell(Watch& watch, const std::vector<const ViewJob*>& changes, Lsn lsn);

  Hooks hooks_;
  std::vector<std::unique_ptr<Watch>> watches_;
};

}  // namespace bai::controller
