#include "base/idset.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace bai {
namespace {

constexpr uint32_t kTop = 0xffffffff;

TEST(IdSet, joins_and_splits) {
  IdSet ids;
  EXPECT_TRUE(ids.insert(5));
  EXPECT_FALSE(ids.insert(5));
  EXPECT_TRUE(ids.insert(7));
  EXPECT_EQ(ids.format(), "5,7");
  EXPECT_TRUE(ids.insert(6));
  EXPECT_EQ(ids.format(), "5-7");
  EXPECT_EQ(ids.ranges().size(), 1u);
  EXPECT_TRUE(ids.erase(6));
  EXPECT_FALSE(ids.erase(6));
  EXPECT_EQ(ids.format(), "5,7");
  ids.insert(0, 100);
  EXPECT_EQ(ids.format(), "0-100");
  ids.erase(10, 90);
  EXPECT_EQ(ids.format(), "0-9,91-100");
  EXPECT_EQ(ids.count(), 20u);
  ids.erase(5, 95);
  EXPECT_EQ(ids.format(), "0-4,96-100");
  EXPECT_EQ(ids.first(), 0u);
  EXPECT_EQ(ids.last(), 100u);
  EXPECT_EQ(ids.next(3), 3u);
  EXPECT_EQ(ids.next(5), 96u);
  EXPECT_FALSE(ids.next(101).has_value());
  ids.clear();
  EXPECT_TRUE(ids.empty());
  EXPECT_EQ(ids.format(), "");
}

TEST(IdSet, reaches_both_ends) {
  IdSet ids;
  ids.insert(0, kTop);
  EXPECT_EQ(ids.count(), uint64_t{1} << 32);
  EXPECT_FALSE(ids.insert(kTop));
  EXPECT_TRUE(ids.erase(kTop));
  EXPECT_TRUE(ids.erase(0));
  EXPECT_EQ(ids.format(), "1-4294967294");
  EXPECT_TRUE(ids.insert(kTop));
  EXPECT_TRUE(ids.insert(0));
  EXPECT_EQ(ids.ranges().size(), 1u);
  ids.erase(0, kTop);
  EXPECT_TRUE(ids.empty());
  ids.insert(kTop - 1, kTop);
  uint64_t seen = 0;
  ids.for_each([&](uint32_t) { ++seen; });
  EXPECT_EQ(seen, 2u);
}

TEST(IdSet, pops_in_order_and_takes_back_what_was_popped) {
  IdSet ids = *IdSet::parse("0-200:2", 1000);
  EXPECT_EQ(ids.count(), 101u);
  for (uint32_t i = 0; i < 80; ++i) ASSERT_EQ(ids.pop_first(), i * 2);
  EXPECT_EQ(ids.first(), 160u);
  EXPECT_TRUE(ids.insert(3));
  EXPECT_TRUE(ids.insert(1));
  EXPECT_EQ(ids.pop_first(), 1u);
  EXPECT_EQ(ids.pop_first(), 3u);
  const IdSet copy = ids;
  EXPECT_EQ(copy, ids);
  IdSet moved = std::move(ids);
  EXPECT_EQ(moved, copy);
  EXPECT_TRUE(ids.empty());  // NOLINT: a moved-from set is empty by contract
  EXPECT_TRUE(ids.insert(9));
  while (moved.pop_first()) {
  }
  EXPECT_EQ(moved.count(), 0u);
  EXPECT_EQ(moved.heap_bytes(), 0u);
  EXPECT_FALSE(moved.pop_first().has_value());
}

TEST(IdSet, costs_by_range_not_by_id) {
  IdSet ids;
  ids.insert(0, 1'000'000);
  EXPECT_LE(ids.heap_bytes(), 64u);
  for (int i = 0; i < 500'000; ++i) ids.pop_first();
  EXPECT_EQ(ids.format(), "500000-1000000");
  EXPECT_LE(ids.heap_bytes(), 64u);
}

// Against std::set, with every kind of change.
TEST(IdSet, agrees_with_a_plain_set) {
  std::mt19937 random(42);
  for (int round = 0; round < 200; ++round) {
    IdSet ids;
    std::set<uint32_t> plain;
    for (int i = 0; i < 300; ++i) {
      const uint32_t a = random() % 120;
      const uint32_t b = a + random() % 9;
      switch (random() % 6) {
        case 0:
          ASSERT_EQ(ids.insert(a), plain.insert(a).second);
          break;
        case 1:
          ASSERT_EQ(ids.erase(a), plain.erase(a) == 1);
          break;
        case 2:
          ids.insert(a, b);
          for (uint32_t id = a; id <= b; ++id) plain.insert(id);
          break;
        case 3:
          ids.erase(a, b);
          for (uint32_t id = a; id <= b; ++id) plain.erase(id);
          break;
        default:
          if (plain.empty()) {
            ASSERT_FALSE(ids.pop_first().has_value());
          } else {
            ASSERT_EQ(ids.pop_first(), *plain.begin());
            plain.erase(plain.begin());
          }
      }
      ASSERT_EQ(ids.count(), plain.size());
      ASSERT_EQ(ids.empty(), plain.empty());
      ASSERT_EQ(ids.contains(a), plain.contains(a));
      std::vector<uint32_t> seen;
      ids.for_each([&](uint32_t id) { seen.push_back(id); });
      ASSERT_EQ(seen, std::vector<uint32_t>(plain.begin(), plain.end()));
      for (size_t r = 1; r < ids.ranges().size(); ++r) {
        ASSERT_GT(ids.ranges()[r].first, ids.ranges()[r - 1].last + 1);
      }
      ASSERT_EQ(*IdSet::parse(ids.format(), 1000), ids);
    }
  }
}

TEST(ArraySpec, parses) {
  EXPECT_EQ(parse_array_spec("0-15:4,20%2", 1001)->ids.format(), "0,4,8,12,20");
  EXPECT_EQ(parse_array_spec("0-15:4,20%2", 1001)->max_running, 2u);
  EXPECT_EQ(parse_array_spec("1-3,2-5,7", 1001)->ids.format(), "1-5,7");
  EXPECT_EQ(parse_array_spec("7,1-3", 1001)->ids.format(), "1-3,7");
  EXPECT_EQ(parse_array_spec("[0-9]", 1001)->ids.format(), "0-9");
  EXPECT_EQ(parse_array_spec("0-9:100", 1001)->ids.format(), "0");
  EXPECT_EQ(parse_array_spec("1000", 1001)->ids.format(), "1000");
  EXPECT_EQ(parse_array_spec("1%0", 1001)->max_running, 0u);
}

TEST(ArraySpec, refuses) {
  for (const char* bad : {"",
                          " ",
                          "a",
                          "-1",
                          "1-",
                          "3-1",
                          "1:2",
                          "1-3:0",
                          "1-3:",
                          "1-3:-1",
                          "1,,2",
                          "1,",
                          ",1",
                          "%2",
                          "1%",
                          "1%x",
                          "1%2%3",
                          "1%-1",
                          "1001",
                          "0-1001",
                          "4294967296",
                          "99999999999999999999",
                          "[1",
                          "1;2",
                          "0-4294967295:4294967295"}) {
    const Result<ArraySpec> r = parse_array_spec(bad, 1001);
    ASSERT_FALSE(r.ok()) << bad << " gave " << r->ids.format();
    EXPECT_EQ(r.error().code, "bad_array") << bad;
    EXPECT_FALSE(r.error().remedy.empty()) << bad;
  }
  EXPECT_FALSE(parse_array_spec("0", 0).ok());
  EXPECT_EQ(IdSet::parse("x", 9).error().code, "bad_id_set");
}

TEST(ArraySpec, bounds_repeats) {
  std::string text = "0-3999999:2";
  for (int i = 0; i < 5000; ++i) text += ",0-3999999:2";
  EXPECT_EQ(parse_array_spec(text, 4'000'000).error().code, "bad_array");
}

TEST(ArraySpec, prints_as_squeue) {
  const auto shown = [](std::string_view text, size_t max_bytes = 64) {
    const ArraySpec spec = *parse_array_spec(text, 1'000'000);
    return format_array_spec(spec.ids, spec.max_running, max_bytes);
  };
  EXPECT_EQ(shown("1-9"), "1-9");
  EXPECT_EQ(shown("0-14:4%2"), "0-12:4%2");
  EXPECT_EQ(shown("0-8:4"), "0,4,8");
  EXPECT_EQ(shown("0-12:4,13"), "0,4,8,12-13");
  EXPECT_EQ(shown("5"), "5");
  const std::string odd = "1,3,6,10,15,21,28,36,45,55,66,78,91,105,120,136,153,171,190,210,231";
  EXPECT_EQ(shown(odd + "%3"), odd.substr(0, 60) + "...%3");
  EXPECT_EQ(shown(odd, 0), odd);
  EXPECT_EQ(format_array_spec(IdSet(), 0, 64), "");
}

}  // namespace
}  // namespace bai
