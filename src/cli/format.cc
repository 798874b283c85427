#include "cli/format.h"

namespace bai::cli {
namespace {

constexpr std::uint32_t kMaxWidth = 4096;

Error bad_format(std::string_view format, std::string why) {
  return Error{"bad_format", quote(format) + ": " + std::move(why), "",
               "write %[.][WIDTH]LETTER, as in \"%.18i %j\""};
}

bool is_ascii(std::string_view s) {
  for (char c : s)
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  return true;
}

// Reads "[.]DIGITS" at `i`.
bool read_width(std::string_view text, std::size_t& i, FormatToken& token) {
  if (i < text.size() && text[i] == '.') {
    token.right = true;
    ++i;
  }
  while (i < text.size() && is_digit(text[i])) {
    token.width = token.width * 10 + static_cast<std::uint32_t>(text[i] - '0');
    if (token.width > kMaxWidth) return false;
    ++i;
  }
  return true;
}

}  // namespace

void fit_cell(std::string& out, std::size_t begin, std::uint32_t width, bool right, bool grow) {
  if (width == 0) return;
  std::size_t shown = out.size() - begin;
  const std::string_view cell(out.data() + begin, shown);
  if (!is_ascii(cell)) {
    shown = display_width(cell);
    if (shown > width && !grow) {
      out.resize(begin + truncate(cell, width).size());
      shown = display_width(std::string_view(out).substr(begin));
    }
  } else if (shown > width && !grow) {
    out.resize(begin + width);
    return;
  }
  if (shown >= width) return;
  if (right)
    out.insert(begin, width - shown, ' ');
  else
    out.append(width - shown, ' ');
}

Result<std::vector<FormatToken>> split_short_format(std::string_view format, bool lenient) {
  std::vector<FormatToken> out;
  std::size_t i = format.find('%');
  if (i == std::string_view::npos) {
    if (!lenient) return bad_format(format, "there is no field in it");
    out.push_back({.name = {}, .after = format});
    return out;
  }
  if (i > 0) {
    FormatToken before;
    before.after = format.substr(0, i);
    out.push_back(before);
  }
  while (i < format.size()) {
    FormatToken token;
    ++i;  // the percent sign
    if (!read_width(format, i, token)) return bad_format(format, "a width is too large");
    if (i >= format.size() && lenient) break;
    if (i >= format.size() || !(is_alpha(format[i]) || format[i] == '#' || lenient))
      return bad_format(format, "a letter is missing after %");
    // sinfo's "%#P" is "%P" with a star at the default partition.
    if (format[i] == '#') {
      ++i;
      if (!read_width(format, i, token) || i >= format.size() || !is_alpha(format[i]))
        return bad_format(format, "a letter is missing after %");
    }
    token.name = format.substr(i, 1);
    ++i;
    const auto next = format.find('%', i);
    token.after = format.substr(i, next == std::string_view::npos ? next : next - i);
    i = next == std::string_view::npos ? format.size() : next;
    out.push_back(token);
  }
  return out;
}

Result<std::vector<FormatToken>> split_long_format(std::string_view format, std::uint32_t default_width) {
  std::vector<FormatToken> out;
  for (auto part : split(format, ',')) {
    FormatToken token;
    const auto colon = part.find(':');
    token.name = trim(part.substr(0, colon));
    token.width = default_width;
    if (colon != std::string_view::npos) {
      std::size_t i = colon + 1;
      token.width = 0;
      if (!read_width(part, i, token)) return bad_format(format, "a width is too large");
      if (token.width == 0) token.width = default_width;
      token.after = part.substr(i);
    }
    if (token.name.empty()) return bad_format(format, "a field's name is missing");
    out.push_back(token);
  }
  return out;
}

}  // namespace bai::cli
