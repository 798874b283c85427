#include "step/pmi1.h"

#include <algorithm>
#include <charconv>

namespace bai::step {

namespace {

constexpr size_t kMapBytes = 1000;  // a value is at most 1,024 for MPICH

// The value of "key=" in a line; the last word of a put may hold blanks.
std::string_view word(std::string_view line, std::string_view key, bool to_the_end = false) {
  for (size_t at = 0; at < line.size();) {
    const size_t end = std::min(line.find(' ', at), line.size());
    const std::string_view w = line.substr(at, end - at);
    if (w.size() > key.size() && w.starts_with(key) && w[key.size()] == '=')
      return to_the_end ? line.substr(at + key.size() + 1) : w.substr(key.size() + 1);
    at = end + 1;
  }
  return {};
}

int number(std::string_view text, int otherwise) {
  int n = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

}  // namespace

std::string pmi_process_mapping(const std::vector<uint32_t>& nodes) {
  struct Block {
    uint32_t first, count, each;
  };
  std::vector<Block> blocks;
  for (size_t at = 0; at < nodes.size();) {
    size_t end = at;
    while (end < nodes.size() && nodes[end] == nodes[at]) ++end;
    const auto each = static_cast<uint32_t>(end - at);
    if (!blocks.empty() && blocks.back().each == each &&
        blocks.back().first + blocks.back().count == nodes[at])
      ++blocks.back().count;
    else
      blocks.push_back({nodes[at], 1, each});
    at = end;
  }
  std::string out = "(vector";
  for (const Block& b : blocks)
    out +=
        ",(" + std::to_string(b.first) + "," + std::to_string(b.count) + "," + std::to_string(b.each) + ")";
  out += ")";
  return blocks.empty() || out.size() > kMapBytes ? "" : out;
}

Pmi1::Pmi1(const StreamPlan& plan, std::string name, size_t local)
    : size_(plan.task_count), name_(std::move(name)), in_barrier_(local), in_mpi_(local), in_mcmd_(local) {
  if (const std::string map = pmi_process_mapping(plan.rank_nodes); !map.empty()) {
    space_.put("PMI_process_mapping", map);
    (void)space_.fence();  // every node has it
  }
}

Pmi1::Outcome Pmi1::take(size_t task, std::string_view line) {
  Outcome out;
  if (in_mcmd_[task]) {
    if (line != "endcmd") return out;
    in_mcmd_[task] = false;
    out.reply = "cmd=spawn_result rc=-1 msg=spawn_not_supported\n";
    return out;
  }
  const std::string_view cmd = word(line, "cmd");
  if (cmd == "init") {
    in_mpi_[task] = true;
    out.reply = word(line, "pmi_version") == "1"
                    ? "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n"
                    : "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=-1\n";
  } else if (cmd == "get_maxes") {
    out.reply = "cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=1024 rc=0\n";
  } else if (cmd == "get_appnum") {
    out.reply = "cmd=appnum appnum=0 rc=0\n";
  } else if (cmd == "get_my_kvsname") {
    out.reply = "cmd=my_kvsname kvsname=" + name_ + " rc=0\n";
  } else if (cmd == "get_universe_size") {
    out.reply = "cmd=universe_size size=" + std::to_string(size_) + " rc=0\n";
  } else if (cmd == "put") {
    out.reply = space_.put(word(line, "key"), word(line, "value", true))
                    ? "cmd=put_result rc=0 msg=success\n"
                    : "cmd=put_result rc=-1 msg=too_long_or_full\n";
  } else if (cmd == "get") {
    out.reply = get(line);
  } else if (cmd == "getbyidx") {
    out.reply = get_by_index(line);
  } else if (cmd == "barrier_in") {
    if (in_barrier_[task]) return out.broken = true, out;
    in_barrier_[task] = true;
    out.all_at_fence = ++waiting_ == in_barrier_.size();
  } else if (cmd == "finalize") {
    in_mpi_[task] = false;
    out.reply = "cmd=finalize_ack rc=0\n";
  } else if (cmd == "abort") {
    out.abort = number(word(line, "exitcode"), 1);
  } else if (cmd == "publish_name" || cmd == "unpublish_name" || cmd == "lookup_name") {
    out.reply = "cmd=" + std::string(cmd.substr(0, cmd.find('_'))) + "_result rc=-1 msg=not_supported\n";
  } else if (word(line, "mcmd") == "spawn") {
    in_mcmd_[task] = true;
  } else {
    out.broken = true;
  }
  return out;
}

std::string Pmi1::get(std::string_view line) const {
  if (word(line, "kvsname") != name_) return "cmd=get_result rc=-1 msg=kvs_not_found value=unknown\n";
  const std::string* value = space_.get(word(line, "key"));
  return value ? "cmd=get_result rc=0 msg=success value=" + *value + "\n"
               : "cmd=get_result rc=-1 msg=key_not_found value=unknown\n";
}

std::string Pmi1::get_by_index(std::string_view line) const {
  const int index = number(word(line, "idx"), -1);
  if (index < 0 || static_cast<size_t>(index) >= space_.pairs().size())
    return "cmd=getbyidx_results rc=-1 reason=no_more_keyvals\n";
  auto pair = space_.pairs().begin();
  std::advance(pair, index);
  return "cmd=getbyidx_results rc=0 nextidx=" + std::to_string(index + 1) + " key=" + pair->first +
         " val=" + pair->second + "\n";
}

std::vector<size_t> Pmi1::leave_barrier() {
  std::vector<size_t> out;
  for (size_t task = 0; task < in_barrier_.size(); ++task)
    if (in_barrier_[task]) out.push_back(task);
  in_barrier_.assign(in_barrier_.size(), false);
  waiting_ = 0;
  return out;
}

}  // namespace bai::step
