#include "sim/openb.h"

#include <algorithm>
#include <map>

#include "base/text.h"
#include "base/units.h"
#include "sim/shapes.h"

namespace bai::sim {
namespace {

// One line of the table, by the names of its columns.
class Row {
 public:
  static constexpr std::size_t kMaxColumns = 256;
  explicit Row(std::string_view header) {
    for (auto name : split(header, ',', kMaxColumns))
      columns_.emplace(std::string(trim(name)), columns_.size());
  }
  bool has(const std::string& column) const { return columns_.count(column); }
  // Empty, or what is wrong with it.
  std::string read(std::string_view line) {
    cells_ = split(line, ',', kMaxColumns);
    wrong_.clear();
    if (cells_.size() == columns_.size()) return {};
    return "it has " + std::to_string(cells_.size()) + " columns, not " + std::to_string(columns_.size());
  }
  std::string_view text(const std::string& column) const {
    auto it = columns_.find(column);
    return it == columns_.end() ? std::string_view() : trim(cells_[it->second]);
  }
  // 0 when the cell is empty or there is no such column. What is wrong is remembered.
  std::int64_t number(const std::string& column, std::int64_t max) {
    const auto cell = text(column);
    if (cell.empty()) return 0;
    auto value = parse_int(cell, 0, max);
    if (value.ok()) return *value;
    if (wrong_.empty()) wrong_ = quote(cell, 24) + " is no " + column;
    return 0;
  }
  const std::string& wrong() const { return wrong_; }

 private:
  std::map<std::string, std::size_t> columns_;
  std::vector<std::string_view> cells_;
  std::string wrong_;
};

constexpr std::int64_t kMaxMilli = 1'000'000'000, kMaxMiB = INT32_MAX, kMaxGpus = 4096,
                       kMaxTime = 1'000'000'000'000;

Error not_a_table(const Lines& lines, std::string_view what) {
  return {"bad_trace", "this is no table of openb's " + std::string(what), lines.place(),
          "its first line names the columns"};
}

// A number of a pod: "openb-pod-0017" is 17.
std::uint64_t number_in(std::string_view name) {
  auto begin = name.size();
  while (begin > 0 && is_digit(name[begin - 1]) && name.size() - begin < 18) --begin;
  auto parsed = parse_int(name.substr(begin), 0, INT64_MAX);
  return parsed.ok() ? static_cast<std::uint64_t>(*parsed) : 0;
}

std::string read_pod(Row& row, Shapes& shapes, TraceJob& job) {
  Shape shape;
  shape.cpu_milli = static_cast<std::uint64_t>(row.number("cpu_milli", kMaxMilli));
  shape.mem_mib = static_cast<std::uint64_t>(row.number("memory_mib", kMaxMiB));
  shape.gpus = static_cast<std::uint32_t>(row.number("num_gpu", kMaxGpus));
  if (shape.gpus) {
    shape.gpu_milli = static_cast<std::uint32_t>(row.number("gpu_milli", 1000));
    shape.gpu_models = row.text("gpu_spec");
  }
  const auto created = row.number("creation_time", kMaxTime), deleted = row.number("deletion_time", kMaxTime);
  const auto scheduled =
      row.text("scheduled_time").empty() ? created : row.number("scheduled_time", kMaxTime);
  if (!row.wrong().empty()) return row.wrong();
  if (shape.gpus && shape.gpu_milli == 0) return "it asks for no part of a GPU";
  if (shape.gpus > 1 && shape.gpu_milli < 1000) return "it asks for shares of several GPUs";
  job.id = number_in(row.text("name"));
  job.submit = created;
  job.run = std::max<Seconds>(deleted - std::max(scheduled, created), 0);
  job.estimate = std::max<Seconds>(job.run, 1);
  job.shape = shapes.index(shape);
  return {};
}

}  // namespace

Result<OpenbNodes> read_openb_nodes(const std::string& path, bool strict) {
  auto lines = Lines::open(path);
  if (!lines.ok()) return lines.error();
  std::string_view line;
  if (!lines->next(line) && !lines->status().ok()) return lines->status().error();
  Row row(line);
  if (!row.has("cpu_milli") || !row.has("gpu")) return not_a_table(*lines, "nodes");
  OpenbNodes out;
  while (lines->next(line)) {
    if (trim(line).empty()) continue;
    OpenbNode node;
    std::string wrong = lines->too_long() ? "it is too long" : row.read(line);
    if (wrong.empty()) {
      node.name = row.text("sn");
      node.cpu_milli = static_cast<std::uint64_t>(row.number("cpu_milli", kMaxMilli));
      node.mem_mib = static_cast<std::uint64_t>(row.number("memory_mib", kMaxMiB));
      node.gpus = static_cast<std::uint32_t>(row.number("gpu", kMaxGpus));
      node.model = row.text("model");
      wrong = row.wrong();
    }
    if (!wrong.empty()) {
      if (auto told = out.broken.add(*lines, wrong, strict); !told.ok()) return told.error();
    } else if (out.nodes.size() == OpenbNodes::kMaxNodes) {
      return Error{"bad_trace", "it has more than " + std::to_string(OpenbNodes::kMaxNodes) + " nodes",
                   lines->place()};
    } else {
      out.nodes.push_back(std::move(node));
    }
  }
  if (!lines->status().ok()) return lines->status().error();
  return out;
}

bool is_openb_pods(std::string_view first_line) {
  Row row(first_line);
  return row.has("cpu_milli") && row.has("num_gpu");
}

Result<Workload> read_openb_pods(Lines& lines, std::string_view first, bool strict) {
  if (!is_openb_pods(first)) return not_a_table(lines, "pods");
  Row row(first);
  Workload out;
  Shapes shapes(out.shapes);
  std::string_view line;
  while (lines.next(line)) {
    if (trim(line).empty()) continue;
    TraceJob job;
    std::string wrong = lines.too_long() ? "it is too long" : row.read(line);
    if (wrong.empty()) wrong = read_pod(row, shapes, job);
    if (!wrong.empty()) {
      if (auto told = out.broken.add(lines, wrong, strict); !told.ok()) return told.error();
    } else if (out.jobs.size() == Workload::kMaxJobs) {
      return Error{"bad_trace", "it has more than " + std::to_string(Workload::kMaxJobs) + " pods",
                   lines.place()};
    } else {
      out.jobs.push_back(job);
    }
  }
  if (!lines.status().ok()) return lines.status().error();
  return out;
}

Result<Workload> read_openb_pods(const std::string& path, bool strict) {
  auto lines = Lines::open(path);
  if (!lines.ok()) return lines.error();
  std::string_view first;
  if (!lines->next(first) && !lines->status().ok()) return lines->status().error();
  return read_openb_pods(*lines, first, strict);
}

}  // namespace bai::sim
