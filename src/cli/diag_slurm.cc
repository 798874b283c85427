#include "cli/diag_slurm.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <string_view>
#include <vector>

#include "base/text.h"

namespace bai::cli {
namespace {

// What bai has no counterpart of stands as the zero that Slurm shows when there is nothing.
class SlurmDiag {
 public:
  SlurmDiag(std::string& out, const wire::DiagReply& diag) : out_(out), diag_(diag) {}

  void put() {
    const std::string stars(55, '*');
    line(stars);
    line("sdiag output at " + moment(diag_.now));
    line("Data since      " + moment(diag_.since));
    line(stars);
    count("Server thread count:  ", value("wire", "connections"));
    for (auto title : {"Agent queue size:     ", "Agent count:          ", "Agent thread count:   ",
                       "DBD Agent queue size: "})
      count(title, 0);
    line("");
    count("Jobs submitted: ", value("moves", "submitted"));
    count("Jobs started:   ", value("moves", "configuring"));
    count("Jobs completed: ", value("moves", "completed"));
    count("Jobs canceled:  ", value("moves", "cancelled"));
    count("Jobs failed:    ", value("moves", "failed") + value("moves", "timeout") +
                                  value("moves", "node_fail") + value("moves", "out_of_memory") +
                                  value("moves", "boot_fail"));
    line("\nJob states ts:  " + moment(diag_.now));
    count("Jobs pending:   ", value("jobs", "pending"));
    count("Jobs running:   ", value("jobs", "running"));
    schedule();
    requests();
    line("\nPending RPC statistics\n\tNo pending RPCs");
  }

 private:
  void line(std::string_view text) { out_.append(text) += '\n'; }
  void count(std::string_view title, double n) {
    out_.append(title) += std::to_string(std::llround(n)) + "\n";
  }
  static std::string moment(Time at) {
    const std::time_t seconds = at.seconds();
    char text[64] = "";
    std::tm tm{};
    localtime_r(&seconds, &tm);
    std::strftime(text, sizeof text, "%a %b %d %H:%M:%S %Y", &tm);
    return text + (" (" + std::to_string(seconds) + ")");
  }
  double value(std::string_view group, std::string_view name) const {
    for (const auto& metric : diag_.metrics)
      if (metric.group == group && metric.name == name) return metric.value;
    return 0;
  }

  void schedule() {
    const double cycles = value("scheduler", "pass_count");
    const double minutes =
        std::max(1.0, static_cast<double>(diag_.now.seconds() - diag_.since.seconds()) / 60);
    line("\nMain schedule statistics (microseconds):");
    count("\tLast cycle:   ", value("scheduler", "pass_p50"));
    count("\tMax cycle:    ", value("scheduler", "pass_max"));
    count("\tTotal cycles: ", cycles);
    if (cycles > 0) {
      count("\tMean cycle:   ", value("scheduler", "pass_mean"));
      count("\tMean depth cycle:  ", value("scheduler", "jobs_tried") / cycles);
      count("\tCycles per minute: ", std::floor(cycles / minutes));
    }
    count("\tLast queue length: ", value("jobs", "pending"));
    line("\nBackfilling stats");
    for (auto title : {"Total backfilled jobs (since last slurm start): ",
                       "Total backfilled jobs (since last stats cycle start): ",
                       "Total backfilled heterogeneous job components: ", "Total cycles: "})
      count("\t" + std::string(title), 0);
    line("\tLast cycle when: N/A");
    for (auto title : {"Last cycle: ", "Max cycle:  ", "Last depth cycle: ", "Last depth cycle (try sched): ",
                       "Last queue length: ", "Last table size: "})
      count("\t" + std::string(title), 0);
  }

  // By kind, most frequent first.
  void requests() {
    struct Kind {
      std::string name;
      double count, mean;
    };
    std::vector<Kind> kinds;
    constexpr std::string_view kCount = "_count";
    for (const auto& metric : diag_.metrics)
      if (metric.group == "requests" && metric.name.ends_with(kCount)) {
        const std::string name = metric.name.substr(0, metric.name.size() - kCount.size());
        kinds.push_back({name, metric.value, value("requests", name + "_mean")});
      }
    std::stable_sort(kinds.begin(), kinds.end(),
                     [](const Kind& a, const Kind& b) { return a.count > b.count; });
    line("\nRemote Procedure Call statistics by message type");
    int number = 0;
    for (const auto& kind : kinds) {
      char text[256];
      std::snprintf(text, sizeof text, "\t%-40s(%5d) count:%-6.0f ave_time:%-6.0f total_time:%.0f",
                    ("REQUEST_" + upper(kind.name)).c_str(), ++number, kind.count, kind.mean,
                    kind.count * kind.mean);
      line(text);
    }
    line("\nRemote Procedure Call statistics by user");
  }

  std::string& out_;
  const wire::DiagReply& diag_;
};

}  // namespace

void put_slurm_diag(std::string& out, const wire::DiagReply& diag) { SlurmDiag(out, diag).put(); }

}  // namespace bai::cli
