#include "base/suggest.h"

#include <gtest/gtest.h>

namespace bai {
namespace {

TEST(Suggest, counts_edits) {
  EXPECT_EQ(edit_distance("time", "time", 3), 0u);
  EXPECT_EQ(edit_distance("TIME", "time", 3), 0u);
  EXPECT_EQ(edit_distance("tiem", "time", 3), 1u);  // swap
  EXPECT_EQ(edit_distance("tim", "time", 3), 1u);
  EXPECT_EQ(edit_distance("kitten", "sitting", 3), 3u);
  EXPECT_EQ(edit_distance("", "abc", 3), 3u);
  EXPECT_EQ(edit_distance("abc", "xyz", 1), 2u);
  EXPECT_EQ(edit_distance("abcdefgh", "x", 2), 3u);
}

TEST(Suggest, finds_the_nearest) {
  const std::vector<std::string_view> known = {"partition", "nodes", "ntasks", "time", "time-min"};
  EXPECT_EQ(nearest_word("partiton", known), "partition");
  EXPECT_EQ(nearest_word("ntask", known), "ntasks");
  EXPECT_EQ(nearest_word("tmie", known), "time");
  EXPECT_EQ(nearest_word("time_min", known), "time-min");
  EXPECT_FALSE(nearest_word("wckey", known).has_value());
  EXPECT_FALSE(nearest_word("", known).has_value());
  EXPECT_FALSE(nearest_word(std::string(100'000, 'a'), known).has_value());
}

TEST(Suggest, leaves_short_words_alone) {
  EXPECT_FALSE(nearest_word("x", {"y"}).has_value());
  EXPECT_FALSE(nearest_word("ab", {"cd"}).has_value());
  EXPECT_EQ(nearest_word("ba", {"ab", "abc"}), "ab");
}

TEST(Suggest, asks) {
  EXPECT_EQ(did_you_mean("quueu", std::vector<std::string>{"queue", "info"}), "did you mean 'queue'?");
  EXPECT_EQ(did_you_mean("zzz", std::vector<std::string>{"queue", "info"}), "");
}

}  // namespace
}  // namespace bai
