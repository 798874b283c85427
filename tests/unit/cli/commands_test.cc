// Option tables, the dialect and exit statuses.
#include <gtest/gtest.h>

#include "cli/acct.h"
#include "cli/cancel.h"
#include "cli/control.h"
#include "cli/diag.h"
#include "cli/dialect.h"
#include "cli/info.h"
#include "cli/queue.h"
#include "cli/report.h"
#include "cli/slurm_words.h"
#include "cli/stat.h"
#include "cli/submit.h"

namespace bai::cli {
namespace {

using Run = int (*)(const Dialect&, int, const char* const*);

int run(Run command, const char* name, std::vector<const char*> words, std::string* err = nullptr,
        std::string* out = nullptr) {
  words.insert(words.begin(), name);
  ::testing::internal::CaptureStderr();
  ::testing::internal::CaptureStdout();
  const int status = command(Dialect::of(name), static_cast<int>(words.size()), words.data());
  const std::string shown = ::testing::internal::GetCapturedStdout();
  if (out) *out = shown;
  const std::string said = ::testing::internal::GetCapturedStderr();
  if (err) *err = said;
  return status;
}

TEST(Dialect, follows_the_name) {
  EXPECT_TRUE(Dialect::of("/opt/slurm/bin/squeue").slurm);
  EXPECT_FALSE(Dialect::of("build/bin/bai-queue").slurm);
  EXPECT_FALSE(Dialect::of(nullptr).slurm);
  EXPECT_EQ(Dialect::of("sbatch").usage_status, 1);
  EXPECT_EQ(Dialect::of("bai-submit").usage_status, 2);
}

TEST(Commands, tables_hold_together) {
  const Dialect dialect = Dialect::of("bai-x");
  for (const OptionTable& table :
       {submit_table(dialect), queue_table(dialect), info_table(dialect), cancel_table(dialect),
        control_table(dialect), acct_table(dialect), diag_table(dialect), stat_table(dialect)}) {
    EXPECT_EQ(table.repeated(), "");
    for (const auto& option : table.options) EXPECT_NE(option.help[0], '\0') << option.name;
    EXPECT_FALSE(render_help(table).empty());
  }
}

TEST(Commands, typed_wrong_is_2_and_1_in_slurms_dialect) {
  std::string err;
  EXPECT_EQ(run(run_queue, "bai-queue", {"--sates=all"}, &err), 2);
  EXPECT_EQ(err, "bai-queue: --sates: unknown option (did you mean '--states'?)\n");
  EXPECT_EQ(run(run_queue, "squeue", {"--sates=all"}), 1);
  EXPECT_EQ(run(run_queue, "bai-queue", {"-o", "%!"}), 2);
  EXPECT_EQ(run(run_queue, "bai-queue", {"-t", "nonsense"}), 2);
  EXPECT_EQ(run(run_cancel, "bai-cancel", {}), 2);
  EXPECT_EQ(run(run_cancel, "scancel", {}, &err), 1);
  EXPECT_EQ(err, "scancel: error: No job identification provided\n");
  EXPECT_EQ(run(run_cancel, "bai-cancel", {"x7"}), 2);
  EXPECT_EQ(run(run_control, "bai-control", {"hlod", "7"}, &err), 2);
  EXPECT_EQ(err, "bai-control: 'hlod' is not a command (did you mean 'hold'?)\n");
  EXPECT_EQ(run(run_acct, "bai-acct", {"--format=jbid"}), 2);
  EXPECT_EQ(run(run_stat, "bai-stat", {}), 2);
  EXPECT_EQ(run(run_stat, "bai-stat", {"-j", "abc"}), 2);
  EXPECT_EQ(run(run_stat, "sstat", {"-j", "abc"}, &err), 1);
  EXPECT_EQ(err, "sstat: fatal: Bad job/step specified: abc\n");
  EXPECT_EQ(run(run_stat, "sstat", {}, &err), 1);
  EXPECT_EQ(err, "sstat: error: You didn't give me any jobs to stat.\n");
  EXPECT_EQ(run(run_stat, "sstat", {"-j", "1", "-o", "foo"}, &err), 1);
  EXPECT_EQ(err, "sstat: error: Invalid field requested: \"foo\"\n");
  EXPECT_EQ(run(run_info, "bai-info", {"-t", "idel"}), 2);
  EXPECT_EQ(run(run_submit, "bai-submit", {"--request-id=xyz"}), 2);
}

TEST(Commands, versions) {
  std::string out;
  EXPECT_EQ(run(run_submit, "sbatch", {"--version"}, nullptr, &out), 0);
  EXPECT_EQ(out, "slurm-wlm 22.05.8\n");
  EXPECT_EQ(run(run_queue, "bai-queue", {"-V"}, nullptr, &out), 0);
  EXPECT_TRUE(out.starts_with("bai-queue "));
}

TEST(Commands, errors_as_json) {
  EXPECT_EQ(error_json({"bad_x", "a \"b\"", "", "do c"}),
            "{\"error\":{\"code\":\"bad_x\",\"message\":\"a \\\"b\\\"\",\"remedy\":\"do c\"}}\n");
}

TEST(Commands, host_lists_need_no_cluster) {
  std::string out;
  EXPECT_EQ(run(run_control, "bai-control", {"show", "hostnames", "n[1-3]"}, nullptr, &out), 0);
  EXPECT_EQ(out, "n1\nn2\nn3\n");
  EXPECT_EQ(run(run_control, "scontrol", {"show", "hostlist", "n1,n2,n3"}, nullptr, &out), 0);
  EXPECT_EQ(out, "n[1-3]\n");
}

TEST(Commands, slurm_says_its_own_words) {
  EXPECT_EQ(slurm_message({"bad_partition", "x"}), "Invalid partition name specified");
  EXPECT_EQ(slurm_message({"something_else", "a sentence"}), "a sentence");
}

}  // namespace
}  // namespace bai::cli
