// Columns: the one engine behind squeue-like -o ("%.18i %j") and -O ("jobid:10,name") formats. A table of fields names what
// can be shown; a format picks some; a row is appended to a buffer without a heap allocation per cell. Any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/suggest.h"
#include "base/text.h"

namespace bai::cli {

// One thing that can be shown of a Row. `put` appends the text.
template <class Row>
struct Field {
  char letter;            // of -o; 0: -O only
  std::string_view name;  // of -O, lower case; empty: -o only
  std::string_view title;
  void (*put)(std::string& out, const Row& row);
};

template <class Row>
struct Column {
  const Field<Row>* field = nullptr;  // nullptr: only `after` (the text before the first field)
  std::uint32_t width = 0;            // 0: as wide as it is
  bool right = false;
  bool grow = false;  // longer text is not cut (sinfo's widths are least widths there)
  std::string after;
};

// The piece of `out` from `begin` on, cut or filled to the width. Bytes beyond ASCII count as terminal columns.
void fit_cell(std::string& out, std::size_t begin, std::uint32_t width, bool right, bool grow);

struct FormatToken {
  std::string_view name;  // a letter, or a long name
  std::uint32_t width = 0;
  bool right = false;
  std::string_view after;
};
// Splits "%[[.]WIDTH]LETTER..." into tokens; the first has an empty name and holds the text before. Errors: bad_format,
// but with `lenient` (Slurm's manner) a format without any field is text, and a lone percent sign nothing.
Result<std::vector<FormatToken>> split_short_format(std::string_view format, bool lenient = false);
// Splits "name[:[.]WIDTH[SUFFIX]],...". Errors: bad_format.
Result<std::vector<FormatToken>> split_long_format(std::string_view format, std::uint32_t default_width);

// With `unknown`, fields that do not exist are no errors but are gathered there, as Slurm's commands do.
template <class Row>
Result<std::vector<Column<Row>>> short_columns(std::string_view format, std::span<const Field<Row>> fields,
                                               std::vector<std::string>* unknown = nullptr) {
  auto tokens = split_short_format(format, unknown != nullptr);
  if (!tokens.ok()) return tokens.error();
  std::vector<Column<Row>> out;
  for (const auto& token : *tokens) {
    Column<Row> column{nullptr, token.width, token.right, false, std::string(token.after)};
    if (!token.name.empty()) {
      for (const auto& field : fields)
        if (field.letter != 0 && field.letter == token.name[0]) column.field = &field;
      if (!column.field && unknown) {
        unknown->emplace_back(token.name);
        column.after = "%" + std::string(token.name) + column.after;
      } else if (!column.field)
        return Error{"bad_format", "%" + std::string(token.name) + " is not a field", "",
                     "see the manual page, --format"};
    }
    out.push_back(std::move(column));
  }
  return out;
}

template <class Row>
Result<std::vector<Column<Row>>> long_columns(std::string_view format, std::span<const Field<Row>> fields,
                                              std::uint32_t default_width = 20,
                                              std::vector<std::string>* unknown = nullptr) {
  auto tokens = split_long_format(format, default_width);
  if (!tokens.ok()) return tokens.error();
  std::vector<Column<Row>> out;
  for (const auto& token : *tokens) {
    Column<Row> column{nullptr, token.width, token.right, false, std::string(token.after)};
    for (const auto& field : fields)
      if (!field.name.empty() && iequals(field.name, token.name)) column.field = &field;
    if (!column.field && unknown) {
      unknown->emplace_back(token.name);
      continue;
    }
    if (!column.field) {
      std::vector<std::string_view> names;
      for (const auto& field : fields)
        if (!field.name.empty()) names.push_back(field.name);
      return Error{"bad_format", quote(token.name) + " is not a field", "", did_you_mean(token.name, names)};
    }
    out.push_back(std::move(column));
  }
  return out;
}

template <class Row>
void put_header(std::string& out, const std::vector<Column<Row>>& columns) {
  for (const auto& column : columns) {
    const std::size_t begin = out.size();
    if (column.field) {
      out += column.field->title;
      fit_cell(out, begin, column.width, column.right, column.grow);
    }
    out += column.after;
  }
  out += '\n';
}

template <class Row>
void put_row(std::string& out, const std::vector<Column<Row>>& columns, const Row& row) {
  for (const auto& column : columns) {
    const std::size_t begin = out.size();
    if (column.field) {
      column.field->put(out, row);
      fit_cell(out, begin, column.width, column.right, column.grow);
    }
    out += column.after;
  }
  out += '\n';
}

}  // namespace bai::cli
