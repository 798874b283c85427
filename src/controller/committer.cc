#include "controller/committer.h"

#include <algorithm>
#include <thread>

#include "base/crash_point.h"
#include "base/log.h"
#include "base/thread_name.h"
#include "controller/past_runs.h"
#include "controller/queries.h"

namespace bai::controller {

using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::milliseconds kLinger{2};
constexpr std::chrono::milliseconds kIdle{10'000}, kCatchUp{100};  // how long to wait for something to commit
constexpr std::uint64_t kCheckpointIdle = 500;     // changes since the last, when there is nothing else to do
constexpr std::uint64_t kCheckpointBusy = 50'000;  // and when there always is
// Rows pruned at once, every ten minutes or this many changes: more than those changes can have brought.
constexpr std::uint32_t kPruneRows = 20'000;

bool leaves(const Effects& effects) {
  return !effects.replies.empty() || !effects.orders.empty() || !effects.launches.empty() ||
         !effects.mails.empty();
}

}  // namespace

void ContentCache::put(const Hash256& hash, std::shared_ptr<const std::string> bytes) {
  if (index_.contains(hash) || bytes->size() > max_bytes_) return;
  bytes_ += bytes->size();
  entries_.push_front({hash, std::move(bytes)});
  index_[hash] = entries_.begin();
  while (bytes_ > max_bytes_) {
    bytes_ -= entries_.back().bytes->size();
    index_.erase(entries_.back().hash);
    entries_.pop_back();
  }
}

std::shared_ptr<const std::string> ContentCache::get(const Hash256& hash) {
  auto it = index_.find(hash);
  if (it == index_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, it->second);
  return it->second->bytes;
}

Committer::Committer(std::unique_ptr<store::Store> store, std::unique_ptr<store::Reader> reader, Board& board,
                     Stats& stats, CommitterHooks hooks)
    : store_(std::move(store)),
      reader_(std::move(reader)),
      board_(board),
      stats_(stats),
      hooks_(std::move(hooks)),
      watchers_({hooks_.send, hooks_.unread, hooks_.now}) {}

Committer::~Committer() { stop(); }

void Committer::start() {
  pruned_at_ = confirmed_at_ = Clock::now();
  thread_ = std::thread([this] { run(); });
}

void Committer::put(Output output) { channel_.put(std::move(output)); }

void Committer::watch(ConnId conn, const Caller& caller, RequestId request, const wire::JobFilter& filter) {
  channel_.put(Watch{conn, request, Selector(filter, caller)});
}

bool Committer::urgent(const Item& item) {
  auto* output = std::get_if<Output>(&item);
  if (!output) return true;
  const Effects& effects = output->effects;
  return !effects.replies.empty() || !effects.launches.empty() || !effects.close.empty() || effects.config ||
         effects.trouble;
}

void Committer::forget(ConnId conn) { channel_.put(Forget{conn}); }

void Committer::stop() {
  stopping_ = true;
  channel_.close();
  if (thread_.joinable()) thread_.join();
}

void Committer::run() {
  name_thread("store");
  for (;;) {
    auto items =
        channel_.take(Clock::now() + (watchers_.behind() ? kCatchUp : std::min(kIdle, hooks_.confirm_every)));
    if (items.empty() && channel_.closed()) return;
    // News that nobody waits for lingers a little: the next is seldom far, and one sync serves both.
    auto linger = Clock::now() + kLinger;
    while (!items.empty() && std::none_of(items.begin(), items.end(), urgent) && Clock::now() < linger &&
           !channel_.closed()) {
      auto more = channel_.take(linger);
      items.insert(items.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
    }
    std::vector<Output> outputs;
    for (auto& item : items) {
      if (auto* output = std::get_if<Output>(&item)) {
        outputs.push_back(std::move(*output));
        continue;
      }
      handle(outputs);  // watches begin after what came before them
      outputs.clear();
      if (auto* watch = std::get_if<Watch>(&item))
        watchers_.begin(watch->conn, watch->request, std::move(watch->selector), *board_.get());
      else
        watchers_.forget(std::get<Forget>(item).conn);
    }
    handle(outputs);
    if (watchers_.behind()) stats_.count("watch_resyncs", watchers_.catch_up(*board_.get()));
    if (Clock::now() - confirmed_at_ >= hooks_.confirm_every) confirm();
    if (channel_.size() == 0 || changes_since_checkpoint_ >= kCheckpointBusy) housekeeping();
  }
}

void Committer::handle(std::vector<Output>& outputs) {
  if (outputs.empty() || over_) return;
  Effects effects;
  store::Batch batch;
  auto append = [](auto& to, auto& from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  };
  std::erase_if(outputs, [this](const Output& output) {
    if (output.generation == generation_) return false;
    refuse(output);
    return true;
  });
  if (outputs.empty()) return;
  if (std::exchange(fresh_, false)) board_.publish(std::make_shared<View>());
  for (auto& output : outputs) {
    if (output.batch.first) {
      if (!batch.first) batch.first = output.batch.first;
      batch.last = output.batch.last;
      append(batch.changes, output.batch.changes);
    }
    batch.last_job_id = std::max(batch.last_job_id, output.batch.last_job_id);
  }
  // What was answered before is said again without a new commit, and a repeated order needs none: neither is ours to say any more once
  // another controller has taken over.
  const bool asks = batch.first || std::any_of(outputs.begin(), outputs.end(),
                                               [](const Output& output) { return leaves(output.effects); });
  const Outcome outcome = asks ? commit(batch) : Outcome::kDone;
  if (outcome == Outcome::kFailed) {
    if (over_) return;  // no answer, and the caller asks again
    for (const auto& output : outputs) refuse(output);
    return recover();
  }
  for (auto& output : outputs) {
    auto& from = output.effects;
    append(effects.replies, from.replies);
    append(effects.orders, from.orders);
    append(effects.launches, from.launches);
    append(effects.close, from.close);
    append(effects.jobs, from.jobs);
    append(effects.nodes, from.nodes);
    append(effects.nodes_gone, from.nodes_gone);
    append(effects.partitions, from.partitions);
    append(effects.partitions_gone, from.partitions_gone);
    append(effects.mails, from.mails);
    append(effects.hooks, from.hooks);
    if (from.config) effects.config = from.config;
    if (from.trouble) effects.trouble = from.trouble;
  }
  release(effects, batch);
  if (outcome == Outcome::kLate) recover();
}

Committer::Outcome Committer::commit(store::Batch& batch) {
  Status status;
  if (batch.first) {
    crash_point("ctld.before_commit");
    auto begun = Clock::now();
    status = store_->commit(batch);
    auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begun);
    stats_.commit(batch.changes.size(), took.count());
    changes_since_checkpoint_ += batch.changes.size();
    changes_since_prune_ += batch.changes.size();
    if (status) stats_.moves(batch.changes);
    if (status) crash_point("ctld.after_commit");
  } else {
    status = store_->confirm();
  }
  confirmed_at_ = Clock::now();
  if (status) return Outcome::kDone;
  // The outcome is unknown: only the store itself can tell.
  if (status.error().code == "superseded") return superseded(status.error());
  log::error(batch.first ? "a commit failed" : "the store was asked and failed",
             {{"why", status.error().text()}, {"first", batch.first}, {"last", batch.last}});
  auto view = std::make_shared<View>(*board_.get());
  view->stale = true;
  board_.publish(view);
  trouble_ = status.error().text();
  hooks_.lost(trouble_);
  store_->release_ballast(true);
  auto pause = std::chrono::milliseconds(100);
  bool told = false;
  while (!stopping_) {
    auto opened = store_->reopen();
    if (opened) return store_->lineage().lsn >= batch.last ? Outcome::kLate : Outcome::kFailed;
    if (opened.error().code == "superseded") return superseded(opened.error());
    if (!told) log::error("the store does not open again; trying on", {{"why", opened.error().text()}});
    told = true;
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::milliseconds(2000));
  }
  over_ = true;  // nobody knows whether it was done
  return Outcome::kFailed;
}

Committer::Outcome Committer::superseded(const Error& why) {
  over_ = true;
  hooks_.superseded(why.text());
  return Outcome::kFailed;
}

void Committer::confirm() {
  if (over_) return;
  store::Batch nothing;
  if (commit(nothing) == Outcome::kLate) recover();
}

void Committer::refuse(const Output& output) {
  for (const auto& reply : output.effects.replies)
    hooks_.send(reply.conn,
                wire::encode_reply(
                    {reply.reply.id,
                     wire::ErrorBody{{"store_unavailable",
                                      "the store does not take changes now, nothing was done: " + trouble_,
                                      "", "try again; bai-control ping says when it is well"}}}));
}

// Memory is ahead of the store: what was not committed was refused; everything is loaded anew by the code that recovers a restart.
void Committer::recover() {
  auto pause = std::chrono::milliseconds(100);
  while (!stopping_) {
    auto probe = store_->probe();
    if (probe) {
      auto loaded = store_->load();
      auto reader = store_->open_reader();
      if (loaded && reader) {
        loaded->ended = past_runs(**reader);
        reader_ = std::move(*reader);
        launches_.clear();
        log::info("the store is well again", {{"lsn", store_->lineage().lsn}});
        store_->release_ballast(false);
        fresh_ = true;
        hooks_.recovered(++generation_, store_->lineage(), std::move(*loaded));
        return;
      }
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::milliseconds(2000));
    auto reopened = store_->reopen();
    if (!reopened && reopened.error().code == "superseded") {
      superseded(reopened.error());
      return;
    }
  }
  over_ = true;
}

void Committer::release(Effects& effects, const store::Batch& batch) {
  bool ended = false;
  for (const auto& change : batch.changes) {
    if (auto* put = std::get_if<store::ContentPut>(&change)) contents_.put(put->hash, put->bytes);
    if (auto* put = std::get_if<store::LaunchPut>(&change)) {
      if (launches_.size() > 2'000) launches_.clear();
      launches_[put->job] = put->launch;
    }
    ended = ended || std::holds_alternative<store::JobEnded>(change);
  }
  if (ended) crash_point("ctld.end_committed");
  bool seen = !effects.jobs.empty() || !effects.nodes.empty() || !effects.nodes_gone.empty() ||
              !effects.partitions.empty() || !effects.partitions_gone.empty() || effects.config ||
              effects.trouble || batch.first;
  if (seen) board_.publish(advance(*board_.get(), effects, store_->lineage()));
  if (!effects.replies.empty()) crash_point("ctld.before_reply");
  for (auto& reply : effects.replies) {
    hooks_.send(reply.conn, wire::encode_reply(reply.reply));
    hooks_.replied(reply.reply.id);
  }
  // A repeated launch that came before "forget" in the same batch must not be overtaken by it: the agent would start the attempt again. So:
  // welcomes, then launches, then everything about attempts that were launched before.
  auto send_orders = [&](bool about_attempts) {
    for (auto& order : effects.orders)
      if (std::holds_alternative<wire::AgentOrders>(order.order) == about_attempts)
        hooks_.send(order.conn, wire::encode_order(order.order));
  };
  send_orders(false);
  launch(effects.launches);
  send_orders(true);
  for (ConnId conn : effects.close) hooks_.close(conn);
  watchers_.tell(effects, *board_.get());
  for (const auto& mail : effects.mails) hooks_.mail(mail);
  for (auto& hook : effects.hooks) hooks_.hook(std::move(hook));
}

void Committer::launch(std::vector<LaunchOut>& launches) {
  if (launches.empty()) return;
  crash_point("ctld.before_launch_sent");
  std::map<ConnId, wire::AgentOrders> by_agent;
  std::map<ConnId, std::size_t> bytes;
  auto send = [&](ConnId conn) {
    auto& orders = by_agent[conn];
    orders.lineage = store_->lineage();
    hooks_.send(conn, wire::encode_order(std::move(orders)));
    orders = {};
    bytes[conn] = 0;
  };
  auto view = board_.get();
  for (const auto& launch : launches) {
    // Repeated, while its end was on the way: that came, and the job was forgotten, in the same batch.
    if (!view->find(launch.key.job)) continue;
    auto order = order_for(launch);
    if (!order) {
      log::error("a launch could not be read from the store",
                 {{"job", launch.key.job}, {"why", order.error().text()}});
      continue;  // sent again by the machine's own repetition
    }
    bytes[launch.conn] += order->script.size() + order->environment.size();
    by_agent[launch.conn].launches.push_back(std::move(*order));
    if (bytes[launch.conn] > (8 << 20)) send(launch.conn);
  }
  for (auto& [conn, orders] : by_agent)
    if (!orders.launches.empty()) send(conn);
  crash_point("ctld.after_launch_sent");
}

Result<std::shared_ptr<const std::string>> Committer::content(const Hash256& hash) {
  if (auto bytes = contents_.get(hash)) return bytes;
  auto read = reader_->content(hash);
  if (!read) return read.error();
  auto bytes = std::make_shared<const std::string>(std::move(*read));
  contents_.put(hash, bytes);
  return bytes;
}

Result<wire::LaunchOrder> Committer::order_for(const LaunchOut& launch) {
  wire::LaunchOrder order;
  order.key = launch.key;
  order.job = launch.job;
  order.time_limit = launch.time_limit;
  if (launch.key.step == kEpilogStep) return order;  // nothing of the user's runs
  if (launch.step) {
    order.step = launch.step;
    order.run = launch.request->run;
    order.launch = launch.request->launch;
    order.script = launch.request->script;
    order.environment = launch.request->environment;
    order.parent_address = launch.parent_address;
    return order;
  }
  if (auto it = launches_.find(launch.launch_id); it != launches_.end()) {
    order.launch = it->second;
    if (!launch.job->array_id) launches_.erase(it);
  } else {
    auto record = reader_->launch(launch.launch_id);
    if (!record) return record.error();
    order.launch = std::move(*record);
  }
  auto script = content(order.launch.script);
  if (!script) return script.error();
  auto environment = content(order.launch.environment);
  if (!environment) return environment.error();
  order.script = **script;
  order.environment = **environment;
  return order;
}

// In idle moments, off the commit path.
void Committer::housekeeping() {
  if (changes_since_checkpoint_ >= kCheckpointIdle) {
    changes_since_checkpoint_ = 0;
    if (auto done = store_->checkpoint(); !done)
      log::warning("a checkpoint failed", {{"why", done.error().text()}});
  }
  if (changes_since_prune_ >= kPruneRows || Clock::now() - pruned_at_ > std::chrono::minutes(10)) {
    changes_since_prune_ = 0;
    pruned_at_ = Clock::now();
    if (auto done = store_->prune(hooks_.now() - 86'400, kPruneRows); !done)
      log::warning("pruning failed", {{"why", done.error().text()}});
  }
}

}  // namespace bai::controller
