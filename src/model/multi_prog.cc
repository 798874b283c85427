#include "model/multi_prog.h"

#include <algorithm>

#include "base/text.h"

namespace bai {
namespace {

constexpr std::uint32_t kMostRanks = 1u << 20;

void replace_all(std::string& text, std::string_view what, const std::string& with) {
  for (std::size_t at = 0; (at = text.find(what, at)) != text.npos; at += with.size())
    text.replace(at, what.size(), with);
}

}  // namespace

Result<MultiProg> MultiProg::parse(std::string_view text, std::uint32_t ranks) {
  MultiProg out;
  std::string joined;  // a line that ends in a backslash goes on in the next
  std::size_t number = 0;
  const auto bad = [&](const std::string& why) {
    return Error{"bad_multi_prog", why, "line " + std::to_string(number) + " of the --multi-prog file",
                 "a line is: RANKS PROGRAM ARGUMENTS, with RANKS such as 0,2-3 or *"};
  };
  while (!text.empty()) {
    ++number;
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (line.ends_with('\\')) {
      joined += line.substr(0, line.size() - 1);
      continue;
    }
    joined += line;
    auto words = split_shell_words(joined, 65536);
    joined.clear();
    if (!words) return bad(words.error().message);
    if (words->empty() || (*words)[0].starts_with('#')) continue;
    if (words->size() < 2) return bad("no program follows " + quote((*words)[0]));
    Line entry;
    if ((*words)[0] == "*") {
      entry.rest = true;
    } else {
      auto set = IdSet::parse((*words)[0], kMostRanks);
      if (!set) return bad(set.error().message);
      entry.ranks = std::move(*set);
    }
    entry.words.assign(words->begin() + 1, words->end());
    out.lines_.push_back(std::move(entry));
  }
  number = 0;
  for (std::uint32_t rank = 0; rank < ranks; ++rank)
    if (out.words(rank).empty())
      return Error{"bad_multi_prog", "task " + std::to_string(rank) + " has no line", "--multi-prog file",
                   "add one for it, or one that begins with *"};
  return out;
}

std::vector<std::string> MultiProg::words(std::uint32_t rank) const {
  for (const auto& line : lines_) {
    if (!line.rest && !line.ranks.contains(rank)) continue;
    std::uint32_t place = 0;
    for (std::uint32_t before = 0; before < rank; ++before)
      place += line.rest ? std::none_of(lines_.begin(), lines_.end(),
                                        [&](const Line& l) { return l.ranks.contains(before); })
                         : line.ranks.contains(before);
    auto words = line.words;
    for (auto& word : words) {
      replace_all(word, "%t", std::to_string(rank));
      replace_all(word, "%o", std::to_string(place));
    }
    return words;
  }
  return {};
}

}  // namespace bai
