// What a command does about a controller that is busy, breaks off or says nothing; over a real connection.
#include "cli/session.h"

#include <gtest/gtest.h>

#include <atomic>

#include "cli/cancel.h"
#include "controller.h"

namespace bai::cli {
namespace {

using test::Controller;

class SessionTest : public wire::test::WithMunged {
 protected:
  // A session as a command makes it.
  Session open(const Controller& controller) {
    words_ = {"bai-cancel", "--conf", controller.conf(), "1"};
    std::vector<const char*> argv;
    for (const auto& word : words_) argv.push_back(word.c_str());
    table_ = cancel_table(dialect_);
    parser_ = std::make_unique<OptionParser>(table_);
    auto parsed = parser_->parse(static_cast<int>(argv.size()), argv.data());
    EXPECT_TRUE(parsed.ok()) << parsed.error().text();
    auto session = Session::open(*parsed, reporter_);
    EXPECT_TRUE(session.ok()) << session.error().text();
    return std::move(*session);
  }

  const Dialect dialect_ = Dialect::of("bai-cancel");
  const Reporter reporter_{dialect_};
  std::vector<std::string> words_;
  OptionTable table_;
  std::unique_ptr<OptionParser> parser_;
};

const wire::ErrorBody kBusy{{"busy", "too many requests wait", "", "try again later"}};

TEST_F(SessionTest, TriesAgainWhileTheControllerIsBusyOnTheSameConnectionAndAsTheSameRequest) {
  Controller controller(munge_socket());
  std::atomic<int> tries{0};
  std::vector<Controller::Conn> conns;
  controller.answer = [&](Controller::Conn conn, const wire::Request& request) {
    conns.push_back(conn);
    controller.reply(conn, request,
                     ++tries < 3 ? wire::ReplyBody(kBusy) : wire::ReplyBody(wire::ActionReply{}));
  };
  auto session = open(controller);
  auto reply = session.get<wire::ActionReply>(wire::ActionRequest{});
  ASSERT_TRUE(reply.ok()) << reply.error().text();
  const auto asked = controller.asked();
  ASSERT_EQ(asked.size(), 3u);
  for (const auto& request : asked) {
    EXPECT_EQ(request.id, asked[0].id);
    EXPECT_FALSE(request.repeat) << "nothing was done, so nothing is repeated";
  }
  EXPECT_EQ(conns, std::vector<Controller::Conn>(3, conns[0]));
}

TEST_F(SessionTest, ABusyRepeatStaysARepeat) {
  Controller controller(munge_socket());
  std::atomic<int> tries{0};
  controller.answer = [&](Controller::Conn conn, const wire::Request& request) {
    controller.reply(conn, request,
                     ++tries < 2 ? wire::ReplyBody(kBusy) : wire::ReplyBody(wire::ActionReply{}));
  };
  auto session = open(controller);
  const RequestId id = RequestId::random();
  ASSERT_TRUE(session.ask(wire::ActionRequest{}, id).ok());
  for (const auto& request : controller.asked()) EXPECT_TRUE(request.repeat && request.id == id);
}

TEST_F(SessionTest, SaysBusyWhenItIsOverTheLimit) {
  Controller controller(munge_socket(), "MessageTimeout=1\n");
  controller.answer = [&](Controller::Conn conn, const wire::Request& request) {
    controller.reply(conn, request, kBusy);
  };
  auto session = open(controller);
  auto reply = session.ask(wire::ActionRequest{});
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().code, "busy");
  EXPECT_GT(controller.asked().size(), 2u);
}

TEST_F(SessionTest, PassesOtherRefusalsOnAtOnce) {
  Controller controller(munge_socket());
  controller.answer = [&](Controller::Conn conn, const wire::Request& request) {
    controller.reply(conn, request, wire::ErrorBody{{"not_permitted", "no", "", ""}});
  };
  auto session = open(controller);
  auto reply = session.ask(wire::ActionRequest{});
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().code, "not_permitted");
  EXPECT_EQ(controller.asked().size(), 1u);
}

TEST_F(SessionTest, AConnectionThatEndsIsFollowedByARepeatOnANewOne) {
  Controller controller(munge_socket());
  std::atomic<int> tries{0};
  controller.answer = [&](Controller::Conn conn, const wire::Request& request) {
    if (++tries < 2) return controller.hang_up(conn);
    controller.reply(conn, request, wire::ActionReply{});
  };
  auto session = open(controller);
  ASSERT_TRUE(session.ask(wire::ActionRequest{}).ok());
  const auto asked = controller.asked();
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_EQ(asked[0].id, asked[1].id);
  EXPECT_FALSE(asked[0].repeat);
  EXPECT_TRUE(asked[1].repeat);
}

TEST_F(SessionTest, SilenceAfterAChangeIsAnUnknownOutcomeAndNamesTheId) {
  Controller controller(munge_socket(), "MessageTimeout=1\n");
  controller.answer = [](Controller::Conn, const wire::Request&) {};
  auto session = open(controller);
  auto change = session.ask(wire::ActionRequest{});
  ASSERT_FALSE(change.ok());
  EXPECT_EQ(change.error().code, "outcome_unknown");
  const auto asked = controller.asked();
  ASSERT_FALSE(asked.empty());
  EXPECT_NE(change.error().remedy.find("--request-id=" + asked[0].id.hex()), std::string::npos);
}

TEST_F(SessionTest, AnAnswerOfTheWrongKindIsAnErrorOfItsOwn) {
  Controller controller(munge_socket());
  auto session = open(controller);
  auto reply = session.get<wire::ActionReply>(wire::ActionRequest{});
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().code, "bad_message");
}

TEST_F(SessionTest, NextSaysNothingAtItsDeadlineAndLosesNothing) {
  Controller controller(munge_socket());
  Controller::Conn conn = 0;
  wire::Request watch;
  controller.answer = [&](Controller::Conn from, const wire::Request& request) {
    conn = from;
    watch = request;
    controller.reply(from, request, wire::JobsReply{});
  };
  auto session = open(controller);
  ASSERT_TRUE(session.get<wire::JobsReply>(wire::WatchRequest{}).ok());
  auto none = session.next(wire::Client::Clock::now());
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->has_value());
  controller.reply(conn, watch, wire::WatchBatch{.lsn = 7, .now = {}, .changed = {}, .gone = {}});
  auto some = session.next();
  ASSERT_TRUE(some.ok() && some->has_value());
  EXPECT_EQ(std::get<wire::WatchBatch>(**some).lsn, 7u);
}

TEST_F(SessionTest, TheClusterIsAskedForOnceAndNotWhenTheConfigurationNamesIt) {
  {
    Controller controller(munge_socket());
    controller.answer = [&](Controller::Conn conn, const wire::Request& request) {
      wire::PongReply pong;
      pong.lineage.cluster.bytes[0] = 42;
      controller.reply(conn, request, pong);
    };
    auto session = open(controller);
    for (int i = 0; i < 2; ++i) {
      auto cluster = session.cluster();
      ASSERT_TRUE(cluster.ok());
      EXPECT_EQ(cluster->bytes[0], 42);
    }
    EXPECT_EQ(controller.asked().size(), 1u);
  }
  const Uuid named = Uuid::random();
  Controller controller(munge_socket(), "ClusterId=" + named.hex() + "\n");
  auto session = open(controller);
  auto cluster = session.cluster();
  ASSERT_TRUE(cluster.ok());
  EXPECT_EQ(*cluster, named);
  EXPECT_TRUE(controller.asked().empty());
}

}  // namespace
}  // namespace bai::cli
