#include "cli/format.h"

#include <gtest/gtest.h>

namespace bai::cli {
namespace {

struct Row {
  std::string_view name;
  int number;
};
const Field<Row> kFields[] = {
    {'j', "name", "NAME", [](std::string& out, const Row& r) { out += r.name; }},
    {'i', "id", "JOBID", [](std::string& out, const Row& r) { out += std::to_string(r.number); }},
};
const std::span<const Field<Row>> kSpan(kFields);

std::string render(std::string_view format, const Row& row, bool header = false) {
  auto columns = short_columns<Row>(format, kSpan);
  EXPECT_TRUE(columns.ok()) << columns.error().text();
  std::string out;
  if (header) put_header(out, *columns);
  put_row(out, *columns, row);
  return out;
}

TEST(Format, right_left_cut) {
  EXPECT_EQ(render("%.8i %.4j|", {"ada", 7}), "       7  ada|\n");
  EXPECT_EQ(render("%8i|%4j|", {"ada", 7}), "7       |ada |\n");
  EXPECT_EQ(render("%.4j|%2j|", {"lovelace", 7}), "love|lo|\n");
  EXPECT_EQ(render("%i%j", {"x", 7}), "7x\n");
}

TEST(Format, literal_text_and_header) {
  EXPECT_EQ(render("id=%i, name=%5j;", {"ab", 3}, true), "id=JOBID, name=NAME ;\nid=3, name=ab   ;\n");
}

TEST(Format, wide_characters_count_as_columns) {
  EXPECT_EQ(render("%5j|", {"\xc3\xa9t\xc3\xa9", 1}), "\xc3\xa9t\xc3\xa9  |\n");
  EXPECT_EQ(render("%2j|", {"\xc3\xa9t\xc3\xa9", 1}), "\xc3\xa9t|\n");
}

TEST(Format, long_form) {
  auto columns = long_columns<Row>("id:.6,NAME:4;,name", kSpan);
  ASSERT_TRUE(columns.ok());
  std::string out;
  put_row(out, *columns, {"abcdef", 12});
  EXPECT_EQ(out, "    12abcd;abcdef              \n");
}

TEST(Format, errors_name_what_was_meant) {
  EXPECT_EQ(short_columns<Row>("nothing", kSpan).error().code, "bad_format");
  EXPECT_EQ(short_columns<Row>("%q", kSpan).error().code, "bad_format");
  EXPECT_EQ(short_columns<Row>("%99999i", kSpan).error().code, "bad_format");
  EXPECT_EQ(short_columns<Row>("%i %", kSpan).error().code, "bad_format");
  EXPECT_EQ(long_columns<Row>("nmae", kSpan).error().remedy, "did you mean 'name'?");
  EXPECT_EQ(long_columns<Row>("", kSpan).error().code, "bad_format");
}

}  // namespace
}  // namespace bai::cli
