// bai-submit --bulk against a controller that takes, refuses, is busy or hangs up.
#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "base/text.h"
#include "cli/submit.h"
#include "controller.h"

namespace bai::cli {
namespace {

using test::Controller;

class BulkTest : public wire::test::WithMunged {
 protected:
  // Runs it on these lines; standard output, and the status in `status`.
  std::vector<std::string> run(const Controller& controller, const std::string& lines,
                               std::vector<std::string> more = {}) {
    const std::string path = controller.path("lines");
    std::ofstream(path) << lines;
    std::vector<std::string> words = {"bai-submit", "--conf", controller.conf(), "--bulk", path};
    words.insert(words.end(), more.begin(), more.end());
    std::vector<const char*> argv;
    for (const auto& word : words) argv.push_back(word.c_str());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    status = run_submit(Dialect::of("bai-submit"), static_cast<int>(argv.size()), argv.data());
    errors = ::testing::internal::GetCapturedStderr();
    const std::string out = ::testing::internal::GetCapturedStdout();
    std::vector<std::string> printed;
    for (auto line : split_list(out, '\n')) printed.emplace_back(line);
    return printed;
  }

  // Takes every job, and numbers them by when they came.
  wire::ReplyBody taken(const wire::SubmitRequest& request) {
    wire::SubmitReply reply;
    for (const auto& job : request.jobs) {
      wire::JobResult result;
      result.ref.job = ++last_id;
      names[last_id] = job.spec.name.str();
      reply.results.push_back(result);
    }
    return reply;
  }
  void serve(Controller& controller) {
    controller.answer = [this, &controller](Controller::Conn conn, const wire::Request& request) {
      if (auto* submit = std::get_if<wire::SubmitRequest>(&request.body))
        controller.reply(conn, request, taken(*submit));
      else
        controller.reply(conn, request, wire::PongReply{});
    };
  }
  static std::vector<wire::Request> submissions(const Controller& controller) {
    std::vector<wire::Request> out;
    for (const auto& request : controller.asked())
      if (std::holds_alternative<wire::SubmitRequest>(request.body)) out.push_back(request);
    return out;
  }
  static std::string many(int count) {
    std::string out;
    for (int i = 1; i <= count; ++i)
      out += R"({"script": "#!/bin/sh\ntrue\n", "name": "j)" + std::to_string(i) + "\"}\n";
    return out;
  }

  int status = -1;
  std::string errors;
  JobId last_id = 0;
  std::map<JobId, std::string> names;
};

TEST_F(BulkTest, PrintsTheIdsInTheOrderOfTheLinesOverManyBatches) {
  Controller controller(munge_socket());
  serve(controller);
  const auto printed = run(controller, many(1201));
  EXPECT_EQ(status, 0) << errors;
  ASSERT_EQ(printed.size(), 1201u);
  for (int i = 1; i <= 1201; ++i)
    EXPECT_EQ(names[static_cast<JobId>(std::stoul(printed[i - 1]))], "j" + std::to_string(i));
  const auto sent = submissions(controller);
  EXPECT_EQ(sent.size(), 3u);
  std::set<std::string> ids;
  for (const auto& request : sent) {
    ids.insert(request.id.hex());
    EXPECT_FALSE(request.repeat);
    EXPECT_EQ(std::get<wire::SubmitRequest>(request.body).contents.size(), 2u)
        << "one script, one environment";
  }
  EXPECT_EQ(ids.size(), 3u);
}

TEST_F(BulkTest, ALineThatIsWrongIsThatLinesErrorAndKeepsNoOtherOut) {
  Controller controller(munge_socket());
  serve(controller);
  const auto printed = run(controller,
                           "{\"script\": \"#!/bin/sh\\n\", \"nmae\": \"x\"}\n"
                           "not json\n"
                           "\n"
                           "{\"wrap\": \"true\"}\n"
                           "[1]\n"
                           "{\"name\": \"nothing to run\"}\n"
                           "{\"script\": \"#!/bin/sh\\n\", \"wrap\": \"true\"}\n"
                           "{\"wrap\": \"true\", \"ntasks\": true}\n"
                           "{\"wrap\": \"true\", \"hold\": 1}\n"
                           "{\"wrap\": \"true\", \"time\": \"soon\"}\n"
                           "{\"wrap\": \"true\", \"hold\": false, \"comment\": null, \"nice\": 5}\n");
  EXPECT_EQ(status, 1);
  ASSERT_EQ(printed.size(), 10u);
  EXPECT_TRUE(printed[0].starts_with("error: 1: ") && printed[0].find("name") != std::string::npos)
      << printed[0];
  EXPECT_TRUE(printed[1].starts_with("error: 2: "));
  EXPECT_EQ(printed[2], "1") << "an empty line counts, and is none";
  for (int line : {5, 6, 7, 8, 9, 10})
    EXPECT_TRUE(printed[line - 2].starts_with("error: " + std::to_string(line) + ": ")) << printed[line - 2];
  EXPECT_EQ(printed[9], "2");
}

TEST_F(BulkTest, TheControllersRefusalIsTheLinesOwn) {
  Controller controller(munge_socket());
  controller.answer = [&](Controller::Conn conn, const wire::Request& request) {
    auto* submit = std::get_if<wire::SubmitRequest>(&request.body);
    if (!submit) return controller.reply(conn, request, wire::PongReply{});
    auto reply = std::get<wire::SubmitReply>(taken(*submit));
    reply.results[1] = {{}, wire::ErrorBody{{"too_many_jobs", "MaxJobCount", "", "wait"}}, ""};
    controller.reply(conn, request, reply);
  };
  auto printed = run(controller, many(3));
  EXPECT_EQ(status, 1);
  ASSERT_EQ(printed.size(), 3u);
  EXPECT_EQ(printed[0], "1");
  EXPECT_TRUE(printed[1].starts_with("error: 2: ") && printed[1].find("MaxJobCount") != std::string::npos);
  EXPECT_EQ(printed[2], "3");
  printed = run(controller, many(2), {"--json"});
  EXPECT_EQ(printed[0], R"({"line":1,"job_id":4})");
  EXPECT_TRUE(printed[1].starts_with(R"({"line":2,"error":{"code":"too_many_jobs")")) << printed[1];
}

TEST_F(BulkTest, ALinesOwnWordCountsMoreThanTheCommandLineAndThatMoreThanTheScript) {
  Controller controller(munge_socket());
  serve(controller);
  const std::string script = R"("script": "#!/bin/sh\n#BAI -J directive\n#BAI --comment=directive\n")";
  run(controller, "{" + script + "}\n{" + script + R"(, "name": "line"})" + "\n", {"-J", "command-line"});
  ASSERT_EQ(status, 0) << errors;
  const auto sent = submissions(controller);
  ASSERT_EQ(sent.size(), 1u);
  const auto& jobs = std::get<wire::SubmitRequest>(sent[0].body).jobs;
  EXPECT_EQ(jobs[0].spec.name.str(), "command-line");
  EXPECT_EQ(jobs[1].spec.name.str(), "line");
  EXPECT_EQ(jobs[0].spec.extras().comment, "directive");
}

TEST_F(BulkTest, ABatchThatIsToldBusyIsSentAgainAndKeepsItsPlace) {
  Controller controller(munge_socket());
  std::atomic<int> tries{0};
  std::optional<RequestId> unlucky;
  controller.answer = [&](Controller::Conn conn, const wire::Request& request) {
    auto* submit = std::get_if<wire::SubmitRequest>(&request.body);
    if (!submit) return controller.reply(conn, request, wire::PongReply{});
    if (!unlucky) unlucky = request.id;
    if (request.id == *unlucky && ++tries <= 2)
      return controller.reply(conn, request, wire::ErrorBody{{"busy", "too many", "", "later"}});
    controller.reply(conn, request, taken(*submit));
  };
  const auto printed = run(controller, many(1100));
  EXPECT_EQ(status, 0) << errors;
  ASSERT_EQ(printed.size(), 1100u);
  for (int i = 1; i <= 1100; ++i)
    EXPECT_EQ(names[static_cast<JobId>(std::stoul(printed[i - 1]))], "j" + std::to_string(i));
  for (const auto& request : submissions(controller)) EXPECT_FALSE(request.repeat);
}

TEST_F(BulkTest, WhatWasUnderWayWhenTheConnectionEndedIsSettledByItsIds) {
  Controller controller(munge_socket());
  std::atomic<int> tries{0};
  controller.answer = [&](Controller::Conn conn, const wire::Request& request) {
    auto* submit = std::get_if<wire::SubmitRequest>(&request.body);
    if (!submit) return controller.reply(conn, request, wire::PongReply{});
    if (++tries == 2) return controller.hang_up(conn);
    if (request.repeat || tries < 2) controller.reply(conn, request, taken(*submit));
  };
  const auto printed = run(controller, many(1100));
  EXPECT_EQ(status, 0) << errors;
  ASSERT_EQ(printed.size(), 1100u);
  for (int i = 1; i <= 1100; ++i)
    EXPECT_EQ(names[static_cast<JobId>(std::stoul(printed[i - 1]))], "j" + std::to_string(i));
  std::map<std::string, std::pair<int, int>> seen;  // id: first tries, repeats
  for (const auto& request : submissions(controller))
    ++(request.repeat ? seen[request.id.hex()].second : seen[request.id.hex()].first);
  EXPECT_EQ(seen.size(), 3u);
  int repeats = 0;
  for (const auto& [id, count] : seen) {
    EXPECT_LE(count.first, 1) << "sent as if for the first time twice";
    repeats += count.second;
  }
  EXPECT_GE(repeats, 1);
}

TEST_F(BulkTest, RequestIdMakesTheSameBatchesAgainAndSaysSo) {
  const std::string id = RequestId::random().hex();
  std::vector<std::string> first, second, other;
  for (auto* ids : {&first, &second, &other}) {
    Controller controller(munge_socket());
    serve(controller);
    run(controller, many(700), {"--request-id", ids == &other ? RequestId::random().hex() : id});
    EXPECT_EQ(status, 0) << errors;
    for (const auto& request : submissions(controller)) {
      ids->push_back(request.id.hex());
      EXPECT_TRUE(request.repeat);
    }
  }
  EXPECT_EQ(first.size(), 2u);
  EXPECT_EQ(first, second);
  EXPECT_NE(first, other);
}

TEST_F(BulkTest, AnUnknownOutcomeNamesTheIdThatSettlesIt) {
  Controller controller(munge_socket(), "MessageTimeout=1\n");
  controller.answer = [&](Controller::Conn conn, const wire::Request& request) {
    if (!std::holds_alternative<wire::SubmitRequest>(request.body))
      controller.reply(conn, request, wire::PongReply{});
  };
  const auto printed = run(controller, many(2));
  EXPECT_EQ(status, 1);
  ASSERT_EQ(printed.size(), 2u);
  const auto at = printed[0].find("--request-id=");
  ASSERT_NE(at, std::string::npos) << printed[0];
  EXPECT_TRUE(printed[0].starts_with("error: 1: "));
  const std::string id = printed[0].substr(at + 13, 32);
  Controller again(munge_socket());
  serve(again);
  run(again, many(2), {"--request-id", id});
  EXPECT_EQ(submissions(again)[0].id, submissions(controller)[0].id);
}

}  // namespace
}  // namespace bai::cli
