#include "controller/archivist.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "base/thread_name.h"
#include "controller/select.h"

namespace bai::controller {

Archivist::Archivist(std::unique_ptr<store::Reader> reader)
    : reader_(std::move(reader)), thread_([this] { run(); }) {}
Archivist::~Archivist() { stop(); }

void Archivist::ask(Question question) { channel_.put(std::move(question)); }
void Archivist::look_up(RequestId id, Found found) { channel_.put(LookUp{id, std::move(found)}); }

void Archivist::stop() {
  channel_.close();
  if (thread_.joinable()) thread_.join();
}

void Archivist::run() {
  name_thread("archivist");
  for (;;) {
    auto items = channel_.take(std::nullopt);
    if (items.empty()) return;
    for (auto& item : items) {
      if (auto* look = std::get_if<LookUp>(&item)) {
        look->found(reader_->request(look->id));
        continue;
      }
      auto& question = std::get<Question>(item);
      if (auto* request = std::get_if<wire::HistoryRequest>(&question.request.body))
        history(question, *request);
      if (auto* request = std::get_if<wire::AccountingRequest>(&question.request.body))
        accounting(question, *request);
      if (auto* request = std::get_if<wire::StepsRequest>(&question.request.body)) steps(question, *request);
      if (auto* request = std::get_if<wire::ScriptRequest>(&question.request.body))
        script(question, *request);
    }
  }
}

void Archivist::history(const Question& question, const wire::HistoryRequest& request) {
  JobId id = request.job.job;
  if (request.job.task != kNoTask) {
    question.view->for_each([&](const JobCell& cell) {
      bool found = cell.job->array_id == request.job.job && cell.job->array_task == request.job.task;
      if (found) id = cell.job->id;
      return !found;
    });
  }
  auto events = reader_->events(id);
  if (!events) {
    question.reply(wire::ErrorBody{events.error()});
    return;
  }
  question.reply(wire::HistoryReply{std::move(*events)});
}

// Their arguments are their owner's.
void Archivist::steps(const Question& question, const wire::StepsRequest& request) {
  auto jobs = request.jobs;
  if (jobs.empty())
    question.view->for_each([&](const JobCell& cell) {
      if (is_active(cell.job->state)) jobs.push_back(cell.job->id);
      return true;
    });
  std::sort(jobs.begin(), jobs.end());
  jobs.erase(std::unique(jobs.begin(), jobs.end()), jobs.end());
  wire::StepsReply reply;
  reply.now = question.now;
  for (JobId job : jobs) {
    if (reply.steps.size() >= kRowsPerFrame) {
      reply.more = true;
      if (!question.reply(reply)) return;
      reply.more = false;
      reply.steps.clear();
    }
    auto found = reader_->steps(job);
    if (!found) {
      question.reply(wire::ErrorBody{found.error()});
      return;
    }
    for (auto& step : *found) {
      if (request.jobs.empty() && is_finished(step.state)) continue;
      if (!question.caller.is_operator && step.uid != question.caller.uid) step.command = Istr();
      reply.steps.push_back(std::move(step));
    }
  }
  question.reply(std::move(reply));
}

// What a job runs is its owner's business.
void Archivist::script(const Question& question, const wire::ScriptRequest& request) {
  const auto refuse = [&](Error error) { question.reply(wire::ErrorBody{std::move(error)}); };
  const JobCell* cell = question.view->find(request.job.job);
  if (request.job.task != kNoTask)
    question.view->for_each([&](const JobCell& one) {
      const bool found =
          one.job->array_id == request.job.job && (one.job->array || one.job->array_task == request.job.task);
      if (found) cell = &one;
      return !found;
    });
  if (!cell) return refuse({"no_such_job", "Invalid job id specified", "", "see bai-queue"});
  const Job& job = *cell->job;
  if (!question.caller.is_operator && job.spec->uid != question.caller.uid)
    return refuse({"not_permitted", "Access/permission denied", "", "only its owner can read its script"});
  if (job.spec->extras().no_batch)
    return refuse({"no_script", "Job has no batch script", "", "it is an allocation: only steps run in it"});
  // An array's tasks are launched by the record of the array.
  auto launch = reader_->launch(job.id);
  if (!launch && job.array_id) launch = reader_->launch(job.array_id);
  if (!launch) return refuse(launch.error());
  wire::ScriptReply reply;
  auto script = reader_->content(launch->script);
  if (!script) return refuse(script.error());
  auto environment = reader_->content(launch->environment);
  if (!environment) return refuse(environment.error());
  reply.script = std::move(*script);
  reply.environment = std::move(*environment);
  question.reply(std::move(reply));
}

void Archivist::accounting(const Question& question, const wire::AccountingRequest& request) {
  store::HistoryQuery query;
  bool tasks_named = std::any_of(request.filter.jobs.begin(), request.filter.jobs.end(),
                                 [](const auto& ref) { return ref.task != kNoTask; });
  for (const auto& ref : request.filter.jobs) query.jobs.push_back(ref.job);
  query.states = request.filter.states;
  query.names = request.filter.names;
  query.partitions = request.filter.partitions;
  query.accounts = request.filter.accounts;
  query.since = request.since;
  query.until = request.until;
  Selector selector(request.filter, question.caller);
  bool mine = !request.all_users && request.filter.users.empty() && request.filter.jobs.empty();
  wire::JobTableBuilder rows;
  wire::JobsReply reply;
  reply.lsn = question.view->lineage.lsn;
  reply.now = question.now;
  auto flush = [&](bool more) {
    reply.more = more;
    reply.table = rows.take();
    return question.reply(reply);
  };
  bool gone = false;
  auto done = reader_->history(query, [&](const store::HistoryRow& row) {
    if (mine && row.job->spec->uid != question.caller.uid) return true;
    if ((!request.filter.users.empty() || !request.filter.nodes.empty() || request.filter.mine ||
         tasks_named) &&
        !selector.matches(*row.job))
      return true;
    const JobCell* live = question.view->find(row.job->id);
    rows.add(*row.job, live ? live->time_limit : row.job->spec->time_limit, row.batch_host);
    if (rows.size() >= kRowsPerFrame) gone = !flush(true);
    return !gone;
  });
  if (!done) {
    question.reply(wire::ErrorBody{done.error()});
    return;
  }
  if (gone) return;
  question.view->for_each([&](const JobCell& cell) {
    const Job& job = *cell.job;
    if (is_finished(job.state) || (mine && job.spec->uid != question.caller.uid) || !selector.matches(job))
      return true;
    if (request.until.is_set() && job.submitted > request.until) return true;
    rows.add(job, cell.time_limit, batch_host(job));
    if (rows.size() >= kRowsPerFrame) gone = !flush(true);
    return !gone;
  });
  if (!gone) flush(false);
}

}  // namespace bai::controller
