// Committer: the store thread. Outputs of the state machine come in; many are committed as one transaction; only then does
// anything leave: the view is published, replies and orders are sent, watchers are told. DESIGN 2 and 6.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <variant>
#include <vector>

#include "controller/channel.h"
#include "controller/select.h"
#include "controller/stats.h"
#include "controller/view.h"
#include "controller/watchers.h"
#include "store/store.h"

namespace bai::controller {

// What the committer needs of the daemon. All are called on its thread.
struct CommitterHooks {
  std::function<Time()> now;
  std::function<bool(ConnId, const std::string& bytes)> send;
  std::function<std::size_t(ConnId)> unread;  // bytes sent that it has not taken yet
  std::function<void(ConnId)> close;
  std::function<void(const MailOut&)> mail;
  std::function<void(HookOut)> hook;
  // The store refused a commit and memory is ahead of it: stop feeding, `why` is for people. Followed by `recovered`.
  std::function<void(std::string why)> lost;
  // The store answers again; this is all it holds. Outputs of older generations are dropped.
  std::function<void(std::uint64_t generation, Lineage, store::Loaded)> recovered;
  // Another controller took over: end at once. Nothing is sent after it.
  std::function<void(std::string why)> superseded;
  std::function<void(const RequestId&)> replied;
  // So often the store is asked whether it is still ours when nothing else does: a controller that was replaced ends also when idle, and its
  // agents go to the new one.
  std::chrono::milliseconds confirm_every{10'000};
};

// Keeps recently used contents by hash, up to a number of bytes, so that a thousand launches of one script read it once.
class ContentCache {
 public:
  explicit ContentCache(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  void put(const Hash256& hash, std::shared_ptr<const std::string> bytes);
  std::shared_ptr<const std::string> get(const Hash256& hash);

 private:
  struct Entry {
    Hash256 hash;
    std::shared_ptr<const std::string> bytes;
  };
  std::size_t max_bytes_;
  std::size_t bytes_ = 0;
  std::list<Entry> entries_;  // newest first
  std::unordered_map<Hash256, std::list<Entry>::iterator> index_;
};

class Committer {
 public:
  Committer(std::unique_ptr<store::Store> store, std::unique_ptr<store::Reader> reader, Board& board,
            Stats& stats, CommitterHooks hooks);
  ~Committer();

  void start();
  void put(Output output);
  // A watch: the matching jobs of the view first, then what changes, until the connection is forgotten.
  void watch(ConnId conn, const Caller& caller, RequestId request, const wire::JobFilter& filter);
  void forget(ConnId conn);
  // Commits what was put, and ends.
  void stop();
  std::size_t backlog() const { return channel_.size(); }

 private:
  struct Watch {
    ConnId conn;
    RequestId request;
    Selector selector;
  };
  struct Forget {
    ConnId conn;
  };
  using Item = std::variant<Output, Watch, Forget>;

  static bool urgent(const Item& item);  // somebody waits for it
  void run();
  void handle(std::vector<Output>& outputs);
  // kLate: it was found to be durable after the store was opened anew; the state must be loaded anew all the same.
  enum class Outcome { kDone, kLate, kFailed };
  Outcome commit(store::Batch& batch);  // an empty one: only confirms that the store is still ours
  void confirm();
  Outcome superseded(const Error& why);
  void refuse(const Output& output);
  void recover();
  void release(Effects& effects, const store::Batch& batch);
  void launch(std::vector<LaunchOut>& launches);
  Result<wire::LaunchOrder> order_for(const LaunchOut& launch);
  Result<std::shared_ptr<const std::string>> content(const Hash256& hash);
  void housekeeping();

  std::unique_ptr<store::Store> store_;
  std::unique_ptr<store::Reader> reader_;
  Board& board_;
  Stats& stats_;
  CommitterHooks hooks_;
  Watchers watchers_;
  Channel<Item> channel_;
  ContentCache contents_{64 << 20};
  std::unordered_map<JobId, LaunchRecord> launches_;  // of jobs submitted lately
  std::uint64_t changes_since_checkpoint_ = 0;
  std::chrono::steady_clock::time_point pruned_at_{};
  std::uint64_t changes_since_prune_ = 0;
  std::uint64_t generation_ = 0;  // outputs of older ones come from a machine that was dropped
  std::chrono::steady_clock::time_point confirmed_at_{};  // the store was ours
  bool over_ = false;    // replaced, or ending on a commit of unknown outcome: nothing more leaves
  std::string trouble_;  // why the last commit failed
  bool fresh_ = false;   // the next output carries a whole view
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace bai::controller
