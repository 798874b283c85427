#include "model/constraint.h"

#include <gtest/gtest.h>

namespace bai {
namespace {

Constraint parsed(std::string_view text) {
  auto out = parse_constraint(text);
  EXPECT_TRUE(out.ok()) << text << ": " << (out.ok() ? "" : out.error().message);
  return out.ok() ? *out : Constraint{};
}

using Features = std::vector<std::string>;

TEST(Constraint, and_or_and_parentheses) {
  EXPECT_TRUE(parsed("").empty());
  EXPECT_TRUE(parsed("").each.holds({}));
  const auto test = [](std::string_view text, const Features& features) {
    return parsed(text).each.holds(features);
  };
  EXPECT_TRUE(test("a", {"b", "a"}));
  EXPECT_FALSE(test("a&b", {"a"}));
  EXPECT_TRUE(test("a|b", {"b"}));
  EXPECT_TRUE(test("a|b&c", {"a"}));  // & binds closer
  EXPECT_FALSE(test("(a|b)&c", {"a"}));
  EXPECT_TRUE(test(" ( a | b ) & c ", {"b", "c"}));
  EXPECT_TRUE(test("((a&b)|(c&d))&e", {"c", "d", "e"}));
  EXPECT_FALSE(test("((a&b)|(c&d))&e", {"a", "d", "e"}));
}

TEST(Constraint, brackets_and_counts) {
  const auto racks = parsed("gpu&[rack1|rack2|rack3]");
  EXPECT_EQ(racks.each.any, (std::vector<Features>{{"gpu"}}));
  ASSERT_EQ(racks.matching.size(), 3u);
  EXPECT_EQ(racks.matching[1].any, (std::vector<Features>{{"rack2"}}));
  const auto some = parsed("graphics*4");
  ASSERT_EQ(some.counts.size(), 1u);
  EXPECT_EQ(some.counts[0].nodes, 4u);
  EXPECT_TRUE(some.matching.empty());
  const auto both = parsed("[(a&x)*2&b*4]");
  ASSERT_EQ(both.counts.size(), 2u);
  EXPECT_EQ(both.counts[0].test.any, (std::vector<Features>{{"a", "x"}}));
  EXPECT_EQ(both.counts[1].nodes, 4u);
  ASSERT_EQ(both.matching.size(), 1u);  // nobody else is wanted
  EXPECT_TRUE(both.matching[0].holds({"b"}));
  EXPECT_FALSE(both.matching[0].holds({"a"}));
}

TEST(Constraint, says_where_it_is_wrong) {
  for (auto text : {"a&", "&a", "a b", "(a", "a)", "[a|b", "[a*2|b*2]", "[a*2&b]", "a*", "a*0", "a|b*2",
                    "[a|b]|c", "[a]&[b]", "a,b", "()"})
    EXPECT_FALSE(parse_constraint(text).ok()) << text;
  EXPECT_EQ(parse_constraint("a&&b").error().message,
            "'a&&b' is no constraint: a feature is missing at character 3");
  EXPECT_FALSE(parse_constraint(std::string(5000, 'a')).ok());
  EXPECT_FALSE(parse_constraint(std::string(40, '(') + "a").ok());
  std::string wide = "(a|b|c|d)";
  for (int i = 0; i < 8; ++i) wide += "&(a|b|c|d)";
  EXPECT_FALSE(parse_constraint(wide).ok());
}

}  // namespace
}  // namespace bai
