#include "model/filename.h"

#include <gtest/gtest.h>

namespace bai {
namespace {

FilenameContext task() {
  FilenameContext context;
  context.job = 42;
  context.array_job = 40;
  context.array_task = 7;
  context.job_name = "train";
  context.user = "ada";
  context.node = "n1.example.org";
  context.node_index = 2;
  context.task = 3;
  return context;
}

TEST(Filename, replaces_each_pattern) {
  EXPECT_EQ(expand_filename("%j-%A_%a.out", task()), "42-40_7.out");
  EXPECT_EQ(expand_filename("%x-%u-%N-%n-%t", task()), "train-ada-n1-2-3");
  EXPECT_EQ(expand_filename("%s %J 100%%", task()), "batch 42.batch 100%");
}

TEST(Filename, pads_numbers_and_caps_the_width) {
  EXPECT_EQ(expand_filename("%5j", task()), "00042");
  EXPECT_EQ(expand_filename("%999a", task()), "0000000007");
  EXPECT_EQ(expand_filename("%0j", task()), "42");
}

TEST(Filename, without_an_array) {
  FilenameContext context;
  context.job = 9;
  EXPECT_EQ(expand_filename("%A_%a", context), "9_4294967294");
}

TEST(Filename, keeps_what_it_does_not_know) {
  FilenameContext context;
  context.job = 9;
  EXPECT_EQ(expand_filename("%N-%q-%5q-%", context), "%N-%q-%5q-%");
  EXPECT_EQ(expand_filename("%\\j", context), "%j");
}

TEST(Filename, paths_are_made_absolute) {
  FilenameContext context;
  context.job = 9;
  EXPECT_EQ(expand_path("out/%j", "/w", context), "/w/out/9");
  EXPECT_EQ(expand_path("/x/%j", "/w", context), "/x/9");
  EXPECT_EQ(expand_path("a", "/", context), "/a");
  EXPECT_EQ(expand_path("", "/w", context), "/dev/null");
}

TEST(Filename, the_jobs_name_alone_is_settled_for_a_signature) {
  EXPECT_EQ(settle_job_name("%x-%j/%%x %5x%", "a/b%c"), "a/b%%c-%j/%%x a/b%%c%");
  EXPECT_EQ(expand_filename(settle_job_name("%x-%j", "50%j"), task()), "50%j-42");
  EXPECT_EQ(settle_job_name("%x\\%j", "a"), "%x\\%j");
  EXPECT_EQ(settle_job_name("%x.%j", "a\\b"), "%x.%j");
  EXPECT_EQ(settle_job_name("", "a"), "");
  auto named = task();
  named.job_name = "../../.profile";
  EXPECT_EQ(expand_filename("%x", named), ".._.._.profile");
}

TEST(Filename, one_file_or_several) {
  EXPECT_TRUE(is_one_file("bai-%j.out"));
  EXPECT_FALSE(is_one_file("%t.out"));
  EXPECT_FALSE(is_one_file("%3N.out"));
  EXPECT_TRUE(is_one_file("%%t"));
}

}  // namespace
}  // namespace bai
