#include "cli/script.h"

#include <gtest/gtest.h>

#include "cli/submit_options.h"

namespace bai::cli {
namespace {

class ScriptTest : public ::testing::Test {
 protected:
  Script script(std::string text) { return {std::move(text), "/w/job.sh", "job.sh", "job.sh"}; }
  Result<Parsed> directives(std::string text) {
    auto given = read_directives(script(std::move(text)), parser_);
    if (!given.ok()) return given.error();
    Parsed parsed;
    parsed.add(std::move(*given));
    return parsed;
  }
  Dialect dialect_ = Dialect::of("bai-submit");
  OptionTable table_ = submit_table(dialect_);
  OptionParser parser_{table_};
};

TEST_F(ScriptTest, reads_until_the_first_command) {
  auto parsed =
      directives("#!/bin/sh\n\n# comment\n#SBATCH -J early -n 4\n  # more\necho\n#SBATCH -J late\n");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->value_or("job-name", ""), "early");
  EXPECT_EQ(parsed->value_or("ntasks", ""), "4");
}

TEST_F(ScriptTest, bai_lines_win) {
  auto parsed = directives("#!/bin/sh\n#BAI --time=10\n#SBATCH --time=20 --nodes=2\n");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->value_or("time", ""), "10");
  EXPECT_EQ(parsed->value_or("nodes", ""), "2");
}

TEST_F(ScriptTest, quotes_and_comments_in_a_line) {
  auto parsed =
      directives("#!/bin/sh\n#SBATCH --comment=\"two words\" # why\n#SBATCHX -J no\n##SBATCH -J no\n");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->value_or("comment", ""), "two words");
  EXPECT_FALSE(parsed->has("job-name"));
}

TEST_F(ScriptTest, errors_name_the_line) {
  auto unknown = directives("#!/bin/sh\n#SBATCH -n 1\n#SBATCH --tme=3\n");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().place, "job.sh:3");
  EXPECT_EQ(unknown.error().code, "bad_option");
  EXPECT_EQ(directives("#!/bin/sh\n#BAI --comment=\"open\n").error().place, "job.sh:2");
  EXPECT_FALSE(directives("#!/bin/sh\n#BAI --wrap=true\n").ok());
}

TEST_F(ScriptTest, judges_the_text) {
  EXPECT_TRUE(check_script(script("#!/bin/sh\n"), 100).ok());
  EXPECT_EQ(check_script(script(""), 100).error().message, "Batch script is empty!");
  EXPECT_TRUE(check_script(script("echo\n"), 100)
                  .error()
                  .message.starts_with("This does not look like a batch script."));
  EXPECT_TRUE(check_script(script("#!/bin/sh\r\n"), 100)
                  .error()
                  .message.starts_with("Batch script contains DOS line breaks"));
  EXPECT_EQ(check_script(script(std::string("#!/bin/sh\n\0", 11)), 100).error().code, "bad_script");
  EXPECT_EQ(check_script(script("#!/bin/sh\n"), 5).error().code, "script_too_large");
}

TEST_F(ScriptTest, wrap_is_a_shell_script) {
  EXPECT_EQ(wrap_script(Dialect::of("/usr/bin/sbatch"), "a && b").text,
            "#!/bin/sh\n# This script was created by sbatch --wrap.\n\na && b\n");
}

TEST_F(ScriptTest, a_missing_file_is_named) {
  auto missing = read_script_file("no-such-file", "/", nullptr, 10);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().message, "Unable to open file no-such-file");
}

}  // namespace
}  // namespace bai::cli
