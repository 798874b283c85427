#include "base/config_text.h"

#include <optional>

#include "base/text.h"

namespace bai {

namespace {

// A byte and where it stood, so that errors in a continued line point at the right physical line.
struct Char {
  char c;
  bool escaped;  // came after a backslash: never a quote, blank or comment
  int line;
  int column;
};

std::string place_of(const std::string& file, int line) { return file + ":" + std::to_string(line); }

class Reader {
 public:
  Reader(const ConfigReader& read, const ConfigLimits& limits) : read_(read), limits_(limits) {}

  Status file(const std::string& path, const std::string& from, int depth) {
    if (!read_) return bad(from, "Include is not possible here");
    if (depth > limits_.max_depth)
      return bad(from, "more than " + std::to_string(limits_.max_depth) + " Includes within each other",
                 "look for a file that includes itself");
    auto text = read_(path);
    if (!text) {
      Error e = text.error();
      if (!from.empty()) e.message = "Include " + quote(path) + ": " + e.message, e.place = from;
      if (e.place.empty()) e.place = path;
      return e;
    }
    return this->text(*text, path, depth);
  }

  Status text(std::string_view text, const std::string& name, int depth) {
    bytes_ += text.size();
    if (bytes_ > limits_.max_bytes)
      return bad(name, "the configuration has more than " + std::to_string(limits_.max_bytes) + " bytes");
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    int line = 0;
    std::vector<Char> logical;
    int first = 0;
    while (!text.empty()) {
      const auto end = text.find('\n');
      const std::string_view physical = text.substr(0, end);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      ++line;
      if (++lines_ > limits_.max_lines)
        return bad(place_of(name, line),
                   "the configuration has more than " + std::to_string(limits_.max_lines) + " lines");
      if (logical.empty()) first = line;
      auto goes_on = add_physical(physical, name, line, logical);
      if (!goes_on) return goes_on.error();
      if (*goes_on && !text.empty()) continue;
      if (auto ok = finish(logical, name, first, depth); !ok) return ok;
      logical.clear();
    }
    return {};
  }

  std::vector<ConfigLine> take() { return std::move(out_); }

 private:
  static Error bad(std::string place, std::string message, std::string remedy = {}) {
    return Error{"bad_config", std::move(message), std::move(place), std::move(remedy)};
  }

  // Appends a physical line without its comment. True if it ends with a backslash, so that the next line goes on.
  Result<bool> add_physical(std::string_view s, const std::string& name, int line, std::vector<Char>& out) {
    while (!s.empty() && is_blank(s.back())) s.remove_suffix(1);  // also the \r of CRLF
    for (std::size_t i = 0; i < s.size(); ++i) {
      const int column = static_cast<int>(i) + 1;
      const auto u = static_cast<unsigned char>(s[i]);
      if ((u < 0x20 && !is_blank(s[i])) || u == 0x7f)
        return bad(place_of(name, line), "a control character in column " + std::to_string(column));
      if (s[i] == '#') return false;
      if (s[i] != '\\') {
        out.push_back({s[i], false, line, column});
      } else if (i + 1 == s.size()) {
        out.push_back({' ', false, line, column});
        return true;
      } else {
        out.push_back({s[++i], true, line, column});
      }
    }
    return false;
  }

  Status finish(const std::vector<Char>& chars, const std::string& name, int first, int depth) {
    ConfigLine line{name, first, {}};
    std::size_t i = 0;
    const auto blank_at = [&](std::size_t k) { return !chars[k].escaped && is_blank(chars[k].c); };
    const auto skip_blanks = [&] {
      while (i < chars.size() && blank_at(i)) ++i;
    };
    for (skip_blanks(); i < chars.size(); skip_blanks()) {
      ConfigItem item;
      item.line = chars[i].line;
      item.column = chars[i].column;
      const std::string place = place_of(name, item.line);
      while (i < chars.size() && !blank_at(i) && (chars[i].escaped || chars[i].c != '='))
        item.key += chars[i++].c;
      const bool stands_alone = i < chars.size() && blank_at(i);
      skip_blanks();
      if (line.items.empty() && stands_alone && iequals(item.key, "Include") && chars[i].c != '=') {
        if (i == chars.size()) return bad(place, "Include needs a file name");
        return include(chars, i, name, place, depth);
      }
      if (item.key.empty()) return bad(place, "'=' without a key before it");
      if (i == chars.size() || chars[i].escaped || chars[i].c != '=')
        return bad(place, "expected Key=Value, found " + quote(item.key), "quote values that hold blanks");
      for (const char c : item.key)
        if (!is_alpha(c) && !is_digit(c) && c != '_' && c != '.' && c != '-')
          return bad(place, quote(item.key) + " is not a key", "keys are letters, digits, '_', '-' and '.'");
      ++i;
      skip_blanks();
      auto value = read_value(chars, i, place);
      if (!value) return value.error();
      item.value = std::move(*value);
      line.items.push_back(std::move(item));
    }
    if (!line.items.empty()) out_.push_back(std::move(line));
    return {};
  }

  // From `i` on: a quoted value or everything up to the next blank.
  static Result<std::string> read_value(const std::vector<Char>& chars, std::size_t& i,
                                        const std::string& place) {
    std::string out;
    if (i < chars.size() && !chars[i].escaped && chars[i].c == '"') {
      for (++i; i < chars.size(); ++i) {
        if (!chars[i].escaped && chars[i].c == '"') {
          ++i;
          if (i < chars.size() && (chars[i].escaped || !is_blank(chars[i].c)))
            return bad(place, "text directly after a closing quote");
          return out;
        }
        out += chars[i].c;
      }
      return bad(place, "a quote that is never closed", "'#' begins a comment also within quotes: write \\#");
    }
    for (; i < chars.size() && (chars[i].escaped || !is_blank(chars[i].c)); ++i) out += chars[i].c;
    return out;
  }

  Status include(const std::vector<Char>& chars, std::size_t i, const std::string& name,
                 const std::string& place, int depth) {
    auto path = read_value(chars, i, place);
    if (!path) return path.error();
    while (i < chars.size() && !chars[i].escaped && is_blank(chars[i].c)) ++i;
    if (i < chars.size()) return bad(place, "Include takes one file name", "quote it if it holds blanks");
    if (path->empty()) return bad(place, "Include needs a file name");
    if (path->front() != '/') {
      const auto slash = name.rfind('/');
      if (slash != std::string::npos) *path = name.substr(0, slash + 1) + *path;
    }
    return file(*path, place, depth + 1);
  }

  const ConfigReader& read_;
  const ConfigLimits& limits_;
  std::size_t bytes_ = 0;
  std::size_t lines_ = 0;
  std::vector<ConfigLine> out_;
};

}  // namespace

std::string ConfigLine::place() const { return place_of(file, line); }
std::string ConfigLine::place(const ConfigItem& item) const { return place_of(file, item.line); }

const ConfigItem* ConfigLine::find(std::string_view key) const {
  for (const auto& item : items)
    if (same_key(item.key, key)) return &item;
  return nullptr;
}

Result<std::vector<ConfigLine>> parse_config(const std::string& path, const ConfigReader& read,
                                             const ConfigLimits& limits) {
  Reader reader(read, limits);
  if (auto ok = reader.file(path, "", 0); !ok) return ok.error();
  return reader.take();
}

Result<std::vector<ConfigLine>> parse_config_text(std::string_view text, const std::string& name,
                                                  const ConfigLimits& limits) {
  const ConfigReader none;
  Reader reader(none, limits);
  if (auto ok = reader.text(text, name, 0); !ok) return ok.error();
  return reader.take();
}

std::string quote_config_value(std::string_view value) {
  bool quoted = value.empty() || value.front() == '"';
  std::string out;
  for (const char c : value) {
    quoted = quoted || is_blank(c);
    if (c == '#' || c == '\\' || c == '"') out += '\\';
    out += c;
  }
  return quoted ? '"' + out + '"' : out;
}

bool same_key(std::string_view a, std::string_view b) { return iequals(a, b); }

}  // namespace bai
