// bai-queue --watch.
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <map>
#include <memory>

#include "cli/queue.h"

namespace bai::cli {
namespace {

using Clock = wire::Client::Clock;
constexpr auto kRedraw = std::chrono::milliseconds(200);

// What is known of each job. A row lives in the table that it came with.
struct Known {
  std::shared_ptr<const wire::JobTable> table;
  const wire::JobRow* row = nullptr;
};

class Watch {
 public:
  Watch(const QueueView& view, const Reporter& reporter)
      : view_(view), reporter_(reporter), terminal_(isatty(1) && !reporter.json()) {}

  void take(wire::JobTable table, Time now, bool first) {
    now_ = now;
    auto shared = std::make_shared<const wire::JobTable>(std::move(table));
    for (const auto& row : shared->rows) {
      const JobView job{shared.get(), &row, now, kNoTask};
      if (!terminal_) print(job);
      if (is_finished(row.state) && !view_.finished)
        jobs_.erase(row.id);
      else
        jobs_[row.id] = {shared, &row};
    }
    dirty_ = true;
    if (!terminal_ && !first) out_.flush();
  }
  void forget(JobId id) {
    jobs_.erase(id);
    dirty_ = true;
  }
  void clear() {
    jobs_.clear();
    dirty_ = true;
  }
  bool terminal() const { return terminal_; }
  bool failed() const { return out_.failed(); }
  void header() {
    if (!terminal_ && view_.header && !reporter_.json()) put_header(out_.buffer(), view_.columns);
  }

  // On a terminal: the list anew, as much of it as fits; running times go on although nothing changed.
  void draw(Time now) {
    if (!terminal_) return out_.flush();
    winsize size{};
    const std::size_t height = ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_row > 2 ? size.ws_row : 24;
    const std::size_t width = size.ws_col > 20 ? size.ws_col : 0;
    std::vector<JobView> jobs;
    jobs.reserve(jobs_.size());
    for (const auto& [id, known] : jobs_) jobs.push_back({known.table.get(), known.row, now, kNoTask});
    if (view_.expand) expand_arrays(jobs);
    std::string text;
    put_queue(text, jobs, view_);
    std::string& out = out_.buffer();
    out += "\x1b[H";
    std::size_t lines = 0, begin = 0;
    while (begin < text.size() && lines + 1 < height) {
      const std::size_t end = text.find('\n', begin);
      std::string_view line = std::string_view(text).substr(begin, end - begin);
      out += width ? truncate(line, width) : line;
      out += "\x1b[K\n";
      ++lines;
      begin = end + 1;
    }
    if (begin < text.size()) {
      out += "... " + std::to_string(jobs.size()) + " jobs\x1b[K";
    }
    out += "\x1b[J";
    out_.flush();
    dirty_ = false;
  }
  void open_screen() {
    if (terminal_) out_.put("\x1b[2J");
  }

 private:
  void print(const JobView& job) {
    if (reporter_.json()) {
      JsonWriter json(out_.buffer());
      put_job_json(json, job);
      out_.put("\n");
    } else {
      put_row(out_.buffer(), view_.columns, job);
    }
  }

  const QueueView& view_;
  const Reporter& reporter_;
  const bool terminal_;
  bool dirty_ = false;
  Time now_;
  std::map<JobId, Known> jobs_;
  Output out_;
};

}  // namespace

int watch_queue(Session& session, const wire::JobFilter& filter, const QueueView& view,
                const Reporter& reporter) {
  Watch watch(view, reporter);
  watch.open_screen();
  watch.header();
  for (;;) {
    wire::WatchRequest request;
    request.filter = filter;
    auto first = session.ask(std::move(request));
    if (!first.ok()) return reporter.refused(first.error(), "slurm_load_jobs error");
    watch.clear();
    Result<std::optional<wire::ReplyBody>> reply = std::optional<wire::ReplyBody>(std::move(*first));
    Time now;  // the controller's clock at `at`
    Clock::time_point at = Clock::now();
    auto drawn = Clock::time_point{};
    while (reply.ok()) {
      if (*reply) {
        if (auto* jobs = std::get_if<wire::JobsReply>(&**reply)) {
          now = jobs->now;
          watch.take(std::move(jobs->table), now, true);
        } else if (auto* batch = std::get_if<wire::WatchBatch>(&**reply)) {
          now = batch->now;
          if (batch->resync) watch.clear();
          watch.take(std::move(batch->changed), now, false);
          for (JobId id : batch->gone) watch.forget(id);
        }
        at = Clock::now();
      }
      if (watch.failed()) return kRefused;
      const auto tick = Clock::now();
      if (tick - drawn >= kRedraw || !*reply) {
        watch.draw(now + std::chrono::duration_cast<std::chrono::seconds>(tick - at).count());
        drawn = tick;
      }
      reply = session.next(
          tick + (watch.terminal() ? std::chrono::milliseconds(1000) : std::chrono::milliseconds(200)));
    }
    reporter.note("the connection to bai-ctld was lost; connecting again");
  }
}

}  // namespace bai::cli
