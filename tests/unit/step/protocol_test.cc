#include "step/protocol.h"

#include <gtest/gtest.h>

namespace bai::step {
namespace {

template <class T>
T there_and_back(const T& request) {
  auto back = decode_request(encode_request(request));
  EXPECT_TRUE(back.ok());
  EXPECT_TRUE(std::holds_alternative<T>(*back));
  return std::get<T>(*back);
}

template <class T>
T reply_there_and_back(const T& reply) {
  auto back = decode_reply(encode_reply(reply));
  EXPECT_TRUE(back.ok());
  EXPECT_TRUE(std::holds_alternative<T>(*back));
  return std::get<T>(*back);
}

TEST(StepProtocol, CarriesRequests) {
  const auto s = there_and_back(SignalRequest{12, Scope::kChildren});
  EXPECT_EQ(s.signum, 12u);
  EXPECT_EQ(s.scope, Scope::kChildren);
  auto t = there_and_back(TerminateRequest{EndReason::kPreempted, "for job 8", 1500});
  EXPECT_EQ(t.reason, EndReason::kPreempted);
  EXPECT_EQ(t.message, "for job 8");
  EXPECT_EQ(t.kill_wait_ms, 1500);
  t = there_and_back(TerminateRequest{});
  EXPECT_EQ(t.kill_wait_ms, -1);
  EXPECT_EQ(there_and_back(KillRequest{EndReason::kTimeout, "x"}).reason, EndReason::kTimeout);
  EXPECT_EQ(t.grace_ms, 0);
  EXPECT_EQ(t.notice, Notice::kNone);
  t = there_and_back(TerminateRequest{EndReason::kCancelled, "", -1, 60'000, Notice::kOwnSignalOrTerm});
  EXPECT_EQ(t.grace_ms, 60'000);
  EXPECT_EQ(t.notice, Notice::kOwnSignalOrTerm);
  auto stand = there_and_back(SuspendRequest{true, 1u << 20});
  EXPECT_TRUE(stand.suspended);
  EXPECT_EQ(stand.generation, 1u << 20);
  EXPECT_FALSE(there_and_back(SuspendRequest{false, 3}).suspended);
  there_and_back(QueryRequest{});
  there_and_back(SubscribeRequest{});
  EXPECT_EQ(there_and_back(SetTimeLimitRequest{3600}).time_limit_s, 3600u);
  EXPECT_EQ(there_and_back(UseRequest{7}).query, 7u);
}

TEST(StepProtocol, CarriesReplies) {
  const auto s = reply_there_and_back(StateReply{Phase::kRunning, 10, 11, 12, 13, "mark"});
  EXPECT_EQ(s.phase, Phase::kRunning);
  EXPECT_EQ(s.shepherd_pid, 10);
  EXPECT_EQ(s.script_pid, 11);
  EXPECT_EQ(s.start_us, 12);
  EXPECT_EQ(s.time_limit_s, 13u);
  EXPECT_EQ(s.mark, "mark");
  EXPECT_FALSE(s.suspended);
  EXPECT_TRUE(reply_there_and_back(StateReply{Phase::kRunning, 10, 11, 12, 13, "mark", true}).suspended);
  EXPECT_EQ(reply_there_and_back(RefusedReply{"ended", "why"}).code, "ended");
  StepStatus status;
  status.exit_code = 7;
  status.message = "m";
  EXPECT_EQ(reply_there_and_back(EndedReply{status}).status, status);
  LiveUse use;
  use.tasks = 2;
  use.processes = 300;
  use.cpu_us = {3, 2, 1, 1, 0};
  use.write_bytes = {UINT64_MAX, 5, 4, 70'000, 3};
  use.pids = std::vector<uint32_t>(kMaxLivePids, 4'000'000'000u);
  const auto u = reply_there_and_back(UseReply{9, use});
  EXPECT_EQ(u.query, 9u);
  EXPECT_EQ(u.use, use);
  EXPECT_LE(encode_reply(UseReply{9, use}).size(), kMaxFrame);
}

// Frozen: an old shepherd must understand a new agent.
TEST(StepProtocol, KeepsItsBytes) {
  const std::string field_head("\x02\x00\x08\x00\x00\x00", 6);
  EXPECT_EQ(encode_request(SignalRequest{15, Scope::kAll}),
            std::string("\x01\x00\x01\x00", 4) +
                std::string("\x01\x00\x08\x00\x00\x00\x0f\x00\x00\x00\x00\x00\x00\x00", 14) + field_head +
                std::string("\x01\x00\x00\x00\x00\x00\x00\x00", 8));
  EXPECT_EQ(encode_request(QueryRequest{}), std::string("\x01\x00\x04\x00", 4));
}

TEST(StepProtocol, FitsTheLongestMessageIntoAFrame) {
  const std::string text(1 << 20, 'x');
  EXPECT_LE(encode_request(TerminateRequest{EndReason::kCancelled, text}).size(), kMaxFrame);
  StepStatus status;
  status.message = text;
  const std::string frame = encode_reply(EndedReply{status});
  EXPECT_LE(frame.size(), kMaxFrame);
  EXPECT_TRUE(decode_reply(frame).ok());
}

TEST(StepProtocol, RefusesGarbage) {
  EXPECT_FALSE(decode_request("").ok());
  EXPECT_FALSE(decode_request(std::string("\x02\x00\x04\x00", 4)).ok());              // version
  EXPECT_FALSE(decode_request(std::string("\x01\x00\x63\x00", 4)).ok());              // type
  EXPECT_FALSE(decode_request(std::string("\x01\x00\x01\x00", 4)).ok());              // no signal
  EXPECT_FALSE(decode_request(encode_request(SignalRequest{65, Scope::kAll})).ok());  // no such signal
  EXPECT_FALSE(decode_request(encode_request(SignalRequest{1, static_cast<Scope>(9)})).ok());
  EXPECT_FALSE(decode_request(encode_request(QueryRequest{}) + "x").ok());
  EXPECT_FALSE(decode_reply(encode_request(QueryRequest{})).ok());
  const std::string frame = encode_request(TerminateRequest{EndReason::kCancelled, "message", 5});
  for (size_t n = 0; n < frame.size(); ++n) {
    auto request = decode_request(frame.substr(0, n));
    if (request.ok()) {  // cut at a field's end: fields are optional
      EXPECT_TRUE(std::holds_alternative<TerminateRequest>(*request));
    }
  }
}

}  // namespace
}  // namespace bai::step
