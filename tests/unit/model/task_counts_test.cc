#include "model/task_counts.h"

#include <gtest/gtest.h>

namespace bai {
namespace {

TEST(TaskCounts, AreCompressed) {
  EXPECT_EQ(compress_counts({}), "");
  EXPECT_EQ(compress_counts({4}), "4");
  EXPECT_EQ(compress_counts({4, 4, 2, 4}), "4(x2),2,4");
}

}  // namespace
}  // namespace bai
