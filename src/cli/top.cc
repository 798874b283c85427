#include "cli/top.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <optional>

#include "base/fd.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/begin.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/watch.h"

namespace bai::cli {
namespace {

using Clock = wire::Client::Clock;
constexpr std::size_t kTailBytes = 32 << 10;
constexpr std::chrono::milliseconds kRedraw{150};  // at most so often

// Keys one by one, unechoed; the terminal is as it was afterwards.
class Keyboard {
 public:
  Keyboard() {
    if (tcgetattr(0, &before_) != 0) return;
    there_ = true;
    termios now = before_;
    now.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    now.c_cc[VMIN] = 0;
    now.c_cc[VTIME] = 0;
    tcsetattr(0, TCSANOW, &now);
  }
  ~Keyboard() {
    if (there_) tcsetattr(0, TCSANOW, &before_);
  }
  Keyboard(const Keyboard&) = delete;
  Keyboard& operator=(const Keyboard&) = delete;

  bool there() const { return there_; }
  // What was typed, an escape sequence in one piece. False: no more will come.
  bool read_keys(std::vector<std::string>& keys) const {
    char bytes[64];
    const ssize_t n = read(0, bytes, sizeof bytes);
    if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
    std::string_view text(bytes, static_cast<std::size_t>(n));
    while (!text.empty()) {
      std::size_t length = 1;
      if (text[0] == '\x1b' && text.size() > 2 && (text[1] == '[' || text[1] == 'O')) {
        length = 3;
        while (length < text.size() && text[length - 1] >= '0' && text[length - 1] <= '9') ++length;
      }
      keys.emplace_back(text.substr(0, length));
      text.remove_prefix(length);
    }
    return true;
  }

 private:
  termios before_{};
  bool there_ = false;
};

// The last lines of a file that can be read from here.
std::vector<std::string> tail(const std::string& path) {
  auto fd = open_fd(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!fd.ok()) return {"(" + path + " cannot be read from here)"};
  struct stat st {};
  if (fstat(fd->get(), &st) != 0 || !S_ISREG(st.st_mode)) return {"(no plain file)"};
  const off_t from =
      st.st_size > static_cast<off_t>(kTailBytes) ? st.st_size - static_cast<off_t>(kTailBytes) : 0;
  std::string text(kTailBytes, '\0');
  const ssize_t n = pread(fd->get(), text.data(), text.size(), from);
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  std::vector<std::string> lines;
  for (auto line : split(text, '\n')) lines.emplace_back(line);
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

OptionTable top_table(const Dialect& dialect) {
  OptionTable table;
  table.program = dialect.program;
  table.synopsis = "[OPTION...]";
  table.description =
      "Show the cluster alive: nodes, the queue, the next starts, one job's output. Press h for its keys.";
  table.options = {
      {.name = "interval",
       .letter = 'd',
       .arg = ArgKind::required,
       .value_name = "S",
       .help = "Seconds between looks at the nodes (3)"},
      {.name = "me", .help = "Only your own jobs"},
      {.name = "once", .letter = '1', .help = "Print one picture and leave; as into a pipe"},
  };
  add_common_options(table, 'h', 'V', false);
  return table;
}

class Top {
 public:
  Top(Session& jobs, Session& nodes, Session& uses, std::chrono::seconds interval, wire::JobFilter filter)
      : watch_(jobs),
        asks_(nodes),
        uses_(uses),
        interval_(interval),
        filter_(std::move(filter)),
        jobs_(nullptr, false) {}

  Status begin() {
    if (auto looked = look(); !looked.ok()) return looked;
    return subscribe();
  }
  void once() {
    Screen::Size size;
    size.height = 6 + std::max(jobs_.jobs(data_.now).size(), std::size_t{1});
    size.width = isatty(1) ? Screen::size().width : 240;
    refresh();
    Output out;
    for (const auto& line : draw_top(state_, data_, size)) out.put(line + "\n");
  }
  int run(const Screen& screen, const Keyboard& keyboard) {
    auto looked = Clock::now();
    draw();
    while (!state_.quit) {
      const auto due = changed_ ? std::max(drawn_ + kRedraw, Clock::now()) : drawn_ + std::chrono::seconds(1);
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - Clock::now()).count();
      pollfd fds[] = {{joined_ ? watch_.fd() : -1, POLLIN, 0},
                      {screen.fd(), POLLIN, 0},
                      {keyboard.there() ? 0 : -1, POLLIN, 0},
                      {asked_ ? uses_.fd() : -1, POLLIN, 0}};
      poll(fds, 4, static_cast<int>(std::max<std::int64_t>(0, left)));
      if (screen.take()) changed_ = true;
      if (fds[2].revents != 0) {
        std::vector<std::string> keys;
        if (!keyboard.read_keys(keys)) return 0;
        const std::size_t page = Screen::size().height > 6 ? Screen::size().height - 6 : 1;
        for (const auto& key : keys) top_key(state_, key, data_, page);
        drawn_ = {};
      }
      if (joined_) listen();
      if (asked_) hear_use();
      if (state_.page == TopPage::kJob && (used_by_ != state_.job || Clock::now() - used_ >= interval_))
        ask_use();
      if (Clock::now() - looked >= interval_) {
        looked = Clock::now();
        asks_.be_quick(1);
        const Status well = look();
        data_.trouble = well.ok() ? "" : "the controller does not answer";
        if (!joined_ && well.ok()) (void)subscribe();
        changed_ = true;
      }
      if (Clock::now() >= due || drawn_ == Clock::time_point{}) draw();
    }
    return 0;
  }

 private:
  Status look() {
    auto reply = asks_.get<wire::ClusterReply>(wire::ClusterRequest{});
    if (!reply.ok()) return reply.error();
    data_.nodes = std::move(reply->nodes);
    set_clock(reply->now);
    data_.cluster = asks_.config().cluster_name;
    return {};
  }
  Status subscribe() {
    wire::WatchRequest request;
    request.filter = filter_;
    auto first = watch_.ask(std::move(request));
    if (!first.ok()) return first.error();
    jobs_.begin_anew();
    joined_ = true;
    take(std::move(*first));
    while (joined_ && !whole_) {
      auto more = watch_.next();
      if (!more.ok()) return more.error();
      if (*more) take(std::move(**more));
    }
    return {};
  }
  void listen() {
    for (;;) {
      auto reply = watch_.next(Clock::now());
      if (!reply.ok()) {
        joined_ = whole_ = false;
        return;
      }
      if (!*reply) return;
      take(std::move(**reply));
      changed_ = true;
    }
  }
  void take(wire::ReplyBody reply) {
    if (auto* snapshot = std::get_if<wire::JobsReply>(&reply)) {
      (void)jobs_.take(std::move(snapshot->table), snapshot->now);
      whole_ = !snapshot->more;
      if (whole_) jobs_.end_anew();
      set_clock(snapshot->now);
    } else if (auto* batch = std::get_if<wire::WatchBatch>(&reply)) {
      if (batch->resync) jobs_.begin_anew();
      (void)jobs_.take(std::move(batch->changed), batch->now);
      for (JobId id : batch->gone) jobs_.forget(id);
      set_clock(batch->now);
    }
  }
  // On a connection of its own: a node that does not answer may take seconds.
  void ask_use() {
    if (asked_) return;
    if (used_by_ != state_.job) data_.use.clear();
    used_ = Clock::now();
    used_by_ = state_.job;
    uses_.be_quick(1);
    if (auto there = uses_.connect(); !there.ok()) return;
    wire::UseRequest request;
    request.jobs = {{state_.job}};
    request.all_steps = true;
    asked_ = uses_.send({RequestId::ordered(), false, std::move(request)}).ok();
  }
  void hear_use() {
    auto reply = uses_.poll_reply();
    if (reply.ok() && !*reply) return;
    asked_ = false;
    auto* use = reply.ok() ? std::get_if<wire::UseReply>(&(*reply)->body) : nullptr;
    data_.use = use && used_by_ == state_.job ? std::move(use->steps) : std::vector<wire::StepUse>();
    changed_ = true;
  }
  void set_clock(Time now) {
    clock_ = now;
    at_ = Clock::now();
  }
  void refresh() {
    data_.now = clock_ + std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - at_).count();
    data_.jobs = jobs_.jobs(data_.now);
    data_.output.clear();
    if (state_.page != TopPage::kJob) return;
    for (const auto& job : data_.jobs)
      if (job.row->id == state_.job && job.row->state != JobState::kPending) {
        std::string path;
        put_path(path, job, job.row->std_out);
        data_.output = tail(path);
        const std::size_t taken = 9 + (data_.use.empty() ? 0 : data_.use.size() + 2);
        const std::size_t room = Screen::size().height > taken ? Screen::size().height - taken : 1;
        if (data_.output.size() > room)
          data_.output.erase(data_.output.begin(), data_.output.end() - static_cast<std::ptrdiff_t>(room));
      }
  }
  // Only lines that differ from what is there are sent: a slow link is no matter.
  void draw() {
    refresh();
    const auto size = Screen::size();
    auto lines = draw_top(state_, data_, size);
    std::string text;
    if (shown_.size() != lines.size() || width_ != size.width) {
      text += "\x1b[2J";
      shown_.assign(lines.size(), "");
      width_ = size.width;
    }
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (shown_[i] == lines[i]) continue;
      text += "\x1b[" + std::to_string(i + 1) + ";1H" + lines[i];
      if (display_width(lines[i]) < size.width) text += "\x1b[K";
    }
    shown_ = std::move(lines);
    (void)write_all(1, text);
    changed_ = false;
    drawn_ = Clock::now();
  }

  Session& watch_;
  Session& asks_;
  Session& uses_;
  std::chrono::seconds interval_;
  wire::JobFilter filter_;
  WatchedJobs jobs_;
  TopState state_;
  TopData data_;
  bool joined_ = false, whole_ = false, changed_ = false;
  Time clock_;
  Clock::time_point at_{}, drawn_{};
  bool asked_ = false;  // what a job uses
  JobId used_by_ = 0;
  Clock::time_point used_{};
  std::vector<std::string> shown_;
  std::size_t width_ = 0;
};

}  // namespace

int run_top(const Dialect& dialect, int argc, const char* const* argv) {
  Reporter reporter(dialect);
  const OptionTable table = top_table(dialect);
  int status = 0;
  auto begun = begin(table, argc, argv, {"BAI_TOP_"}, reporter, status);
  if (!begun) return status;
  const Parsed parsed = std::move(*begun);
  if (!parsed.rest.empty())
    return reporter.mistyped(
        {"bad_option", "Unknown arguments: " + parsed.rest[0], "", "see bai-top --help"});
  std::int64_t interval = 3;
  if (const Given* given = parsed.find("interval")) {
    auto seconds = parse_count(given->value, 1, 3600);
    if (!seconds.ok())
      return reporter.mistyped(
          {seconds.error().code, seconds.error().message, given->place, seconds.error().remedy});
    interval = *seconds;
  }
  auto jobs = Session::open(parsed, reporter);
  auto nodes = Session::open(parsed, reporter);
  if (!jobs.ok()) return reporter.refused(jobs.error());
  if (!nodes.ok()) return reporter.refused(nodes.error());
  auto uses = Session::open(parsed, reporter);
  if (!uses.ok()) return reporter.refused(uses.error());
  wire::JobFilter filter;
  filter.mine = parsed.has("me");
  Top top(*jobs, *nodes, *uses, std::chrono::seconds(interval), std::move(filter));
  if (auto ready = top.begin(); !ready.ok()) return reporter.refused(ready.error());
  const std::optional<Screen> screen =
      !parsed.has("once") && isatty(0) ? Screen::open() : std::optional<Screen>();
  if (!screen) {
    top.once();
    return 0;
  }
  const Keyboard keyboard;
  return top.run(*screen, keyboard);
}

}  // namespace bai::cli
