#include "step/record.h"

#include <gtest/gtest.h>

namespace bai::step {
namespace {

TEST(StepRecord, ChecksumIsTheStandardOne) {
  EXPECT_EQ(crc32(""), 0u);
  EXPECT_EQ(crc32("123456789"), 0xcbf43926u);
  EXPECT_EQ(crc32("The quick brown fox jumps over the lazy dog"), 0x414fa339u);
}

TEST(StepRecord, KeepsOrderAndRepeats) {
  RecordWriter w;
  w.number(1, 0x0102030405060708);
  w.text(2, "x");
  w.text(2, "");
  const std::string bytes = w.finish("MAGIC678", 3);
  auto fields = parse_record(bytes, "MAGIC678", 3, 10);
  ASSERT_TRUE(fields.ok());
  ASSERT_EQ(fields->size(), 3u);
  EXPECT_EQ(*(*fields)[0].number(), 0x0102030405060708u);
  EXPECT_EQ((*fields)[1].value, "x");
  EXPECT_EQ((*fields)[2].value, "");
  EXPECT_FALSE((*fields)[1].number().ok());
  EXPECT_FALSE((*fields)[0].number(7).ok());
}

TEST(StepRecord, RefusesLengthsBeyondTheEnd) {
  const std::string huge("\x01\x00\xff\xff\xff\xff", 6);
  EXPECT_FALSE(parse_fields(huge, 10).ok());
  EXPECT_FALSE(parse_fields(std::string_view(huge).substr(0, 3), 10).ok());
  RecordWriter w;
  for (int i = 0; i < 4; ++i) w.text(1, "");
  EXPECT_TRUE(parse_fields(w.body(), 4).ok());
  EXPECT_FALSE(parse_fields(w.body(), 3).ok());
}

}  // namespace
}  // namespace bai::step
