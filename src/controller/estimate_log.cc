#include "controller/estimate_log.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/text.h"

namespace bai::controller {
namespace {

constexpr std::size_t kRows = 20, kInRow = 50;

std::string key_of(std::size_t row) {
  return std::string(kEstimates) + (row < 10 ? "0" : "") + std::to_string(row);
}

std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(out) : std::nullopt;
}

}  // namespace

EstimateLog::EstimateLog(const std::map<std::string, std::string>& settings) {
  for (std::size_t row = 0; row < kRows; ++row) {
    const auto it = settings.find(key_of(row));
    if (it == settings.end()) continue;
    std::vector<std::int64_t> numbers;
    for (const auto& word : split_blanks(it->second))
      if (auto n = number(word)) numbers.push_back(*n);
    if (numbers.empty() || numbers.size() > kInRow + 1 || numbers[0] < 0) continue;
    const auto first = static_cast<std::uint64_t>(numbers[0]);
    if (first % kInRow != 0 || first / kInRow % kRows != row) continue;
    rows_[row] = {first, {numbers.begin() + 1, numbers.end()}};
    next_ = std::max(next_, first + numbers.size() - 1);
  }
}

void EstimateLog::add(Seconds late) {
  const std::size_t number = next_ / kInRow % kRows;
  auto& row = rows_[number];
  if (next_ % kInRow == 0) row = {next_, {}};
  row.late.push_back(late);
  changed_.insert(number);
  ++next_;
}

std::vector<store::SettingPut> EstimateLog::take() {
  std::vector<store::SettingPut> out;
  for (auto number : changed_) {
    const auto& row = rows_[number];
    std::string text = std::to_string(row.first);
    for (auto late : row.late) text += " " + std::to_string(late);
    out.push_back({key_of(number), std::move(text)});
  }
  changed_.clear();
  return out;
}

std::vector<Seconds> EstimateLog::all() const {
  std::vector<const Row*> rows;
  for (const auto& [number, row] : rows_) rows.push_back(&row);
  std::sort(rows.begin(), rows.end(), [](const Row* a, const Row* b) { return a->first < b->first; });
  std::vector<Seconds> out;
  for (const auto* row : rows) out.insert(out.end(), row->late.begin(), row->late.end());
  return out;
}

}  // namespace bai::controller
