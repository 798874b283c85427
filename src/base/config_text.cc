#include "base/config_text.h"

#include <tuple>
#include <utility>

#include "base/text.h"

namespace bai {

namespace {

// A line with those that continue it, without comments and backslashes.
struct Logical {
  std::string text;
  std::string
      escaped;    // for each byte whether it came after a backslash: never a quote, blank, '=' or comment
  struct Piece {  // of a physical line, without a backslash within, so that errors point at the right place
    std::size_t from;
    int line, column;
  };
  std::vector<Piece> pieces;

  void clear() {
    text.clear();
    escaped.clear();
    pieces.clear();
  }
  void add(std::string_view bytes, bool escape, int line, int column) {
    pieces.push_back({text.size(), line, column});
    text += bytes;
    escaped.append(bytes.size(), escape ? 1 : 0);
  }
  bool is(std::size_t i, char c) const { return text[i] == c && !escaped[i]; }
  bool blank(std::size_t i) const { return is_blank(text[i]) && !escaped[i]; }
  // Line and column of byte `i`.
  std::pair<int, int> place(std::size_t i) const {
    std::size_t n = pieces.size() - 1;
    while (pieces[n].from > i) --n;
    return {pieces[n].line, pieces[n].column + static_cast<int>(i - pieces[n].from)};
  }
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
    Logical logical;
    int first = 0;
    while (!text.empty()) {
      const auto end = text.find('\n');
      const std::string_view physical = text.substr(0, end);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      ++line;
      if (++lines_ > limits_.max_lines)
        return bad(place_of(name, line),
                   "the configuration has more than " + std::to_string(limits_.max_lines) + " lines");
      if (logical.text.empty()) first = line;
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
  Result<bool> add_physical(std::string_view s, const std::string& name, int line, Logical& out) {
    while (!s.empty() && is_blank(s.back())) s.remove_suffix(1);  // also the \r of CRLF
    std::size_t plain = 0;                                        // where what is not yet in `out` begins
    const auto add = [&](std::size_t from, std::size_t to, bool escape) {
      if (from < to) out.add(s.substr(from, to - from), escape, line, static_cast<int>(from) + 1);
    };
    for (std::size_t i = 0; i < s.size(); ++i) {
      const auto u = static_cast<unsigned char>(s[i]);
      if ((u < 0x20 && !is_blank(s[i])) || u == 0x7f)
        return bad(place_of(name, line), "a control character in column " + std::to_string(i + 1));
      if (s[i] == '#') {
        add(plain, i, false);
        return false;
      }
      if (s[i] != '\\') continue;
      add(plain, i, false);
      if (i + 1 == s.size()) {
        out.add(" ", false, line, static_cast<int>(i) + 1);
        return true;
      }
      ++i;
      add(i, i + 1, true);
      plain = i + 1;
    }
    add(plain, s.size(), false);
    return false;
  }

  Status finish(const Logical& all, const std::string& name, int first, int depth) {
    ConfigLine line{name, first, {}};
    const std::size_t size = all.text.size();
    std::size_t i = 0;
    const auto skip_blanks = [&] {
      while (i < size && all.blank(i)) ++i;
    };
    for (skip_blanks(); i < size; skip_blanks()) {
      ConfigItem item;
      std::tie(item.line, item.column) = all.place(i);
      const auto place = [&] { return place_of(name, item.line); };
      const std::size_t key = i;
      while (i < size && !all.blank(i) && !all.is(i, '=')) ++i;
      item.key = all.text.substr(key, i - key);
      const bool stands_alone = i < size && all.blank(i);
      skip_blanks();
      if (line.items.empty() && stands_alone && iequals(item.key, "Include") &&
          (i == size || all.text[i] != '=')) {
        if (i == size) return bad(place(), "Include needs a file name");
        return include(all, i, name, place(), depth);
      }
      if (item.key.empty()) return bad(place(), "'=' without a key before it");
      if (i == size || !all.is(i, '='))
        return bad(place(), "expected Key=Value, found " + quote(item.key), "quote values that hold blanks");
      for (const char c : item.key)
        if (!is_alpha(c) && !is_digit(c) && c != '_' && c != '.' && c != '-')
          return bad(place(), quote(item.key) + " is not a key",
                     "keys are letters, digits, '_', '-' and '.'");
      ++i;
      skip_blanks();
      auto value = read_value(all, i);
      if (!value) return bad(place(), value.error().message, value.error().remedy);
      item.value = std::move(*value);
      line.items.push_back(std::move(item));
    }
    if (!line.items.empty()) out_.push_back(std::move(line));
    return {};
  }

  // From `i` on: a quoted value or everything up to the next blank. Errors have no place.
  static Result<std::string> read_value(const Logical& all, std::size_t& i) {
    const std::size_t size = all.text.size();
    if (i < size && all.is(i, '"')) {
      const std::size_t begin = ++i;
      while (i < size && !all.is(i, '"')) ++i;
      if (i == size)
        return bad({}, "a quote that is never closed", "'#' begins a comment also within quotes: write \\#");
      const std::size_t end = i++;
      if (i < size && !all.blank(i)) return bad({}, "text directly after a closing quote");
      return all.text.substr(begin, end - begin);
    }
    const std::size_t begin = i;
    while (i < size && !all.blank(i)) ++i;
    return all.text.substr(begin, i - begin);
  }

  Status include(const Logical& all, std::size_t i, const std::string& name, const std::string& place,
                 int depth) {
    auto path = read_value(all, i);
    if (!path) return bad(place, path.error().message, path.error().remedy);
    while (i < all.text.size() && all.blank(i)) ++i;
    if (i < all.text.size()) return bad(place, "Include takes one file name", "quote it if it holds blanks");
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
