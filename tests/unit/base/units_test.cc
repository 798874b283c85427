#include "base/units.h"

#include <gtest/gtest.h>

#include <limits>

namespace bai {
namespace {

TEST(ParseInt, takes_whole_numbers_in_bounds) {
  EXPECT_EQ(*parse_int("42", 0, 100), 42);
  EXPECT_EQ(*parse_int(" -7 ", -10, 10), -7);
  EXPECT_EQ(*parse_int("+7", -10, 10), 7);
  EXPECT_EQ(*parse_int("9223372036854775807", 0, std::numeric_limits<int64_t>::max()),
            std::numeric_limits<int64_t>::max());
  for (const char* bad : {"", " ", "-", "+", "+-1", "--1", "1x", "0x10", "1.0", "1e3", "1 2", "101", "-1",
                          "99999999999999999999999"}) {
    const Result<int64_t> r = parse_int(bad, 0, 100);
    ASSERT_FALSE(r.ok()) << bad;
    EXPECT_EQ(r.error().code, "bad_number") << bad;
    EXPECT_FALSE(r.error().remedy.empty()) << bad;
  }
  EXPECT_EQ(parse_int("1\x1b", 0, 9).error().message, "'1\\x1b' is not a whole number");
}

TEST(ParseDecimal, takes_plain_decimals) {
  EXPECT_DOUBLE_EQ(*parse_decimal("1.5", 0, 10), 1.5);
  EXPECT_DOUBLE_EQ(*parse_decimal(".5", 0, 10), 0.5);
  EXPECT_DOUBLE_EQ(*parse_decimal("2", 0, 10), 2);
  for (const char* bad : {"", ".", "-", "nan", "inf", "1e3", "1,5", "1.2.3", "11", "-1", "0x1"}) {
    EXPECT_FALSE(parse_decimal(bad, 0, 10).ok()) << bad;
  }
  EXPECT_EQ(parse_decimal("11", 0, 2.5).error().remedy, "write a number from 0 to 2.5");
}

TEST(ParseCount, knows_k_and_m) {
  EXPECT_EQ(*parse_count("4", 1, 1 << 30), 4);
  EXPECT_EQ(*parse_count("1k", 1, 1 << 30), 1024);
  EXPECT_EQ(*parse_count("2M", 1, 1 << 30), 2 * 1024 * 1024);
  for (const char* bad : {"", "k", "0", "1g", "1kk", "9223372036854775807k", "-1"}) {
    EXPECT_FALSE(parse_count(bad, 1, 1 << 30).ok()) << bad;
  }
}

TEST(CountRange, as_dash_N_takes_it) {
  EXPECT_EQ(*parse_count_range("4"), (CountRange{4, 4}));
  EXPECT_EQ(*parse_count_range("2-8"), (CountRange{2, 8}));
  EXPECT_EQ(*parse_count_range("1k-2k"), (CountRange{1024, 2048}));
  for (const char* bad :
       {"", "0", "-", "2-", "-2", "8-2", "1-2-3", "0-2", "a", "4294967295", "1-99999999999"}) {
    const Result<CountRange> r = parse_count_range(bad);
    ASSERT_FALSE(r.ok()) << bad;
    EXPECT_EQ(r.error().code, "bad_count") << bad;
  }
}

TEST(Memory, parses) {
  const std::vector<std::pair<const char*, uint64_t>> good = {
      {"512", 512},   {"4G", 4096},  {"4g", 4096},   {"1.5T", 1572864},  {"100K", 1},   {"1025K", 2},
      {"1024k", 1},   {"2GB", 2048}, {"2GiB", 2048}, {"1P", 1ull << 30}, {".5G", 512},  {"1.", 1},
      {" 10 M ", 10}, {"0.1", 1},    {"1.0001K", 1}, {"0.5K", 1},        {"2048", 2048}};
  for (const auto& [text, mib] : good) {
    const Result<uint64_t> r = parse_memory_mib(text);
    ASSERT_TRUE(r.ok()) << text << ": " << r.error().text();
    EXPECT_EQ(*r, mib) << text;
  }
  for (const char* bad : {"", "G", ".", "1.2.3", "-1", "+1", "1X", "1GG", "1KMG", "1 2", "4 GBs", "0", "0G",
                          "0.0", "99999999999P", "8193P", "1.0000000001G", "1e3",
                          "99999999999999999999999999999999999999999999999999999999999"}) {
    const Result<uint64_t> r = parse_memory_mib(bad);
    ASSERT_FALSE(r.ok()) << bad << " gave " << *r;
    EXPECT_EQ(r.error().code, "bad_size") << bad;
    EXPECT_FALSE(r.error().remedy.empty()) << bad;
  }
  EXPECT_EQ(*parse_memory_mib("0", ZeroMemory::kAllowed), 0u);
  EXPECT_EQ(*parse_memory_mib("0G", ZeroMemory::kAllowed), 0u);
  EXPECT_EQ(*parse_memory_mib("8192P"), uint64_t{1} << 43);
}

TEST(Memory, formats_as_slurm) {
  EXPECT_EQ(format_memory(0), "0");
  EXPECT_EQ(format_memory(1), "1M");
  EXPECT_EQ(format_memory(1000), "1000M");
  EXPECT_EQ(format_memory(1024), "1G");
  EXPECT_EQ(format_memory(1536), "1.50G");
  EXPECT_EQ(format_memory(1500), "1500M");
  EXPECT_EQ(format_memory(4096), "4G");
  EXPECT_EQ(format_memory(1572864), "1.50T");
  EXPECT_EQ(format_memory(3 * 1024 * 1024), "3T");
  EXPECT_EQ(format_memory_rounded(1500), "1.46G");
  EXPECT_EQ(format_memory_rounded(4096), "4G");
  EXPECT_EQ(format_memory_rounded(1000), "1000M");
  EXPECT_EQ(format_memory_rounded(1025), "1.00G");
}

TEST(Memory, what_is_formatted_exactly_parses_back) {
  for (uint64_t mib = 1; mib < 100'000; mib += 7) EXPECT_EQ(*parse_memory_mib(format_memory(mib)), mib);
}

}  // namespace
}  // namespace bai
