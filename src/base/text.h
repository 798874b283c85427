// Text helpers that every room needs: trimming, splitting, quoting for messages, table columns.
// Bytes are UTF-8; no locale is consulted, so case and blanks are ASCII's.
// Any thread; pure functions. A returned string_view points into the argument.
#pragma once

#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace bai {

// Without the blanks (space, \t, \n, \v, \f, \r) at both ends.
std::string_view trim(std::string_view s);

// The parts between separators; an empty text has one empty part. With `max_parts`, the last part is the
// rest, separators included.
std::vector<std::string_view> split(std::string_view s, char separator,
                                    size_t max_parts = std::string_view::npos);
// The same with every part trimmed and empty parts left out: for "a, b,,c".
std::vector<std::string_view> split_list(std::string_view s, char separator = ',');
// The words between runs of blanks.
std::vector<std::string_view> split_blanks(std::string_view s);

// Not of a text that is gone when its parts are looked at.
template <std::same_as<std::string> S>
std::vector<std::string_view> split(S&&, char, size_t = 0) = delete;
template <std::same_as<std::string> S>
std::vector<std::string_view> split_list(S&&, char = ',') = delete;
template <std::same_as<std::string> S>
std::vector<std::string_view> split_blanks(S&&) = delete;

// The parts with the separator between them; works for any range of strings or string_views.
template <class Range>
std::string join(const Range& parts, std::string_view separator) {
  std::string out;
  bool first = true;
  for (const auto& part : parts) {
    if (!first) out += separator;
    first = false;
    out += part;
  }
  return out;
}

bool is_blank(char c);
bool is_digit(char c);
bool is_alpha(char c);
// True when there is at least one byte and all are '0'..'9'.
bool all_digits(std::string_view s);
char lower(char c);
std::string lower(std::string_view s);
std::string upper(std::string_view s);
bool iequals(std::string_view a, std::string_view b);
bool istarts_with(std::string_view s, std::string_view prefix);

// True when there is a control character: below 0x20, 0x7f, or U+0080..U+009F in UTF-8. Those in `allowed` do
// not count.
bool has_control(std::string_view s, std::string_view allowed = {});
// True when the bytes are well-formed UTF-8 (no overlong forms, surrogates, or values above U+10FFFF).
bool is_utf8(std::string_view s);
// Safe to print: control characters and bytes that are not UTF-8 become \n, \t, \r or \xNN; a backslash stays
// one.
std::string escape_control(std::string_view s);
// For messages: escaped, in single quotes, cut after `max_bytes` of the input with "...".
std::string quote(std::string_view s, size_t max_bytes = 80);
// As one word for a POSIX shell: as it is when nothing in it is special, else in single quotes.
std::string shell_quote(std::string_view s);

// "K=V" at the first '='; nothing when there is no '=' or the key is empty. Key and value are trimmed.
std::optional<std::pair<std::string_view, std::string_view>> parse_key_value(std::string_view s);

// The words of an #SBATCH line as sbatch reads them: blanks separate; ' and " quote; a backslash takes the
// next byte as it is, also inside either kind of quotes; '#' outside quotes begins a comment, also within a
// word; a newline ends the line. Errors (bad_quoting): an open quote, a trailing backslash, more than
// `max_words` words.
Result<std::vector<std::string>> split_shell_words(std::string_view line, size_t max_words = 1024);

// Terminal columns that the text takes: 1 per code point, 2 for East Asian wide and emoji, 0 for combining
// marks and controls; a byte that is not UTF-8 takes 1.
size_t display_width(std::string_view s);
// The longest prefix that takes at most `width` columns; code points stay whole.
std::string_view truncate(std::string_view s, size_t width);
// Filled up with spaces to `width` columns (at the right, or at the left); longer text stays as it is.
std::string pad_right(std::string_view s, size_t width);
std::string pad_left(std::string_view s, size_t width);

}  // namespace bai
