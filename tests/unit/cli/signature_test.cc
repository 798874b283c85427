// What a command signs is what an agent accepts, and nothing else.
#include "cli/signature.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <set>

#include "../wire/munged.h"
#include "agent/signature.h"
#include "base/env.h"

namespace bai::cli {
namespace {

const Uuid kCluster = Uuid::random();

wire::Submission submission(const std::string& workdir = "/home/ada") {
  wire::Submission job;
  job.spec.workdir = workdir;
  job.spec.uid = getuid();
  job.spec.gid = getgid();
  job.launch.args = {"a", "b c"};
  return job;
}

class SignatureTest : public wire::test::WithMunged {
 protected:
  // The launch of one job of a request, as the controller would order it.
  static wire::LaunchOrder order(const wire::SubmitRequest& request, std::size_t n) {
    wire::LaunchOrder out;
    out.launch = request.jobs[n].launch;
    Job job;
    job.spec = std::make_shared<const JobSpec>(request.jobs[n].spec);
    out.job = std::make_shared<const Job>(std::move(job));
    for (const auto& content : request.contents) {
      if (hash256(content.bytes) == out.launch.script) out.script = content.bytes;
      if (hash256(content.bytes) == out.launch.environment) out.environment = content.bytes;
    }
    return out;
  }
  static std::string judge(const wire::LaunchOrder& order, const Uuid& cluster = kCluster) {
    agent::LaunchPolicy policy;
    policy.munge_socket = munge_socket();
    policy.allow_root = true;
    agent::SignatureCheck check;
    auto status = check.check(order, cluster, policy, Env::real().now());
    return status.ok() ? "" : status.error().code;
  }
};

TEST_F(SignatureTest, EveryJobOfABatchIsAcceptedByOneCredential) {
  SubmitBatch batch;
  for (int i = 0; i < 33; ++i) batch.add(submission(), "#!/bin/sh\n# " + std::to_string(i % 3), "PATH=/bin");
  EXPECT_EQ(batch.size(), 33u);
  auto request = batch.sign(kCluster, munge_socket());
  ASSERT_TRUE(request.ok()) << request.error().text();
  EXPECT_EQ(request->contents.size(), 4u) << "each content travels once";
  std::set<std::string> credentials, nonces;
  for (std::size_t i = 0; i < request->jobs.size(); ++i) {
    EXPECT_EQ(judge(order(*request, i)), "") << i;
    credentials.insert(request->jobs[i].launch.credential);
    nonces.insert(request->jobs[i].launch.nonce.hex());
  }
  EXPECT_EQ(credentials.size(), 1u);
  EXPECT_EQ(nonces.size(), 33u);
  EXPECT_EQ(batch.size(), 0u);
  EXPECT_EQ(batch.bytes(), 0u);
}

TEST_F(SignatureTest, WhatWasSignedCannotBeExchanged) {
  SubmitBatch batch;
  batch.add(submission(), "#!/bin/sh\necho 1\n", "PATH=/bin");
  batch.add(submission("/home/ada/other"), "#!/bin/sh\necho 2\n", "PATH=/bin");
  auto request = batch.sign(kCluster, munge_socket());
  ASSERT_TRUE(request.ok()) << request.error().text();
  const auto good = order(*request, 0), other = order(*request, 1);
  ASSERT_EQ(judge(good), "");
  EXPECT_EQ(judge(good, Uuid::random()), "bad_signature") << "another cluster";

  auto altered = good;
  altered.script += "rm -rf ~\n";
  EXPECT_EQ(judge(altered), "bad_signature") << "script";
  altered = good;
  altered.script = other.script;
  altered.launch.script = other.launch.script;
  EXPECT_EQ(judge(altered), "bad_signature") << "another job's script";
  altered = good;
  altered.launch.args.push_back("c");
  EXPECT_EQ(judge(altered), "bad_signature") << "arguments";
  altered.launch.args = {"a b", "c"};
  EXPECT_EQ(judge(altered), "bad_signature") << "arguments cut elsewhere";
  altered = good;
  altered.environment = "PATH=/tmp";
  altered.launch.environment = hash256(altered.environment);
  EXPECT_EQ(judge(altered), "bad_signature") << "environment";
  altered = good;
  altered.job = other.job;
  EXPECT_EQ(judge(altered), "bad_signature") << "directory";
  altered = good;
  altered.launch.index ^= 1;
  EXPECT_EQ(judge(altered), "bad_signature") << "place in the batch";
  altered = good;
  altered.launch.nonce = Uuid::random();
  EXPECT_EQ(judge(altered), "bad_signature") << "nonce";
  auto spec = *good.job->spec;
  spec.uid += 1;
  Job job = *good.job;
  job.spec = std::make_shared<const JobSpec>(spec);
  altered = good;
  altered.job = std::make_shared<const Job>(job);
  EXPECT_EQ(judge(altered), "bad_signature") << "user";
}

TEST_F(SignatureTest, TheNextBatchSendsItsContentsAgain) {
  SubmitBatch batch;
  for (int i = 0; i < 2; ++i) {
    batch.add(submission(), "#!/bin/sh\n", "PATH=/bin");
    auto request = batch.sign(kCluster, munge_socket());
    ASSERT_TRUE(request.ok());
    EXPECT_EQ(request->contents.size(), 2u);
  }
}

TEST_F(SignatureTest, CountsTheBytesThatGoOut) {
  SubmitBatch batch;
  batch.add(submission(), std::string(100'000, 'x'), std::string(50'000, 'y'));
  const std::size_t once = batch.bytes();
  EXPECT_GT(once, 150'000u);
  batch.add(submission(), std::string(100'000, 'x'), std::string(50'000, 'y'));
  EXPECT_LT(batch.bytes(), once + 2'000) << "shared contents count once";
}

TEST(Signature, WithoutMungeItIsAnErrorThatNamesIt) {
  SubmitBatch batch;
  batch.add(submission(), "#!/bin/sh\n", "");
  auto request = batch.sign(kCluster, "/no/such/socket");
  ASSERT_FALSE(request.ok());
  EXPECT_EQ(request.error().code, "munge_unavailable");
  EXPECT_FALSE(request.error().remedy.empty());
}

}  // namespace
}  // namespace bai::cli
