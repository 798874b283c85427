#include "agent/journal.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/fault_disk.h"

namespace bai::agent {
namespace {

AttemptRecord claim(JobId job) {
  AttemptRecord r;
  r.key = {job, 2};
  r.boot_id = "boot";
  r.mark = "0123456789abcdef";
  r.signal_generation = 9;
  return r;
}

TEST(AgentJournal, LastWordCounts) {
  AttemptRecord ended = claim(2);
  ended.ended = true;
  ended.end = wire::AttemptEnd::kShepherdLost;
  ended.exit = {0, 9};
  ended.ended_at = Time{77};
  ended.message = "bai-stepd was lost";
  Lineage lineage;
  lineage.cluster = Uuid::random();
  lineage.epoch = 4;
  lineage.lsn = 5;
  lineage.last_job_id = 6;
  const auto journal =
      decode_journal(encode_attempt(claim(1)) + encode_attempt(claim(2)) + encode_lineage(lineage) +
                     encode_attempt(ended) + encode_forget({1, 2}) + encode_forget({99, 1}));
  EXPECT_FALSE(journal.damaged);
  ASSERT_EQ(journal.attempts.size(), 1u);
  EXPECT_EQ(journal.attempts.begin()->second, ended);
  EXPECT_EQ(journal.lineage.cluster, lineage.cluster);
  EXPECT_EQ(journal.lineage.epoch, 4u);
  EXPECT_EQ(journal.lineage.lsn, 5u);
  EXPECT_EQ(journal.lineage.last_job_id, 6u);
}

TEST(AgentJournal, KeepsWhatShepherdsSaid) {
  AttemptRecord record = claim(1);
  record.status.emplace();
  record.status->reason = step::EndReason::kTimeout;
  record.status->signal = 15;
  record.status->message = "time limit of 60 s reached";
  record.status->use.max_rss_kib = 77;
  record.suspend_generation = 12;
  record.suspended = true;
  const auto journal = decode_journal(encode_attempt(record));
  EXPECT_FALSE(journal.damaged);
  EXPECT_EQ(journal.attempts.at({1, 2}), record);
}

TEST(AgentJournal, EveryCutKeepsWhatIsWhole) {
  const std::string one = encode_attempt(claim(1)), two = encode_attempt(claim(2));
  const std::string both = one + two;
  for (std::size_t n = 0; n <= both.size(); ++n) {
    const auto journal = decode_journal(both.substr(0, n));
    EXPECT_EQ(journal.attempts.size(), n == both.size() ? 2u : n >= one.size() ? 1u : 0u) << n;
    EXPECT_EQ(journal.damaged, n != 0 && n != one.size() && n != both.size()) << n;
  }
}

TEST(AgentJournal, ADamagedRecordHidesNoOther) {
  const std::string one = encode_attempt(claim(1)), two = encode_attempt(claim(2)),
                    three = encode_attempt(claim(3));
  for (std::size_t i = 0; i < two.size(); ++i) {
    std::string bad = two;
    bad[i] = static_cast<char>(bad[i] ^ 0x20);
    const auto journal = decode_journal(one + bad + three);
    EXPECT_TRUE(journal.damaged);
    EXPECT_TRUE(journal.attempts.contains({1, 2})) << i;
    EXPECT_TRUE(journal.attempts.contains({3, 2})) << i;
  }
}

TEST(AgentJournal, AppendsSurviveAPowerCut) {
  char name[] = "/tmp/bai-journal-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const std::string dir = name;
  FaultDisk disk;
  const Env env = disk.env();
  Journal journal(env, dir + "/journal");
  EXPECT_TRUE(journal.read()->attempts.empty());
  ASSERT_TRUE(journal.append(encode_attempt(claim(1))).ok());
  disk.lose_syncs();
  ASSERT_TRUE(journal.append(encode_attempt(claim(2))).ok());
  disk.crash();
  auto left = journal.read();
  ASSERT_TRUE(left.ok());
  EXPECT_EQ(left->attempts.size(), 1u);
  disk.lose_syncs(false);
  ASSERT_TRUE(journal.rewrite(encode_attempt(claim(3))).ok());
  EXPECT_TRUE(journal.read()->attempts.contains({3, 2}));
  EXPECT_TRUE(env.remove_tree(dir).ok());
}

}  // namespace
}  // namespace bai::agent
