#include "base/suggest.h"

#include <algorithm>

#include "base/text.h"

namespace bai {
namespace {

constexpr size_t kMaxWord = 64;

}  // namespace

size_t edit_distance(std::string_view a, std::string_view b, size_t limit) {
  const size_t longer = std::max(a.size(), b.size());
  if (longer - std::min(a.size(), b.size()) > limit) return limit + 1;
  // Three rows of the table: two back (for swaps), the last one, and the one being made.
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    size_t best = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const char x = lower(a[i - 1]);
      const char y = lower(b[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (x == y ? 0 : 1)});
      if (i > 1 && j > 1 && x == lower(b[j - 2]) && lower(a[i - 2]) == y) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
      best = std::min(best, row[j]);
    }
    // A swap can reach over one row, so only two rows that are both too far settle it; one more edit than the
    // limit is enough.
    if (best > limit + 1) return limit + 1;
    before.swap(last);
    last.swap(row);
  }
  return std::min(last[b.size()], limit + 1);
}

std::optional<std::string_view> nearest_word(std::string_view word,
                                             const std::vector<std::string_view>& known, size_t limit) {
  if (word.empty() || word.size() > kMaxWord) return std::nullopt;
  if (limit == 0) limit = std::clamp<size_t>((word.size() + 1) / 3, 1, 3);
  std::optional<std::string_view> nearest;
  for (std::string_view candidate : known) {
    if (candidate.empty() || candidate.size() > kMaxWord) continue;
    const size_t edits = edit_distance(word, candidate, limit);
    // Replacing every letter of a short word is no spelling mistake.
    if (edits > limit || edits >= std::max(word.size(), candidate.size())) continue;
    nearest = candidate;
    if (edits == 0) break;
    limit = edits - 1;
  }
  return nearest;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& known) {
  const std::optional<std::string_view> nearest = nearest_word(word, known);
  return nearest ? "did you mean " + quote(*nearest) + "?" : std::string();
}

}  // namespace bai
