#include "base/config_text.h"

#include <gtest/gtest.h>

#include <map>

namespace bai {
namespace {

// "Key=Value,Key=Value;..." of all lines, for short expectations.
std::string show(const Result<std::vector<ConfigLine>>& got) {
  if (!got) return got.error().text();
  std::string out;
  for (const auto& line : *got) {
    if (!out.empty()) out += "; ";
    bool first = true;
    for (const auto& item : line.items) {
      if (!first) out += ", ";
      first = false;
      out += item.key + "=<" + item.value + ">";
    }
  }
  return out;
}

std::string parse(std::string_view text) { return show(parse_config_text(text, "f")); }

TEST(ConfigText, keys_and_values) {
  EXPECT_EQ(parse("ClusterName=dev\n"), "ClusterName=<dev>");
  EXPECT_EQ(parse("NodeName=n[1-4] CPUs=64\tRealMemory=1000"),
            "NodeName=<n[1-4]>, CPUs=<64>, RealMemory=<1000>");
  EXPECT_EQ(parse("A = 1   B= 2 C =3"), "A=<1>, B=<2>, C=<3>");
  EXPECT_EQ(parse("A=x=y B=,"), "A=<x=y>, B=<,>");
  EXPECT_EQ(parse("\n  \n# only\n   # a comment\n"), "");
  EXPECT_EQ(parse(""), "");
  EXPECT_EQ(parse("A="), "A=<>");
}

TEST(ConfigText, quotes) {
  EXPECT_EQ(parse("A=\"b c\" D=\"\""), "A=<b c>, D=<>");
  EXPECT_EQ(parse("A=\"say \\\"x\\\"\""), "A=<say \"x\">");
  EXPECT_EQ(parse("A=x\"y"), "A=<x\"y>");
  EXPECT_EQ(parse("\nA=\"b c"),
            "f:2: a quote that is never closed ('#' begins a comment also within quotes: write \\#)");
  EXPECT_EQ(parse("A=\"b\"c"), "f:1: text directly after a closing quote");
}

TEST(ConfigText, comments_and_escapes) {
  EXPECT_EQ(parse("A=b # c D=e"), "A=<b>");
  EXPECT_EQ(parse("A=b\\#c"), "A=<b#c>");
  EXPECT_EQ(parse("A=\"b \\# c\""), "A=<b # c>");
  EXPECT_EQ(parse("A=b\\\\c"), "A=<b\\c>");
  EXPECT_EQ(parse("A=b#c"), "A=<b>");
  EXPECT_EQ(parse("A=b\\\\#c"), "A=<b\\>");
}

TEST(ConfigText, continuation) {
  EXPECT_EQ(parse("A=1 \\\n  B=2 \\\r\n C=3\nD=4"), "A=<1>, B=<2>, C=<3>; D=<4>");
  EXPECT_EQ(parse("# comment \\\nA=1"), "A=<1>");
  EXPECT_EQ(parse("A=1 \\"), "A=<1>");
  EXPECT_EQ(parse("A=1 \\\n"), "A=<1>");
  EXPECT_EQ(parse("A=1\\\\\nB=2"), "A=<1\\>; B=<2>");
}

TEST(ConfigText, places_point_at_physical_lines) {
  const auto got = parse_config_text("\nA=1 \\\n   Bad=2\n\nC=3", "bai.conf");
  ASSERT_TRUE(got);
  ASSERT_EQ(got->size(), 2u);
  const ConfigLine& line = (*got)[0];
  EXPECT_EQ(line.place(), "bai.conf:2");
  EXPECT_EQ(line.place(line.items[1]), "bai.conf:3");
  EXPECT_EQ(line.items[1].column, 4);
  EXPECT_EQ((*got)[1].place(), "bai.conf:5");
  ASSERT_NE(line.find("BAD"), nullptr);
  EXPECT_EQ(line.find("bad")->value, "2");
  EXPECT_EQ(line.find("none"), nullptr);
}

TEST(ConfigText, windows_files_and_marks) {
  EXPECT_EQ(parse("\xef\xbb\xbf"
                  "A=1\r\nB=2\r\n"),
            "A=<1>; B=<2>");
}

TEST(ConfigText, malformed_lines) {
  EXPECT_EQ(parse("A=1\nnonsense"),
            "f:2: expected Key=Value, found 'nonsense' (quote values that hold blanks)");
  EXPECT_EQ(parse("A=b c D=e"), "f:1: expected Key=Value, found 'c' (quote values that hold blanks)");
  EXPECT_EQ(parse("=x"), "f:1: '=' without a key before it");
  EXPECT_EQ(parse("a/b=c"), "f:1: 'a/b' is not a key (keys are letters, digits, '_', '-' and '.')");
  EXPECT_EQ(parse(std::string_view("A=1\nB=\0x", 8)), "f:2: a control character in column 3");
  EXPECT_EQ(parse("A=\x1b[2J"), "f:1: a control character in column 3");
}

class Files {
 public:
  std::map<std::string, std::string> texts;
  ConfigReader reader() {
    return [this](const std::string& path) -> Result<std::string> {
      const auto it = texts.find(path);
      if (it == texts.end()) return Error{"not_found", "no such file", path};
      return it->second;
    };
  }
};

TEST(ConfigText, include_is_relative_to_the_including_file) {
  Files files;
  files.texts["/etc/bai/bai.conf"] = "A=1\ninclude nodes/all.conf # here\nZ=9";
  files.texts["/etc/bai/nodes/all.conf"] = "B=2\nInclude more.conf\n";
  files.texts["/etc/bai/nodes/more.conf"] = "C=3\nINCLUDE \"/abs file\"";
  files.texts["/abs file"] = "D=4";
  const auto got = parse_config("/etc/bai/bai.conf", files.reader());
  EXPECT_EQ(show(got), "A=<1>; B=<2>; C=<3>; D=<4>; Z=<9>");
  EXPECT_EQ((*got)[2].place(), "/etc/bai/nodes/more.conf:1");
}

TEST(ConfigText, include_errors_name_the_including_line) {
  Files files;
  files.texts["f"] = "A=1\nInclude gone";
  EXPECT_EQ(show(parse_config("f", files.reader())), "f:2: Include 'gone': no such file");
  files.texts["f"] = "Include";
  EXPECT_EQ(show(parse_config("f", files.reader())),
            "f:1: expected Key=Value, found 'Include' (quote values that hold blanks)");
  files.texts["f"] = "Include a b";
  EXPECT_EQ(show(parse_config("f", files.reader())),
            "f:1: Include takes one file name (quote it if it holds blanks)");
  files.texts["f"] = "x=1\nInclude f";
  EXPECT_EQ(show(parse_config("f", files.reader())),
            "f:2: more than 8 Includes within each other (look for a file that includes itself)");
  EXPECT_EQ(show(parse_config("nowhere", files.reader())), "nowhere: no such file");
  EXPECT_EQ(parse("Include x"), "f:1: Include is not possible here");
  EXPECT_EQ(parse("Include=x"), "Include=<x>");
}

TEST(ConfigText, input_is_bounded) {
  ConfigLimits limits;
  limits.max_bytes = 10;
  EXPECT_FALSE(parse_config_text("A=123456789", "f", limits));
  EXPECT_TRUE(parse_config_text("A=12345678", "f", limits));
  limits = {};
  limits.max_lines = 3;
  EXPECT_TRUE(parse_config_text("\n\n\n", "f", limits));
  EXPECT_FALSE(parse_config_text("\n\n\n\n", "f", limits));
  Files files;  // doubles at each level
  for (int i = 0; i < 8; ++i) {
    const std::string next = "Include f" + std::to_string(i + 1) + "\n";
    files.texts["f" + std::to_string(i)] = next + next + next + next + next + next + next + next;
  }
  files.texts["f8"] = std::string(10000, '\n');
  EXPECT_FALSE(parse_config("f0", files.reader()));
}

TEST(ConfigText, quoted_values_read_back) {
  for (const std::string value :
       {"", "plain", "two words", "\"", "a\"b", "#", "\\", "x \\ # \" y", "\ttab"}) {
    const auto got = parse_config_text("K=" + quote_config_value(value) + " L=1", "f");
    ASSERT_TRUE(got) << value << ": " << got.error().text();
    EXPECT_EQ((*got)[0].items[0].value, value);
    EXPECT_EQ((*got)[0].items.size(), 2u);
  }
}

}  // namespace
}  // namespace bai
