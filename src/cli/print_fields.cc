#include "cli/print_fields.h"

#include "base/units.h"

namespace bai::cli {

void fit_print(std::string& out, std::size_t begin, int width) {
  const auto wanted = static_cast<std::size_t>(width < 0 ? -width : width);
  const std::string_view cell = std::string_view(out).substr(begin);
  std::size_t shown = display_width(cell);
  if (shown > wanted) {
    out.resize(begin + truncate(cell, wanted - 1).size());
    out += '+';
    shown = display_width(std::string_view(out).substr(begin));
  }
  if (shown >= wanted) return;
  if (width < 0)
    out.append(wanted - shown, ' ');
  else
    out.insert(begin, wanted - shown, ' ');
}

void end_print(std::string& out, std::size_t begin, int width, bool last, PrintStyle style,
               std::string_view delimiter) {
  if (style == PrintStyle::kColumns) {
    fit_print(out, begin, width);
    out += ' ';
  } else if (style == PrintStyle::kParsable || !last) {
    out += delimiter;
  }
}

Result<int> print_width(std::string_view part, int otherwise) {
  const auto percent = part.find('%');
  if (percent == std::string_view::npos) return otherwise;
  auto width = parse_int(part.substr(percent + 1), -4096, 4096);
  if (!width.ok() || *width == 0)
    return Error{"bad_format", quote(part) + ": a width is a number behind %", "", "write NAME%20"};
  return static_cast<int>(*width);
}

void put_units(std::string& out, std::uint64_t number) {
  std::size_t unit = 0;
  bool half = false;
  for (; number >= 1024 && number % 512 == 0 && !half && unit < 6; ++unit) {
    half = number % 1024 != 0;
    number /= 1024;
  }
  out += std::to_string(number);
  if (half) out += ".50";
  if (unit > 0) out += "KMGTPE"[unit - 1];
}

std::string print_help(const std::vector<std::string_view>& names) {
  std::string out;
  std::size_t column = 0;
  for (const auto name : names) {
    const bool last = ++column % 4 == 0;
    out += pad_right(name, 19);
    out += last ? "\n" : " ";
  }
  if (column % 4 != 0) out += "\n";
  return out;
}

}  // namespace bai::cli
