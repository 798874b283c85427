// bai-queue --watch.
#include "cli/watch.h"

#include <poll.h>

#include <array>
#include <chrono>

#include "base/text.h"
#include "cli/output.h"

namespace bai::cli {
namespace {

using Clock = wire::Client::Clock;
using std::chrono::milliseconds;

constexpr milliseconds kRedraw{200};    // at most so often, and no more than a tenth of the time
constexpr milliseconds kSecond{1000};   // run times go on although nothing changes
constexpr Seconds kKeepFinished = 300;  // as long as the controller's MinJobAge usually is

// "21 jobs: 4 running, 17 pending"
std::string summary(const std::vector<JobView>& jobs) {
  std::array<std::size_t, kJobStates> count{};
  std::size_t all = 0;
  for (const JobView& job : jobs) {
    const std::size_t n = job.is_head() ? job.row->array_waiting : 1;
    count[static_cast<std::size_t>(job.row->state)] += n;
    all += n;
  }
  std::string out = std::to_string(all) + (all == 1 ? " job" : " jobs");
  const char* between = ": ";
  for (std::size_t i = 0; i < count.size(); ++i) {
    if (count[i] == 0) continue;
    std::string state(name(static_cast<JobState>(i)));
    for (char& c : state) c = c == '_' ? ' ' : c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    out += between + std::to_string(count[i]) + " " + state;
    between = ", ";
  }
  return out;
}

// One line of the screen. Nothing is erased behind a full line: there the cursor still stands on its last character.
void put_line(std::string& out, std::string_view text, std::size_t width) {
  text = truncate(text, width);
  out += text;
  if (display_width(text) < width) out += "\x1b[K";
}

}  // namespace

std::string WatchedJobs::take(wire::JobTable table, Time now) {
  std::string news;
  const auto shared = std::make_shared<const wire::JobTable>(std::move(table));
  for (const auto& row : shared->rows) {
    const Known fresh{shared, &row};
    if (line_) {
      const std::string text = line_(fresh.view(now));
      const auto old = before_.find(row.id);
      if (old == before_.end() || line_(old->second.view(now)) != text) news += text;
    }
    if (is_finished(row.state) && !keep_finished_)
      jobs_.erase(row.id);
    else
      jobs_[row.id] = fresh;
  }
  return news;
}

void WatchedJobs::forget(JobId id) { jobs_.erase(id); }

void WatchedJobs::begin_anew() {
  jobs_.merge(before_);  // the last one may have been cut short
  before_ = std::exchange(jobs_, {});
}

std::vector<JobView> WatchedJobs::jobs(Time now) {
  std::vector<JobView> out;
  out.reserve(jobs_.size());
  std::erase_if(jobs_, [&](const auto& entry) {
    const auto& row = *entry.second.row;
    if (is_finished(row.state) && now - row.ended > kKeepFinished) return true;
    out.push_back(entry.second.view(now));
    return false;
  });
  return out;
}

std::string draw_queue(std::vector<JobView> jobs, const QueueView& view, Screen::Size size, Time now) {
  const std::string all = summary(jobs);
  arrange(jobs, view);
  std::string text;
  put_queue(text, jobs, view);
  std::string out = "\x1b[H";
  const std::size_t room = size.height > 1 ? size.height - 1 : 1;
  std::size_t lines = 0, hidden = 0;
  for (auto line : split(text, '\n')) {
    if (line.empty()) continue;
    if (lines == room) {
      ++hidden;
      continue;
    }
    put_line(out, line, size.width);
    out += "\r\n";
    ++lines;
  }
  if (size.height < 2) return out;
  out += "\x1b[J\x1b[" + std::to_string(size.height) + ";1H";
  const std::string clock = format_timestamp(now).substr(11);
  std::string status = all + (hidden ? "; " + std::to_string(hidden) + " more lines" : "");
  if (display_width(status) + 1 + clock.size() <= size.width)
    status = pad_right(status, size.width - clock.size()) + clock;
  put_line(out, status, size.width);
  return out;
}

namespace {

// One --watch as it is seen: a screen, or lines.
class Watch {
 public:
  Watch(const QueueView& view, const Reporter& reporter)
      : view_(view),
        json_(reporter.json()),
        screen_(json_ ? std::nullopt : Screen::open()),
        jobs_(screen_ ? nullptr : std::function([this](const JobView& job) { return line(job); }),
              view.finished) {
    if (!screen_ && !json_ && view_.header) put_header(out_.buffer(), view_.columns);
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  void begin() {
    jobs_.begin_anew();
    whole_ = false;
  }
  void take(wire::ReplyBody reply) {
    if (auto* snapshot = std::get_if<wire::JobsReply>(&reply)) {
      out_.put(jobs_.take(std::move(snapshot->table), snapshot->now));
      whole_ = !snapshot->more;
      if (whole_) jobs_.end_anew();
      set_clock(snapshot->now);
    } else if (auto* batch = std::get_if<wire::WatchBatch>(&reply)) {
      if (batch->resync) begin();
      out_.put(jobs_.take(std::move(batch->changed), batch->now));
      for (JobId id : batch->gone) jobs_.forget(id);
      set_clock(batch->now);
    }
    out_.done_line();
    changed_ = true;
    if (screen_) show();
  }

  // Waits for a message, having shown what there is. False when nobody reads any more.
  bool wait(int socket) {
    for (;;) {
      show();
      // The last one: a pipe whose other end was closed.
      pollfd fds[] = {{socket, POLLIN, 0}, {screen_ ? screen_->fd() : -1, POLLIN, 0}, {1, 0, 0}};
      poll(fds, 3, pause_ms());
      if (fds[2].revents != 0 || out_.failed()) return false;
      if (screen_ && screen_->take()) drawn_ = {};
      if (fds[0].revents != 0) return true;
    }
  }

 private:
  void set_clock(Time now) {
    now_ = now;
    at_ = Clock::now();
  }
  std::string line(const JobView& job) const {
    std::string out;
    if (json_) {
      JsonWriter json(out);
      put_job_json(json, job);
      out += '\n';
      return out;
    }
    std::vector<JobView> jobs = {job};
    arrange(jobs, view_);
    for (const auto& one : jobs) put_row(out, view_.columns, one);
    return out;
  }

  // When the picture is to be drawn: soon when something changed, and never of half a snapshot.
  Clock::time_point due() const { return changed_ ? next_draw_ : drawn_ + kSecond; }
  int pause_ms() const {
    if (!screen_ || !whole_) return -1;
    const auto left = std::chrono::ceil<milliseconds>(due() - Clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, kSecond.count()));
  }
  void show() {
    const auto begun = Clock::now();
    if (!screen_) return out_.flush();
    if (!whole_ || begun < due()) return;
    const Time now = now_ + std::chrono::duration_cast<std::chrono::seconds>(begun - at_).count();
    out_.put(draw_queue(jobs_.jobs(now), view_, Screen::size(), now));
    out_.flush();
    changed_ = false;
    drawn_ = begun;
    next_draw_ = begun + std::max<Clock::duration>(kRedraw, 10 * (Clock::now() - begun));
  }

  const QueueView& view_;
  const bool json_;
  Output out_;
  std::optional<Screen> screen_;
  WatchedJobs jobs_;
  bool changed_ = false, whole_ = false;
  Time now_;  // the controller's clock at `at_`
  Clock::time_point at_{}, drawn_{}, next_draw_{};
};

}  // namespace

int watch_queue(Session& session, const wire::JobFilter& filter, const QueueView& view,
                const Reporter& reporter) {
  std::optional<Watch> watch;
  for (;;) {
    wire::WatchRequest request;
    request.filter = filter;
    auto first = session.ask(std::move(request));
    if (!first.ok()) {
      watch.reset();  // the screen goes before the message comes
      return reporter.refused(first.error(), "slurm_load_jobs error");
    }
    if (!watch) watch.emplace(view, reporter);
    watch->begin();
    Result<std::optional<wire::ReplyBody>> reply = std::optional<wire::ReplyBody>(std::move(*first));
    while (reply.ok()) {
      if (*reply)
        watch->take(std::move(**reply));
      else if (!watch->wait(session.fd()))
        return kRefused;
      reply = session.next(Clock::now());
    }
    reporter.note("the connection to bai-ctld was lost; connecting again");
  }
}

}  // namespace bai::cli
