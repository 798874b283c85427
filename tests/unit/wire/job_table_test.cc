#include "wire/job_table.h"

#include <gtest/gtest.h>

#include "base/archive.h"

namespace bai::wire {
namespace {

Job job(JobId id, const std::string& name) {
  auto spec = std::make_shared<JobSpec>();
  spec->name = name;
  spec->user = "ada";
  spec->group = "ada";
  spec->partition = "main";
  spec->workdir = "/home/ada";
  Job out;
  out.id = id;
  out.spec = spec;
  return out;
}

TEST(JobTable, equal_texts_are_stored_once) {
  JobTableBuilder builder;
  for (JobId id = 1; id <= 1000; ++id) builder.add(job(id, "job" + std::to_string(id % 100)), 60);
  EXPECT_EQ(builder.size(), 1000u);
  const JobTable table = builder.take();
  EXPECT_EQ(table.texts.size(), 1u + 100 + 3);
  for (const auto& row : table.rows) {
    EXPECT_EQ(table.text(row.name), "job" + std::to_string(row.id % 100));
    EXPECT_EQ(table.text(row.user), "ada");
    EXPECT_EQ(table.text(row.group), "ada");
    EXPECT_EQ(table.text(row.workdir), "/home/ada");
    EXPECT_EQ(row.account, 0u);
  }
  EXPECT_EQ(builder.size(), 0u);
  builder.add(job(7, "again"), 60);
  EXPECT_EQ(builder.take().texts.size(), 5u);
}

TEST(JobTable, travels) {
  JobTableBuilder builder;
  Job one = job(7, "x");
  one.detail = std::string(10000, 'd');
  builder.add(one, kUnlimited, "n1");
  auto back = decode<JobTable>(encode(builder.take()));
  ASSERT_TRUE(back.ok()) << back.error().text();
  ASSERT_EQ(back->rows.size(), 1u);
  EXPECT_EQ(back->rows[0].time_limit, kUnlimited);
  EXPECT_EQ(back->text(back->rows[0].detail).size(), 4096u);
  EXPECT_TRUE(back->text(back->rows[0].detail).ends_with("..."));
}

TEST(JobTable, a_text_that_is_not_there_is_empty) { EXPECT_EQ(JobTable().text(12), ""); }

}  // namespace
}  // namespace bai::wire
