// MemoryStore: a store without a disk, for tests: what was committed is `state`, and it is what a restart finds. Commits can be made
// to fail before or after they take effect. Records go through their stored form, so that nothing survives but what would on a disk.
// One thread at a time, save that readers copy under the same lock.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "store/record.h"
#include "store/store.h"

namespace bai::store {

class MemoryStore : public Store {
 public:
  struct State {
    std::mutex mutex;  // guards the rest
    Lineage lineage;
    std::map<JobId, std::string> jobs;  // records
    std::map<std::string, NodePut> nodes;
    std::map<std::string, std::string> settings;
    std::map<RequestId, RequestAnswer> requests;
    std::map<JobId, LaunchRecord> launches;
    std::map<Hash256, std::string> contents;
    std::vector<JobEvent> events;
    std::map<std::pair<JobId, Attempt>, JobPtr> ended;
    std::map<std::tuple<JobId, Attempt, StepId>, StepPtr> steps;
  };
  enum class Fault { kNone, kBefore, kAfter };  // the commit fails; it took no effect, or it did

  explicit MemoryStore(std::shared_ptr<State> state = std::make_shared<State>()) : state_(std::move(state)) {
    if (state_->lineage.cluster.empty()) state_->lineage.cluster.bytes.fill(7);
    state_->lineage.epoch++;
    epoch_ = state_->lineage.epoch;
    lineage_ = state_->lineage;
  }

  std::shared_ptr<State> state() const { return state_; }
  std::deque<Fault> faults;  // of the next commits
  int failing_reopens = 0, failing_probes = 0;
  std::string broken;  // why the last batch was not one that may follow; empty when all were well

  Lineage lineage() const override { return lineage_; }

  Result<Loaded> load() override { return load(*state_); }
  static Loaded load(const State& state) {
    Loaded out;
    JobLoader loader;
    for (const auto& [id, record] : state.jobs) {
      auto job = loader.load(record, "job");
      if (job) out.jobs.push_back(*job);
    }
    for (const auto& [key, step] : state.steps)
      if (state.jobs.contains(step->job)) out.steps.push_back(step);
    for (const auto& [name, put] : state.nodes) out.nodes.push_back(put);
    out.settings = state.settings;
    return out;
  }

  Status commit(const Batch& batch) override {
    std::lock_guard lock(state_->mutex);
    if (state_->lineage.epoch != epoch_) return Error{"superseded", "another controller has taken over"};
    if (closed_) return Error{"store_closed", "reopen first"};
    Fault fault = Fault::kNone;
    if (!faults.empty()) {
      fault = faults.front();
      faults.pop_front();
    }
    if (fault != Fault::kBefore) apply(batch);
    if (fault == Fault::kNone) {
      lineage_ = state_->lineage;
      return {};
    }
    closed_ = true;
    return Error{"io_error", "the disk is gone"};
  }
  Status confirm() override {
    std::lock_guard lock(state_->mutex);
    if (state_->lineage.epoch != epoch_) return Error{"superseded", "another controller has taken over"};
    if (closed_) return Error{"store_closed", "reopen first"};
    return {};
  }
  Status reopen() override {
    std::lock_guard lock(state_->mutex);
    if (state_->lineage.epoch != epoch_) return Error{"superseded", "another controller has taken over"};
    if (failing_reopens > 0) {
      --failing_reopens;
      return Error{"io_error", "the disk is still gone"};
    }
    closed_ = false;
    lineage_ = state_->lineage;
    return {};
  }
  Status probe() override {
    if (failing_probes == 0) return {};
    --failing_probes;
    return Error{"no_space", "the disk is full"};
  }
  void release_ballast(bool) override {}
  Status prune(Time, std::uint32_t) override { return {}; }
  Status checkpoint() override { return {}; }
  std::string description() const override { return "memory"; }

  Result<std::unique_ptr<Reader>> open_reader() override {
    return std::unique_ptr<Reader>(new MemoryReader(*this));
  }

 private:
  class MemoryReader : public Reader {
   public:
    explicit MemoryReader(const MemoryStore& store) : state_(store.state_) {}
    Result<std::string> content(const Hash256& hash) override {
      std::lock_guard lock(state_->mutex);
      auto it = state_->contents.find(hash);
      if (it == state_->contents.end()) return Error{"not_found", "no such content"};
      return it->second;
    }
    Result<LaunchRecord> launch(JobId job) override {
      std::lock_guard lock(state_->mutex);
      auto it = state_->launches.find(job);
      if (it == state_->launches.end()) return Error{"not_found", "no such launch"};
      return it->second;
    }
    Result<std::optional<RequestAnswer>> request(const RequestId& id) override {
      std::lock_guard lock(state_->mutex);
      auto it = state_->requests.find(id);
      if (it == state_->requests.end()) return std::optional<RequestAnswer>();
      return std::optional<RequestAnswer>(it->second);
    }
    Result<std::vector<JobEvent>> events(JobId) override { return std::vector<JobEvent>(); }
    Result<std::vector<Step>> steps(JobId job) override {
      std::lock_guard lock(state_->mutex);
      std::vector<Step> out;
      for (const auto& [key, step] : state_->steps)
        if (step->job == job) out.push_back(*step);
      return out;
    }
    // Of the query, the order and how many.
    Status history(const HistoryQuery& query, const std::function<bool(HistoryRow)>& sink) override {
      std::lock_guard lock(state_->mutex);
      std::vector<JobPtr> rows;
      for (const auto& [key, job] : state_->ended) rows.push_back(job);
      std::stable_sort(rows.begin(), rows.end(), [&](const JobPtr& a, const JobPtr& b) {
        return query.newest_first ? b->ended < a->ended : a->ended < b->ended;
      });
      if (rows.size() > query.limit) rows.resize(query.limit);
      for (const auto& job : rows)
        if (!sink({job, ""})) break;
      return {};
    }

   private:
    std::shared_ptr<State> state_;
  };

  void apply(const Batch& batch) {
    State& s = *state_;
    if (batch.first != s.lineage.lsn + 1 || batch.last != batch.first + batch.changes.size() - 1)
      broken = "a batch of LSN " + std::to_string(batch.first) + " to " + std::to_string(batch.last) +
               " with " + std::to_string(batch.changes.size()) + " changes follows LSN " +
               std::to_string(s.lineage.lsn);
    s.lineage.lsn = batch.last;
    if (batch.last_job_id < s.lineage.last_job_id) broken = "the last job id went back";
    s.lineage.last_job_id = batch.last_job_id;
    for (const auto& change : batch.changes) std::visit([&](const auto& c) { put(s, c); }, change);
  }
  static void put(State& s, const JobPut& c) { s.jobs[c.job->id] = job_record(*c.job); }
  static void put(State& s, const JobForget& c) {
    s.jobs.erase(c.job);
    if (c.with_launch) s.launches.erase(c.job);
  }
  static void put(State& s, const JobEnded& c) { s.ended[{c.job->id, c.job->attempt}] = c.job; }
  void put(State& s, const LaunchPut& c) {
    if (s.launches.contains(c.job)) broken = "job id " + std::to_string(c.job) + " was given twice";
    s.launches[c.job] = c.launch;
  }
  static void put(State& s, const StepPut& c) {
    s.steps[{c.step->job, c.step->attempt, c.step->id}] = c.step;
  }
  static void put(State& s, const ContentPut& c) { s.contents[c.hash] = *c.bytes; }
  static void put(State& s, const EventPut& c) { s.events.push_back(c.event); }
  static void put(State& s, const RequestPut& c) { s.requests[c.id] = {c.uid, c.at, c.answer}; }
  static void put(State& s, const NodePut& c) { s.nodes[c.name.str()] = c; }
  static void put(State& s, const SettingPut& c) {
    if (c.text.empty())
      s.settings.erase(c.key);
    else
      s.settings[c.key] = c.text;
  }

  std::shared_ptr<State> state_;
  std::uint64_t epoch_ = 0;
  Lineage lineage_;
  bool closed_ = false;
};

}  // namespace bai::store
