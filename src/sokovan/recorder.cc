#include "sokovan/recording.h"
#include "sokovan/recording_format.h"

namespace bai::sokovan {
namespace {

std::shared_ptr<const JobSpec> without_private(const JobSpec& from) {
  auto out = std::make_shared<JobSpec>(from);
  for (Istr* text :
       {&out->name, &out->user, &out->group, &out->workdir, &out->std_out, &out->std_err, &out->command})
    *text = Istr();
  if (!from.extras_or_null) return out;
  JobExtras extras = *from.extras_or_null;
  for (Istr* text : {&extras.mail_user, &extras.comment, &extras.admin_comment, &extras.std_in})
    *text = Istr();
  out->set_extras(std::move(extras));
  return out;
}

Record record_of(const JobSet& set, const SharedParts& known) {
  JobRecord record{*set.job,
                   set.job->expected_start,
                   set.dependencies_met,
                   known.spec == set.job->spec,
                   known.array == set.job->array,
                   known.allocation == set.job->allocation};
  auto& job = record.job;
  job.spec = record.same_spec ? nullptr : without_private(*job.spec);
  if (record.same_array) job.array = nullptr;
  if (record.same_allocation) job.allocation = nullptr;
  job.usage = nullptr;
  job.detail = Istr();
  return record;
}

}  // namespace

Recorder::Recorder(std::function<void(std::string_view)> write, std::string_view program)
    : write_(std::move(write)) {
  std::string header(kRecordingMagic);
  OutArchive archive(header);
  archive(kRecordingVersion, std::string(program));
  write_(header);
}

template <class T>
void Recorder::put(const T& record) {
  body_.clear();
  OutArchive body(body_);
  body(record);
  buffer_.clear();
  OutArchive whole(buffer_);
  whole.put_varint(body_.size());
  buffer_ += body_;
  write_(buffer_);
}

void Recorder::fresh() {
  known_.clear();
  put(Record(FreshRecord{}));
}

void Recorder::applied(const Change& change) {
  if (const auto* set = std::get_if<JobSet>(&change)) {
    const auto& job = *set->job;
    auto& known = known_[job.id];
    put(record_of(*set, known));
    if (is_finished(job.state))
      known_.erase(job.id);
    else
      known = {job.spec, job.array, job.allocation};
    return;
  }
  if (const auto* gone = std::get_if<JobGone>(&change)) known_.erase(gone->job);
  std::visit(
      [&](const auto& c) {
        using T = std::decay_t<decltype(c)>;
        if constexpr (std::is_same_v<T, PartitionSet>)
          put(Record(PartitionRecord{*c.partition}));
        else if constexpr (!std::is_same_v<T, JobSet>)
          put(Record(c));
      },
      change);
}

void Recorder::decided(Time now, const Budget& budget, const Decisions& decisions) {
  DecisionRecord record{
      now, budget, {}, decisions.waiting, decisions.next_wakeup, decisions.complete, decisions.jobs_tried};
  for (const auto& start : decisions.starts)
    record.starts.push_back({start.job, start.task, *start.allocation});
  put(Record(std::move(record)));
}

}  // namespace bai::sokovan
