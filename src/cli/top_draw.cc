#include <algorithm>

#include "base/text.h"
#include "cli/stat.h"
#include "cli/top.h"

namespace bai::cli {
namespace {

std::string bar(std::uint64_t used, std::uint64_t all, std::size_t width) {
  const std::size_t full = all == 0 ? 0 : static_cast<std::size_t>(used * width / all);
  return "[" + std::string(std::min(full, width), '#') + std::string(width - std::min(full, width), '.') +
         "]";
}

std::string gib(std::uint64_t mib) {
  return mib < 10 * 1024 ? std::to_string(mib) + "M" : std::to_string(mib / 1024) + "G";
}

std::string job_id(const JobView& job) {
  std::string out;
  put_job_id(out, job);
  return out;
}

std::string column(std::string_view text, std::size_t width) {
  return pad_right(truncate(text, width), width + 1);
}
std::string number(std::uint64_t n, std::size_t width) {
  std::string text = std::to_string(n);
  return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
}

// When it will begin, from now on: "now", "in 4:10", "-".
std::string until(Time at, Time now) {
  if (!at.is_set()) return "-";
  if (at <= now) return "now";
  return "in " + format_duration(at - now);
}

std::vector<std::string> header(const TopData& data) {
  std::uint64_t cpus = 0, used = 0, mem = 0, mem_used = 0;
  std::size_t up = 0, down = 0, drained = 0;
  for (const auto& node : data.nodes) {
    const bool well = node.condition == NodeCondition::kUp && node.responding;
    (node.drain ? drained : well ? up : down)++;
    cpus += node.declared.cpus;
    used += node.cpus_used;
    mem += node.declared.mem_mib;
    mem_used += node.mem_used_mib;
  }
  std::uint64_t running = 0, pending = 0;
  for (const auto& job : data.jobs)
    (job.row->state == JobState::kPending ? pending : running) += job.is_head() ? job.row->array_waiting : 1;
  std::string first = "bai-top " + data.cluster + "  " + format_timestamp(data.now).substr(11) + "  " +
                      std::to_string(running) + " running, " + std::to_string(pending) + " waiting";
  if (!data.trouble.empty()) first += "  ! " + data.trouble;
  return {first, "nodes " + std::to_string(up) + " up" +
                     (drained ? ", " + std::to_string(drained) + " drained" : "") +
                     (down ? ", " + std::to_string(down) + " down" : "") + "   CPUs " + bar(used, cpus, 20) +
                     " " + std::to_string(used) + "/" + std::to_string(cpus) + "   memory " +
                     bar(mem_used, mem, 10) + " " + gib(mem_used) + "/" + gib(mem)};
}

std::string tabs(const TopState& state) {
  std::string out;
  const std::pair<TopPage, std::string_view> pages[] = {
      {TopPage::kQueue, "1 queue"}, {TopPage::kNodes, "2 nodes"}, {TopPage::kNext, "3 next starts"}};
  for (const auto& [page, text] : pages)
    out += (page == state.page ? "[" : " ") + std::string(text) + (page == state.page ? "] " : "  ");
  if (state.page == TopPage::kJob) out += "[job " + std::to_string(state.job) + "]";
  return out;
}

std::string queue_row(const JobView& job) {
  return column(job_id(job), 14) + column(job.text(job.row->partition), 9) +
         column(job.text(job.row->name), 16) + column(job.text(job.row->user), 9) +
         column(compact(job.row->state), 2) +
         column(job.row->state == JobState::kPending ? "" : format_duration(run_time(job)), 11) +
         column(std::to_string(job.row->nodes), 5) + column(std::to_string(job.row->cpus), 6) +
         (job.row->state == JobState::kPending ? "(" + std::string(reason_text(job)) + ")"
                                               : std::string(job.text(job.row->node_list)));
}

std::string next_row(const JobView& job) {
  return column(job_id(job), 14) + column(job.text(job.row->partition), 9) +
         column(job.text(job.row->name), 16) + column(job.text(job.row->user), 9) +
         column(until(job.row->expected_start, job.now), 16) + column(std::to_string(job.row->nodes), 5) +
         column(std::to_string(job.row->cpus), 6) + column(std::to_string(job.row->priority), 10) + "(" +
         std::string(reason_text(job)) + ")";
}

std::string node_row(const Node& node) {
  return column(node.name.view(), 16) + column(node_state_compact(node), 7) +
         bar(node.cpus_used, node.declared.cpus, 16) + " " + number(node.cpus_used, 4) + "/" +
         column(std::to_string(node.declared.cpus), 5) +
         column(gib(node.mem_used_mib) + "/" + gib(node.declared.mem_mib), 12) +
         column(std::to_string(node.jobs) + " jobs", 9) + "load " + std::to_string(node.load_percent / 100) +
         "." + (node.load_percent % 100 < 10 ? "0" : "") + std::to_string(node.load_percent % 100) + "  " +
         node.reason.str();
}

constexpr std::size_t kStepsShown = 8;

std::string bytes(std::uint64_t n) {
  constexpr std::string_view kUnits = "BKMGTPE";
  std::size_t unit = 0;
  for (; n >= 10 * 1024 && unit + 1 < kUnits.size(); ++unit) n /= 1024;
  return std::to_string(n) + kUnits[unit];
}

// What its steps use: a line each, and those that are too many are counted.
std::vector<std::string> use_rows(const TopData& data) {
  if (data.use.empty()) return {};
  std::vector<std::string> out = {"  " + column("STEP", 12) + column("TASKS", 5) + column("CPU TIME", 10) +
                                  column("BUSY", 5) + column("MEMORY", 8) + column("TASK MAX", 8) +
                                  column("READ", 8) + column("WRITTEN", 8) + "NODES"};
  for (const auto& step : data.use) {
    if (out.size() > kStepsShown) {
      out.push_back("  and " + std::to_string(data.use.size() - kStepsShown) + " steps more");
      break;
    }
    const StatRow row = stat_row(step, true);
    const auto ran = static_cast<std::uint64_t>(std::max<Seconds>(1, data.now - step.started));
    const std::uint64_t busy = row.cpu_us.total / 10'000 / (ran * std::max(1u, step.cpus));
    std::size_t answered = 0;
    for (const auto& part : step.nodes) answered += part.missing.empty();
    const std::string nodes = (answered < step.nodes.size() ? std::to_string(answered) + " of " : "") +
                              std::to_string(step.nodes.size());
    out.push_back("  " + column(stat_step_name(step), 12) + column(std::to_string(row.tasks), 5) +
                  column(format_duration_full(static_cast<Seconds>(row.cpu_us.total / 1'000'000)), 10) +
                  column(std::to_string(busy) + "%", 5) + column(bytes(row.rss_kib.total * 1024), 8) +
                  column(bytes(row.rss_kib.most * 1024), 8) + column(bytes(row.read_bytes.total), 8) +
                  column(bytes(row.write_bytes.total), 8) + nodes);
  }
  out.emplace_back();
  return out;
}

std::vector<std::string> job_page(const TopState& state, const TopData& data) {
  const auto found = std::find_if(data.jobs.begin(), data.jobs.end(),
                                  [&](const JobView& job) { return job.row->id == state.job; });
  if (found == data.jobs.end())
    return {"job " + std::to_string(state.job) + " has ended; see bai-acct -j " + std::to_string(state.job)};
  const JobView& job = *found;
  std::vector<std::string> out = {
      "job " + job_id(job) + " " + std::string(job.text(job.row->name)) + " of " +
          std::string(job.text(job.row->user)) + ": " + std::string(name(job.row->state)) + " " +
          (job.row->state == JobState::kPending ? "(" + std::string(reason_text(job)) + ")"
                                                : "on " + std::string(job.text(job.row->node_list))),
      "  " + std::to_string(job.row->nodes) + " nodes, " + std::to_string(job.row->cpus) + " CPUs, " +
          (job.row->state == JobState::kPending
               ? "expected to start " + until(job.row->expected_start, data.now)
               : "runs for " + format_duration(run_time(job)) +
                     (job.row->time_limit > 0 ? " of " + format_duration(job.row->time_limit) : ""))};
  std::string path;
  put_path(path, job, job.row->std_out);
  out.push_back("  " + path);
  out.emplace_back();
  for (auto& line : use_rows(data)) out.push_back(std::move(line));
  out.insert(out.end(), data.output.begin(), data.output.end());
  return out;
}

constexpr std::string_view kKeys = "1 2 3 pages  up/down, j/k select  Enter job  Esc back  h help  q quit";

}  // namespace

void arrange_top(std::vector<JobView>& jobs, TopPage page) {
  if (page == TopPage::kNext) {
    std::erase_if(jobs, [](const JobView& job) { return job.row->state != JobState::kPending; });
    std::stable_sort(jobs.begin(), jobs.end(), [](const JobView& a, const JobView& b) {
      const Time x = a.row->expected_start, y = b.row->expected_start;
      if (x.is_set() != y.is_set()) return x.is_set();
      if (x != y) return x < y;
      return a.row->priority != b.row->priority ? a.row->priority > b.row->priority : a.row->id < b.row->id;
    });
    return;
  }
  std::stable_sort(jobs.begin(), jobs.end(), [](const JobView& a, const JobView& b) {
    const bool x = a.row->state == JobState::kPending, y = b.row->state == JobState::kPending;
    if (x != y) return y;
    if (x && a.row->priority != b.row->priority) return a.row->priority > b.row->priority;
    return a.row->id < b.row->id;
  });
}

void top_key(TopState& state, std::string_view key, const TopData& data, std::size_t page_rows) {
  auto jobs = data.jobs;
  arrange_top(jobs, state.page);
  const std::size_t rows = state.page == TopPage::kNodes ? data.nodes.size() : jobs.size();
  const auto turn = [&](TopPage page) {
    state.page = page;
    state.selected = 0;
  };
  const std::size_t last = rows == 0 ? 0 : rows - 1;
  state.selected = std::min(state.selected, last);
  if (key == "q" || key == "\x03") state.quit = true;
  if (state.help) {
    state.help = false;
    return;
  }
  if (key == "1") turn(TopPage::kQueue);
  if (key == "2") turn(TopPage::kNodes);
  if (key == "3") turn(TopPage::kNext);
  if (key == "\t")
    turn(state.page == TopPage::kQueue   ? TopPage::kNodes
         : state.page == TopPage::kNodes ? TopPage::kNext
                                         : TopPage::kQueue);
  if (key == "h" || key == "?") state.help = true;
  if (key == "j" || key == "\x1b[B" || key == "\x1bOB") state.selected = std::min(last, state.selected + 1);
  if (key == "k" || key == "\x1b[A" || key == "\x1bOA") state.selected -= state.selected > 0;
  if (key == "\x1b[6~" || key == " ") state.selected = std::min(last, state.selected + page_rows);
  if (key == "\x1b[5~" || key == "b") state.selected -= std::min(state.selected, page_rows);
  if (key == "g" || key == "\x1b[H") state.selected = 0;
  if (key == "G" || key == "\x1b[F") state.selected = last;
  if ((key == "\r" || key == "\n") && state.page != TopPage::kNodes && state.page != TopPage::kJob &&
      !jobs.empty()) {
    state.job = jobs[state.selected].row->id;
    state.page = TopPage::kJob;
  } else if ((key == "\x1b" || key == "\x7f") && state.page == TopPage::kJob) {
    turn(TopPage::kQueue);
  }
}

std::vector<std::string> draw_top(const TopState& state, const TopData& data, Screen::Size size) {
  std::vector<std::string> out = header(data);
  out.push_back(tabs(state));
  std::vector<std::string> rows;
  std::string titles;
  if (state.help) {
    titles = "keys";
    rows = {"1, 2, 3, Tab       the queue, the nodes, the next starts",
            "up, down, j, k     select; space, b a page; g, G first and last",
            "Enter              the selected job: what it asks and uses, its output as it grows",
            "Esc                back",
            "q, Ctrl-C          leave",
            "",
            "any key goes on"};
  } else if (state.page == TopPage::kJob) {
    rows = job_page(state, data);
  } else if (state.page == TopPage::kNodes) {
    titles = column("NODE", 16) + column("STATE", 7) + column("CPUS", 28) + column("MEMORY", 12) +
             column("JOBS", 9) + "LOAD";
    for (const auto& node : data.nodes) rows.push_back(node_row(node));
  } else {
    auto jobs = data.jobs;
    arrange_top(jobs, state.page);
    const bool next = state.page == TopPage::kNext;
    titles = column("JOBID", 14) + column("PARTITION", 9) + column("NAME", 16) + column("USER", 9) +
             (next ? column("START", 16) : column("ST", 2) + column("TIME", 11)) + column("NODES", 5) +
             column("CPUS", 6) + (next ? column("PRIORITY", 10) + "(REASON)" : "NODELIST(REASON)");
    for (const auto& job : jobs) rows.push_back(next ? next_row(job) : queue_row(job));
  }
  const bool lists = state.page != TopPage::kJob && !state.help;
  out.push_back(lists ? " " + titles : titles);
  const std::size_t room = size.height > out.size() + 1 ? size.height - out.size() - 1 : 0;
  // A job's page shows its end, a list what is selected.
  std::size_t from = 0;
  if (lists && state.selected >= room && room > 0)
    from = std::min(state.selected, rows.empty() ? 0 : rows.size() - 1) - room + 1;
  for (std::size_t i = from; i < rows.size() && i < from + room; ++i)
    out.push_back((lists ? (i == state.selected ? ">" : " ") : "") + rows[i]);
  while (out.size() + 1 < size.height) out.emplace_back();
  out.emplace_back(kKeys);
  out.resize(size.height);
  for (auto& line : out) line = truncate(escape_control(line), size.width);
  return out;
}

}  // namespace bai::cli
