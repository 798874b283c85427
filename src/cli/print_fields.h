// The columns of sacct and sstat (Slurm's print_fields.c): fields picked by name or by the beginning of one, each with its width, what is
// too long ending in '+'; or everything with a delimiter. Pure functions; any thread.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/suggest.h"
#include "base/text.h"

namespace bai::cli {

template <class Row>
struct PrintField {
  std::string_view name;  // as in the title
  int width;              // negative: to the left
  void (*put)(std::string& out, const Row& row);
};

template <class Row>
struct PrintColumn {
  const PrintField<Row>* field = nullptr;
  int width = 0;
};

enum class PrintStyle { kColumns, kParsable, kParsable2 };

// The piece of `out` from `begin` on, cut or filled to the width.
void fit_print(std::string& out, std::size_t begin, int width);
// Behind the text of a cell that begins at `begin`; `last` of its line.
void end_print(std::string& out, std::size_t begin, int width, bool last, PrintStyle style,
               std::string_view delimiter);
// "name%20": the width, or `otherwise`. Errors: bad_format.
Result<int> print_width(std::string_view part, int otherwise);
// Slurm's convert_num_unit: "4520K", "2.50M"; a larger unit only where nothing is lost.
void put_units(std::string& out, std::uint64_t number);
// All names, four a line.
std::string print_help(const std::vector<std::string_view>& names);

// "jobid,state%20,jobname%-30". Errors: bad_format.
template <class Row>
Result<std::vector<PrintColumn<Row>>> parse_print_format(std::string_view format,
                                                         std::span<const PrintField<Row>> fields) {
  std::vector<PrintColumn<Row>> out;
  for (auto part : split_list(format)) {
    const std::string_view name = part.substr(0, part.find('%'));
    PrintColumn<Row> column;
    for (const auto& field : fields)
      if (iequals(field.name, name)) column.field = &field;
    if (!column.field && !name.empty())
      for (const auto& field : fields)
        if (!column.field && istarts_with(field.name, name)) column.field = &field;
    if (!column.field) {
      std::vector<std::string_view> names;
      for (const auto& field : fields) names.push_back(field.name);
      return Error{"bad_format", "Invalid field requested: \"" + std::string(name) + "\"", "",
                   did_you_mean(name, names)};
    }
    auto width = print_width(part, column.field->width);
    if (!width.ok()) return width.error();
    column.width = *width;
    out.push_back(column);
  }
  if (out.empty()) return Error{"bad_format", "no field is named", "", "see --helpformat"};
  return out;
}

template <class Row>
void put_print_header(std::string& out, const std::vector<PrintColumn<Row>>& columns, PrintStyle style,
                      std::string_view delimiter) {
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::size_t begin = out.size();
    const int width = columns[i].width;
    out += columns[i].field->name;
    // A title is cut without a sign.
    if (style == PrintStyle::kColumns)
      out.resize(std::min(out.size(), begin + static_cast<std::size_t>(width < 0 ? -width : width)));
    end_print(out, begin, width, i + 1 == columns.size(), style, delimiter);
  }
  out += '\n';
  if (style != PrintStyle::kColumns) return;
  for (const auto& column : columns) {
    out.append(static_cast<std::size_t>(column.width < 0 ? -column.width : column.width), '-');
    out += ' ';
  }
  out += '\n';
}

template <class Row>
void put_print_row(std::string& out, const std::vector<PrintColumn<Row>>& columns, const Row& row,
                   PrintStyle style, std::string_view delimiter) {
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::size_t begin = out.size();
    columns[i].field->put(out, row);
    end_print(out, begin, columns[i].width, i + 1 == columns.size(), style, delimiter);
  }
  out += '\n';
}

}  // namespace bai::cli
