#include "controller/watchers.h"

#include <algorithm>
#include <map>

#include "controller/queries.h"

namespace bai::controller {

void Watchers::begin(ConnId conn, RequestId request, Selector selector, const View& view) {
  watches_.push_back(std::make_unique<Watch>(Watch{conn, request, std::move(selector), {}, 0, false}));
  send_snapshot(*watches_.back(), view);
}

void Watchers::forget(ConnId conn) {
  std::erase_if(watches_, [conn](const auto& watch) { return watch->conn == conn; });
}

bool Watchers::behind() const {
  return std::any_of(watches_.begin(), watches_.end(), [](const auto& watch) { return watch->behind; });
}

// Unfinished jobs, and those of which the watcher has not heard yet that they have finished.
void Watchers::send_snapshot(Watch& watch, const View& view) {
  const auto shown = std::exchange(watch.shown, {});
  wire::JobTableBuilder rows;
  wire::JobsReply reply;
  reply.lsn = view.lineage.lsn;
  reply.now = hooks_.now();
  reply.stale = view.stale;
  reply.more = true;
  view.for_each([&](const JobCell& cell) {
    const bool finished = is_finished(cell.job->state);
    if ((finished && !shown.contains(cell.job->id)) || !watch.selector.matches(*cell.job)) return true;
    if (!finished) watch.shown.insert(cell.job->id);
    rows.add(*cell.job, cell.time_limit, batch_host(*cell.job));
    if (rows.size() < kRowsPerFrame) return true;
    reply.table = rows.take();
    return hooks_.send(watch.conn, wire::encode_reply({watch.request, reply}));
  });
  reply.more = false;
  reply.table = rows.take();
  hooks_.send(watch.conn, wire::encode_reply({watch.request, std::move(reply)}));
  watch.limit = hooks_.unread(watch.conn) + kSlack;
}

void Watchers::tell(const Effects& effects, const View& view) {
  if (watches_.empty() || effects.jobs.empty()) return;
  std::map<JobId, const ViewJob*> last;  // the newest word about each job in this batch
  for (const auto& change : effects.jobs) last[change.id] = &change;
  std::vector<const ViewJob*> changes;
  changes.reserve(last.size());
  for (const auto& [id, change] : last) changes.push_back(change);
  for (auto& watch : watches_) {
    if (watch->behind) continue;
    // As the snapshot is read, the room that it took goes.
    const std::size_t unread = hooks_.unread(watch->conn);
    watch->limit = std::min(watch->limit, unread + kSlack);
    watch->behind = unread > watch->limit;
    if (!watch->behind) tell(*watch, changes, view.lineage.lsn);
  }
}

void Watchers::tell(Watch& watch, const std::vector<const ViewJob*>& changes, Lsn lsn) {
  wire::WatchBatch batch;
  wire::JobTableBuilder rows;
  for (const ViewJob* change : changes) {
    const bool shown = watch.shown.contains(change->id);
    const bool finished = change->job && is_finished(change->job->state);
    if (change->job && watch.selector.matches(*change->job) && (shown || !finished)) {
      rows.add(*change->job, change->time_limit, batch_host(*change->job));
      if (finished)
        watch.shown.erase(change->id);
      else
        watch.shown.insert(change->id);
    } else if (shown) {
      watch.shown.erase(change->id);
      batch.gone.push_back(change->id);
    }
  }
  if (rows.size() == 0 && batch.gone.empty()) return;
  batch.lsn = lsn;
  batch.now = hooks_.now();
  batch.changed = rows.take();
  hooks_.send(watch.conn, wire::encode_reply({watch.request, std::move(batch)}));
}

std::size_t Watchers::catch_up(const View& view) {
  std::size_t count = 0;
  for (auto& watch : watches_) {
    if (!watch->behind || hooks_.unread(watch->conn) > 0) continue;
    wire::WatchBatch resync;
    resync.lsn = view.lineage.lsn;
    resync.now = hooks_.now();
    resync.resync = true;
    watch->behind = !hooks_.send(watch->conn, wire::encode_reply({watch->request, std::move(resync)}));
    if (watch->behind) continue;  // it is gone, and will be forgotten
    send_snapshot(*watch, view);
    ++count;
  }
  return count;
}

}  // namespace bai::controller
