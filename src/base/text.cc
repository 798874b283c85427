#include "base/text.h"

#include <cstdint>

namespace bai {
namespace {

constexpr uint32_t kNotUtf8 = 0xffffffff;

// The code point at s[at] and its length in bytes; kNotUtf8 and 1 when the bytes are not well-formed.
struct CodePoint {
  uint32_t value;
  size_t bytes;
};

CodePoint decode(std::string_view s, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned char lead = byte(at);
  if (lead < 0x80) return {lead, 1};
  size_t bytes = 0;
  uint32_t value = 0;
  uint32_t least = 0;  // below it the form is overlong
  if (lead >= 0xc2 && lead <= 0xdf) {
    bytes = 2, value = lead & 0x1fu, least = 0x80;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    bytes = 3, value = lead & 0x0fu, least = 0x800;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    bytes = 4, value = lead & 0x07u, least = 0x10000;
  } else {
    return {kNotUtf8, 1};
  }
  if (s.size() - at < bytes) return {kNotUtf8, 1};
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return {kNotUtf8, 1};
    value = (value << 6) | (byte(at + i) & 0x3fu);
  }
  if (value < least || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return {kNotUtf8, 1};
  return {value, bytes};
}

bool is_control(uint32_t c) { return c < 0x20 || (c >= 0x7f && c <= 0x9f); }

bool in(uint32_t c, uint32_t first, uint32_t last) { return c >= first && c <= last; }

// Unicode's East Asian Width W and F and its marks of no width, by block: enough for table columns.
size_t width_of(uint32_t c) {
  if (c < 0x300) return is_control(c) || c == 0xad ? 0 : 1;
  if (in(c, 0x300, 0x36f) || in(c, 0x483, 0x489) || in(c, 0x591, 0x5bd) || in(c, 0x610, 0x61a) ||
      in(c, 0x64b, 0x65f) || in(c, 0x1ab0, 0x1aff) || in(c, 0x1dc0, 0x1dff) || in(c, 0x200b, 0x200f) ||
      in(c, 0x202a, 0x202e) || in(c, 0x2060, 0x2064) || in(c, 0x20d0, 0x20ff) || in(c, 0xfe00, 0xfe0f) ||
      in(c, 0xfe20, 0xfe2f) || c == 0xfeff || in(c, 0xe0100, 0xe01ef)) {
    return 0;
  }
  if (in(c, 0x1100, 0x115f) || (in(c, 0x2e80, 0xa4cf) && c != 0x303f) || in(c, 0xa960, 0xa97f) ||
      in(c, 0xac00, 0xd7a3) || in(c, 0xf900, 0xfaff) || in(c, 0xfe30, 0xfe6f) || in(c, 0xff00, 0xff60) ||
      in(c, 0xffe0, 0xffe6) || in(c, 0x1f300, 0x1f64f) || in(c, 0x1f680, 0x1f6ff) ||
      in(c, 0x1f900, 0x1f9ff) || in(c, 0x20000, 0x3fffd)) {
    return 2;
  }
  return 1;
}

}  // namespace

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool all_digits(std::string_view s) {
  for (char c : s) {
    if (!is_digit(c)) return false;
  }
  return !s.empty();
}

std::string_view trim(std::string_view s) {
  while (!s.empty() && is_blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && is_blank(s.back())) s.remove_suffix(1);
  return s;
}

std::vector<std::string_view> split(std::string_view s, char separator, size_t max_parts) {
  std::vector<std::string_view> parts;
  while (parts.size() + 1 < max_parts) {
    const size_t at = s.find(separator);
    if (at == std::string_view::npos) break;
    parts.push_back(s.substr(0, at));
    s.remove_prefix(at + 1);
  }
  if (max_parts > 0) parts.push_back(s);
  return parts;
}

std::vector<std::string_view> split_list(std::string_view s, char separator) {
  std::vector<std::string_view> parts;
  for (std::string_view part : split(s, separator)) {
    part = trim(part);
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

std::vector<std::string_view> split_blanks(std::string_view s) {
  std::vector<std::string_view> words;
  size_t at = 0;
  while (at < s.size()) {
    while (at < s.size() && is_blank(s[at])) ++at;
    const size_t start = at;
    while (at < s.size() && !is_blank(s[at])) ++at;
    if (at > start) words.push_back(s.substr(start, at - start));
  }
  return words;
}

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = lower(c);
  return out;
}

std::string upper(std::string_view s) {
  std::string out(s);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

bool iequals(std::string_view a, std::string_view b) { return a.size() == b.size() && istarts_with(a, b); }

bool istarts_with(std::string_view s, std::string_view prefix) {
  if (s.size() < prefix.size()) return false;
  for (size_t i = 0; i < prefix.size(); ++i) {
    if (lower(s[i]) != lower(prefix[i])) return false;
  }
  return true;
}

bool has_control(std::string_view s, std::string_view allowed) {
  for (size_t at = 0; at < s.size();) {
    const CodePoint c = decode(s, at);
    if (c.value != kNotUtf8 && is_control(c.value) && allowed.find(s[at]) == std::string_view::npos)
      return true;
    at += c.bytes;
  }
  return false;
}

bool is_utf8(std::string_view s) {
  for (size_t at = 0; at < s.size();) {
    const CodePoint c = decode(s, at);
    if (c.value == kNotUtf8) return false;
    at += c.bytes;
  }
  return true;
}

std::string escape_control(std::string_view s) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(s.size());
  for (size_t at = 0; at < s.size();) {
    const CodePoint c = decode(s, at);
    if (c.value == '\n') {
      out += "\\n";
    } else if (c.value == '\t') {
      out += "\\t";
    } else if (c.value == '\r') {
      out += "\\r";
    } else if (c.value == kNotUtf8 || is_control(c.value)) {
      for (size_t i = at; i < at + c.bytes; ++i) {
        const auto byte = static_cast<unsigned char>(s[i]);
        out += "\\x";
        out += kHex[byte >> 4];
        out += kHex[byte & 15];
      }
    } else {
      out += s.substr(at, c.bytes);
    }
    at += c.bytes;
  }
  return out;
}

std::string quote(std::string_view s, size_t max_bytes) {
  if (s.size() <= max_bytes) return "'" + escape_control(s) + "'";
  size_t end = 0;  // whole code points only
  while (end < max_bytes) {
    const size_t next = end + decode(s, end).bytes;
    if (next > max_bytes) break;
    end = next;
  }
  return "'" + escape_control(s.substr(0, end)) + "...'";
}

std::string shell_quote(std::string_view s) {
  bool plain = !s.empty();
  for (char c : s) {
    plain = plain &&
            (is_alpha(c) || is_digit(c) || std::string_view("_-./:=,@%+").find(c) != std::string_view::npos);
  }
  if (plain) return std::string(s);
  std::string out = "'";
  for (char c : s) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::optional<std::pair<std::string_view, std::string_view>> parse_key_value(std::string_view s) {
  const size_t at = s.find('=');
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view key = trim(s.substr(0, at));
  if (key.empty()) return std::nullopt;
  return std::pair{key, trim(s.substr(at + 1))};
}

Result<std::vector<std::string>> split_shell_words(std::string_view line, size_t max_words) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;  // "" is a word, too
  char open = '\0';      // the quote that is open
  for (size_t at = 0; at <= line.size(); ++at) {
    const bool end = at == line.size() || line[at] == '\n' || (open == '\0' && line[at] == '#');
    if (end && open != '\0') {
      return Error{"bad_quoting",
                   std::string("the quote ") + open + " is never closed in " + quote(line),
                   {},
                   std::string("close it with another ") + open + ", or write \\" + open};
    }
    if (end || (open == '\0' && is_blank(line[at]))) {
      if (in_word) {
        if (words.size() == max_words) {
          return Error{
              "bad_quoting", "more than " + std::to_string(max_words) + " words in one line", {}, ""};
        }
        words.push_back(std::move(word));
        word.clear();
        in_word = false;
      }
      if (end) break;
    } else if (line[at] == '\\') {
      if (at + 1 == line.size() || line[at + 1] == '\n') {
        return Error{
            "bad_quoting", "a backslash ends the line " + quote(line), {}, "remove it, or write two"};
      }
      word += line[++at];
      in_word = true;
    } else if (open == '\0' && (line[at] == '\'' || line[at] == '"')) {
      open = line[at];
      in_word = true;
    } else if (line[at] == open && open != '\0') {
      open = '\0';
    } else {
      word += line[at];
      in_word = true;
    }
  }
  return words;
}

size_t display_width(std::string_view s) {
  size_t width = 0;
  for (size_t at = 0; at < s.size();) {
    const CodePoint c = decode(s, at);
    width += c.value == kNotUtf8 ? 1 : width_of(c.value);
    at += c.bytes;
  }
  return width;
}

std::string_view truncate(std::string_view s, size_t width) {
  size_t used = 0;
  size_t at = 0;
  while (at < s.size()) {
    const CodePoint c = decode(s, at);
    used += c.value == kNotUtf8 ? 1 : width_of(c.value);
    if (used > width) break;
    at += c.bytes;
  }
  return s.substr(0, at);
}

std::string pad_right(std::string_view s, size_t width) {
  const size_t have = display_width(s);
  std::string out(s);
  if (have < width) out.append(width - have, ' ');
  return out;
}

std::string pad_left(std::string_view s, size_t width) {
  const size_t have = display_width(s);
  return (have < width ? std::string(width - have, ' ') : std::string()) + std::string(s);
}

}  // namespace bai
