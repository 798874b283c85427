#include "base/archive.h"

#include <gtest/gtest.h>

#include <limits>

namespace bai {
namespace {

enum class Colour : std::uint8_t { red, green, blue };

struct Inner {
  int a = 0;
  std::string s;
  bool operator==(const Inner&) const = default;
  template <class A>
  void serialize(A& ar) {
    ar(a, s);
  }
};

struct Everything {
  bool b = true;
  std::int8_t i8 = -128;
  std::uint16_t u16 = 65535;
  std::int64_t i64 = std::numeric_limits<std::int64_t>::min();
  std::uint64_t u64 = std::numeric_limits<std::uint64_t>::max();
  double d = -0.1;
  Colour colour = Colour::blue;
  std::string text = "grüße";
  std::string script = std::string("#!/bin/sh\n\0x", 12);
  std::vector<Inner> inner{{1, "x"}, {-2, "y"}};
  std::vector<bool> bits{true, false};
  std::vector<std::uint8_t> raw{0, 1, 255};
  std::array<std::uint8_t, 4> id{1, 2, 3, 4};
  std::array<int, 2> pair_of{-1, 1};
  std::optional<Inner> maybe = Inner{3, "z"};
  std::optional<int> no;
  std::map<std::string, int> map{{"a", 1}, {"b", 2}};
  std::set<int> set{-1, 5};
  std::pair<int, std::string> pair{1, "p"};
  std::variant<std::monostate, int, std::string> var = "v";
  std::vector<std::string> env{"A=1\n2", "B="};
  bool operator==(const Everything&) const = default;
  template <class A>
  void serialize(A& a) {
    a(b, i8, u16, i64, u64, d, at_most(colour, Colour::blue), text, blob(script, 100), inner, bits, raw, id,
      pair_of);
    a(maybe, no, map, set, pair, var, blob(env, 100, 10));
  }
};

struct Tree {
  std::vector<Tree> kids;
  int x = 0;
  template <class A>
  void serialize(A& a) {
    a(kids, x);
  }
};

struct Capping {
  std::string s;
  std::vector<int> v;
  std::vector<int> after;
  template <class A>
  void serialize(A& a) {
    a(cap(s, 3), cap(v, 2), after);
  }
};

TEST(Archive, round_trip) {
  const Everything in;
  const std::string bytes = encode(in);
  const auto out = decode<Everything>(bytes);
  ASSERT_TRUE(out) << out.error().text();
  EXPECT_EQ(*out, in);
  EXPECT_EQ(encode(*out), bytes);
}

TEST(Archive, golden_bytes) {
  EXPECT_EQ(encode(std::uint32_t{300}), "\xac\x02");
  EXPECT_EQ(encode(-1), "\x01");
  EXPECT_EQ(encode(1), "\x02");
  EXPECT_EQ(encode(true), "\x01");
  EXPECT_EQ(encode(Colour::blue), "\x02");
  EXPECT_EQ(encode(std::string("ab")),
            "\x02"
            "ab");
  EXPECT_EQ(encode(Inner{2, "ab"}),
            "\x04\x02"
            "ab");
  EXPECT_EQ(encode(std::vector<int>{1, 2}), "\x02\x02\x04");
  EXPECT_EQ(encode(1.0), std::string("\0\0\0\0\0\0\xf0\x3f", 8));
  EXPECT_EQ(encode(std::optional<int>(3)), "\x01\x06");
  EXPECT_EQ(encode(std::variant<int, bool>(true)), "\x01\x01");
}

TEST(Archive, every_truncation_is_refused) {
  const std::string bytes = encode(Everything{});
  for (std::size_t n = 0; n < bytes.size(); ++n) EXPECT_FALSE(decode<Everything>(bytes.substr(0, n))) << n;
  const auto more = decode<Everything>(bytes + "x");
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, "bad_encoding");
}

TEST(Archive, no_byte_flip_throws) {
  const std::string bytes = encode(Everything{});
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = bytes;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      const auto out = decode<Everything>(bad);
      if (out && out->d == out->d) {
        EXPECT_EQ(encode(*out), bad);  // one value, one encoding
      }
    }
  }
}

TEST(Archive, huge_lengths_take_no_memory) {
  const std::string huge("\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 9);
  EXPECT_FALSE(decode<std::string>(huge));
  EXPECT_FALSE(decode<std::vector<Everything>>(huge));
  EXPECT_FALSE(decode<std::vector<std::uint8_t>>(huge));
  EXPECT_FALSE((decode<std::map<int, int>>(huge)));
  EXPECT_FALSE(decode<std::vector<int>>("\x05\x01\x01\x01"));
}

TEST(Archive, numbers_out_of_range_or_overlong) {
  EXPECT_FALSE(decode<std::uint8_t>("\x80\x02"));
  EXPECT_FALSE(decode<std::int8_t>("\x80\x02"));
  EXPECT_FALSE(decode<std::uint32_t>(std::string("\x80\x00", 2)));
  EXPECT_FALSE(decode<std::uint64_t>(std::string(10, '\xff')));
  EXPECT_FALSE(decode<std::uint64_t>(std::string(9, '\xff') + "\x02"));
  EXPECT_FALSE(decode<bool>("\x02"));
  EXPECT_FALSE((decode<std::variant<int, bool>>("\x02\x00")));
  Colour c{};
  const std::string three = "\x03";
  InArchive a(three);
  a(at_most(c, Colour::blue));
  EXPECT_TRUE(a.failed());
}

TEST(Archive, strings_hold_no_control_characters) {
  for (const char* bad : {"a\nb", "\t", "\x1b[2J", "\x7f", "\xc2\x9bJ"}) {
    EXPECT_FALSE(decode<std::string>(encode(std::string(bad))));
  }
  EXPECT_TRUE(decode<std::string>(encode(std::string("caf\xc3\xa9 \xc2\xa0"))));
  EXPECT_FALSE(decode<std::string>(encode(std::string(4097, 'x'))));
  EXPECT_TRUE(decode<std::string>(encode(std::string(4096, 'x'))));
}

TEST(Archive, caps_hold_for_their_field_only) {
  Capping c{"abc", {1, 2}, {1, 2, 3}};
  EXPECT_TRUE(decode<Capping>(encode(c)));
  c.s = "abcd";
  EXPECT_FALSE(decode<Capping>(encode(c)));
  c.s = "";
  c.v = {1, 2, 3};
  EXPECT_FALSE(decode<Capping>(encode(c)));
}

TEST(Archive, recursion_is_bounded) {
  Tree ok;
  for (int i = 0; i < kArchiveDepth - 2; ++i) {
    Tree outer;
    outer.kids.push_back(std::move(ok));
    ok = std::move(outer);
  }
  EXPECT_TRUE(decode<Tree>(encode(ok)));
  EXPECT_FALSE(decode<Tree>(std::string(100000, '\x01')));
}

TEST(Archive, maps_and_sets_come_in_order) {
  EXPECT_FALSE((decode<std::map<int, int>>("\x02\x04\x00\x02\x00")));
  EXPECT_FALSE(decode<std::set<int>>("\x02\x02\x02"));
}

}  // namespace
}  // namespace bai
