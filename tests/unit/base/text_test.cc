#include "base/text.h"

#include <gtest/gtest.h>

namespace bai {
namespace {

using Views = std::vector<std::string_view>;
using Words = std::vector<std::string>;

TEST(Text, trims_ascii_blanks_only) {
  EXPECT_EQ(trim(" \t a b\r\n"), "a b");
  EXPECT_EQ(trim(" \n "), "");
  EXPECT_EQ(trim("\u00a0x"), "\u00a0x");
}

TEST(Text, splits) {
  EXPECT_EQ(split("a,,b", ','), (Views{"a", "", "b"}));
  EXPECT_EQ(split("", ','), (Views{""}));
  EXPECT_EQ(split("a:b:c", ':', 2), (Views{"a", "b:c"}));
  EXPECT_EQ(split("a:b", ':', 1), (Views{"a:b"}));
  EXPECT_TRUE(split("a", ':', 0).empty());
  EXPECT_EQ(split_list(" a, b,,c ,"), (Views{"a", "b", "c"}));
  EXPECT_TRUE(split_list("").empty());
  EXPECT_EQ(split_blanks("  one two\tthree\n"), (Views{"one", "two", "three"}));
}

TEST(Text, joins) {
  EXPECT_EQ(join(Words{"a", "b", "c"}, ", "), "a, b, c");
  EXPECT_EQ(join(Views{}, ","), "");
}

TEST(Text, compares_without_case) {
  EXPECT_EQ(lower("AbZ-1"), "abz-1");
  EXPECT_EQ(upper("abz-1"), "ABZ-1");
  EXPECT_TRUE(iequals("NodeName", "nodename"));
  EXPECT_FALSE(iequals("Node", "NodeName"));
  EXPECT_TRUE(istarts_with("NodeName", "nODE"));
  EXPECT_FALSE(istarts_with("No", "node"));
}

TEST(Text, finds_control_characters) {
  EXPECT_FALSE(has_control("plain text \xc3\xa9"));
  EXPECT_TRUE(has_control("a\nb"));
  EXPECT_FALSE(has_control("a\nb\t", "\n\t"));
  EXPECT_TRUE(has_control(std::string_view("a\0b", 3)));
  EXPECT_TRUE(has_control("\x7f"));
  EXPECT_TRUE(has_control("\xc2\x9b"));  // U+009B, the one-character CSI
}

TEST(Text, knows_utf8) {
  EXPECT_TRUE(is_utf8("h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"));
  for (const char* bad : {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"}) {
    EXPECT_FALSE(is_utf8(bad)) << escape_control(bad);
  }
}

TEST(Text, escapes_and_quotes_for_messages) {
  EXPECT_EQ(escape_control("a\tb\nc\rd\x1b[0m\xff"), "a\\tb\\nc\\rd\\x1b[0m\\xff");
  EXPECT_EQ(escape_control("\xc2\x9b"), "\\xc2\\x9b");
  EXPECT_EQ(quote("x\ny"), "'x\\ny'");
  EXPECT_EQ(quote("abcdef", 3), "'abc...'");
  EXPECT_EQ(quote("ab\xe2\x82\xac", 4), "'ab...'");  // no half characters
}

TEST(Text, quotes_for_a_shell) {
  EXPECT_EQ(shell_quote("/bin/true"), "/bin/true");
  EXPECT_EQ(shell_quote(""), "''");
  EXPECT_EQ(shell_quote("it's $x"), "'it'\\''s $x'");
}

TEST(Text, reads_key_value) {
  const auto pair = parse_key_value(" Key = a=b ");
  ASSERT_TRUE(pair.has_value());
  EXPECT_EQ(pair->first, "Key");
  EXPECT_EQ(pair->second, "a=b");
  EXPECT_TRUE(parse_key_value("k=").has_value());
  EXPECT_FALSE(parse_key_value("key").has_value());
  EXPECT_FALSE(parse_key_value("=v").has_value());
}

TEST(ShellWords, follows_sbatch) {
  const auto words = [](std::string_view line) {
    Result<Words> r = split_shell_words(line);
    return r.ok() ? *r : Words{r.error().code};
  };
  EXPECT_EQ(words("  --job-name=x  -n 4 "), (Words{"--job-name=x", "-n", "4"}));
  EXPECT_EQ(words("--comment='a b' -J \"c 'd'\""), (Words{"--comment=a b", "-J", "c 'd'"}));
  EXPECT_EQ(words("a\\ b \"q\\\"q\" 'it\\'s'"), (Words{"a b", "q\"q", "it's"}));
  EXPECT_EQ(words("-n 4 # four tasks"), (Words{"-n", "4"}));
  EXPECT_EQ(words("-n 4#four"), (Words{"-n", "4"}));
  EXPECT_EQ(words("'#no' \\#no"), (Words{"#no", "#no"}));
  EXPECT_EQ(words("-J '' x"), (Words{"-J", "", "x"}));
  EXPECT_EQ(words("-n 4\n-n 5"), (Words{"-n", "4"}));
  EXPECT_EQ(words(""), Words{});
  EXPECT_EQ(words("'open"), Words{"bad_quoting"});
  EXPECT_EQ(words("\"open\nnext\""), Words{"bad_quoting"});
  EXPECT_EQ(words("end\\"), Words{"bad_quoting"});
  EXPECT_FALSE(split_shell_words("a b c", 2).ok());
  EXPECT_TRUE(split_shell_words("a b", 2).ok());
}

TEST(Columns, count_what_a_terminal_shows) {
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("h\xc3\xa9"), 2u);
  EXPECT_EQ(display_width("\xe4\xbd\xa0\xe5\xa5\xbd"), 4u);
  EXPECT_EQ(display_width("e\xcc\x81"), 1u);
  EXPECT_EQ(display_width("\xff"), 1u);
  EXPECT_EQ(truncate("\xe4\xbd\xa0\xe5\xa5\xbd", 3), "\xe4\xbd\xa0");
  EXPECT_EQ(truncate("abc", 5), "abc");
  EXPECT_EQ(pad_right("\xc3\xa9", 3), "\xc3\xa9  ");
  EXPECT_EQ(pad_left("7", 3), "  7");
  EXPECT_EQ(pad_left("1234", 3), "1234");
}

}  // namespace
}  // namespace bai
