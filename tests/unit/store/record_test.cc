#include "store/record.h"

#include <gtest/gtest.h>

#include "sample.h"
#include "store/rows.h"

namespace bai::store {
namespace {

TEST(Record, a_job_comes_back_whole) {
  auto job = ended_job(9);
  job->detail = "a sentence with\na control character";
  auto spec = *job->spec;
  JobExtras extras;
  extras.comment = std::string(10'000, 'x');
  spec.set_extras(extras);
  job->spec = std::make_shared<const JobSpec>(spec);
  auto array = std::make_shared<ArrayHead>();
  array->waiting.insert(1, 1'000'000);
  job->array = array;
  JobLoader loader;
  auto back = loader.load(job_record(*job), "job 9");
  ASSERT_TRUE(ok(back));
  EXPECT_EQ(encode(**back), encode(*job));
}

TEST(Record, equal_specs_are_shared) {
  JobLoader loader;
  auto a = sample_job(1), b = sample_job(2);
  b->spec = std::make_shared<const JobSpec>(sample_spec(1));
  auto one = loader.load(job_record(*a), "a"), two = loader.load(job_record(*b), "b");
  ASSERT_TRUE(ok(one));
  ASSERT_TRUE(ok(two));
  EXPECT_EQ((*one)->spec, (*two)->spec);
  auto c = sample_job(3);
  auto three = loader.load(job_record(*c), "c");
  ASSERT_TRUE(ok(three));
  EXPECT_EQ((*three)->spec->user.identity(), (*one)->spec->user.identity());
}

TEST(Record, damage_is_an_error) {
  const auto whole = job_record(*ended_job(3));
  JobLoader loader;
  for (std::size_t n = 0; n < whole.size(); ++n) {
    auto cut = loader.load(std::string_view(whole).substr(0, n), "job 3");
    ASSERT_FALSE(cut.ok()) << n;
    EXPECT_EQ(cut.error().code, "corrupt");
  }
  auto newer = whole;
  newer[0] = 9;
  EXPECT_FALSE(loader.load(newer, "job 3").ok());
  EXPECT_EQ(from_record<JobEvent>("", "x").error().code, "corrupt");
  EXPECT_EQ(from_record<JobEvent>("\x01z", "x").error().code, "corrupt");
}

TEST(Record, plain_text_is_utf8_without_nul) {
  EXPECT_EQ(plain_text("grüße €😀"), "grüße €😀");
  EXPECT_EQ(plain_text(std::string_view("a\0b", 3)), "a?b");
  EXPECT_EQ(plain_text("\xff\xc0\x80\xed\xa0\x80"), "??????");
  EXPECT_EQ(plain_text("\xe2\x82"), "??");
}

}  // namespace
}  // namespace bai::store
