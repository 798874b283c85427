// "did you mean 'X'?": the known word nearest to a misspelt one.
// Any thread; pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bai {

// Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`, ignoring ASCII case; `limit +
// 1` as soon as it is known to be more than `limit`. Optimal string alignment (restricted
// Damerau-Levenshtein) in O(|a| * |b|).
size_t edit_distance(std::string_view a, std::string_view b, size_t limit);

// The word with the fewest edits from `word`, the first of equals; nothing when that takes more than `limit`
// edits (0: a third of the word's length rounded to the nearest, at least 1 and at most 3). Words over 64
// bytes have none.
std::optional<std::string_view> nearest_word(std::string_view word,
                                             const std::vector<std::string_view>& known, size_t limit = 0);

// A remedy for Error: "did you mean 'X'?", or empty when nothing is near. `known` is any range of strings or
// string_views.
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& known);
template <class Range>
std::string did_you_mean(std::string_view word, const Range& known) {
  return did_you_mean(word, std::vector<std::string_view>(known.begin(), known.end()));
}

}  // namespace bai
