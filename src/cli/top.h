// bai-top: the cluster on one screen, alive: nodes, queue, next starts, one job's output.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/dialect.h"
#include "cli/job_fields.h"
#include "cli/screen.h"
#include "model/node.h"
#include "wire/messages.h"

namespace bai::cli {

// The whole command; its exit status.
int run_top(const Dialect& dialect, int argc, const char* const* argv);

enum class TopPage : std::uint8_t { kQueue, kNodes, kNext, kJob };

// What is seen, and what keys made of it. Plain value; its functions are pure.
struct TopState {
  TopPage page = TopPage::kQueue;
  std::size_t selected = 0;  // of the page's rows
  JobId job = 0;             // whose page is shown
  bool help = false;
  bool quit = false;
};

struct TopData {
  Time now;
  std::string cluster;
  std::vector<JobView> jobs;  // unfinished
  std::vector<Node> nodes;
  std::vector<std::string> output;  // the last lines of the job's, on its page
  std::vector<wire::StepUse> use;   // by its steps, there
  std::string trouble;              // that the controller is away
};

// Jobs in the order of the page: running first, or by expected start.
void arrange_top(std::vector<JobView>& jobs, TopPage page);
// A key: "q", "j", "\r", "\x1b[A" (up)... Unknown ones change nothing.
void top_key(TopState& state, std::string_view key, const TopData& data, std::size_t page_rows);
// The screen's lines, none wider than it; exactly as many as it has.
std::vector<std::string> draw_top(const TopState& state, const TopData& data, Screen::Size size);

}  // namespace bai::cli
