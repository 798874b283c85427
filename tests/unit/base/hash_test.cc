#include "base/hash.h"

#include <gtest/gtest.h>

#include <unordered_set>

namespace bai {
namespace {

// From RFC 7693's algorithm with a 32 byte digest: `b2sum -l 256` of the same bytes.
TEST(Hash256, known_answers) {
  EXPECT_EQ(hash256("").hex(), "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
  EXPECT_EQ(hash256("abc").hex(), "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

TEST(Hash256, hex_goes_both_ways) {
  const Hash256 h = hash256("x");
  EXPECT_EQ(Hash256::from_hex(h.hex()).value(), h);
  std::string upper = h.hex();
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  EXPECT_EQ(Hash256::from_hex(upper).value(), h);
  EXPECT_FALSE(Hash256::from_hex(""));
  EXPECT_FALSE(Hash256::from_hex(h.hex().substr(1)));
  EXPECT_FALSE(Hash256::from_hex(h.hex() + "0"));
  EXPECT_FALSE(Hash256::from_hex("g" + h.hex().substr(1)));
}

TEST(Hasher, pieces_hash_like_the_whole) {
  Hasher h;
  h.update("ab").update("").update("c");
  EXPECT_EQ(h.finish(), hash256("abc"));
}

TEST(Hasher, delimited_pieces_keep_their_boundaries) {
  Hasher a, b;
  a.update_piece("ab").update_piece("c");
  b.update_piece("a").update_piece("bc");
  EXPECT_NE(a.finish(), b.finish());
}

TEST(Hash256, works_in_containers) {
  std::unordered_set<Hash256> set{hash256("a"), hash256("b"), hash256("a")};
  EXPECT_EQ(set.size(), 2u);
  EXPECT_TRUE(Hash256{}.is_zero());
  EXPECT_LT(Hash256{}, hash256("a"));
}

}  // namespace
}  // namespace bai
