#include "cluster/controller.h"

#include <unistd.h>

#include "wire/client.h"

namespace bai::cluster {
namespace {

using Clock = wire::Client::Clock;

wire::Client make_client(const Settings& settings) {
  wire::ClientOptions options;
  options.endpoints = {"127.0.0.1:" + std::to_string(settings.port)};
  options.hello.munge_socket = munge_socket(settings);
  options.hello.daemon_uid = geteuid();
  return wire::Client(std::move(options));
}

template <class R>
Result<R> take(const Result<std::string>& bytes) {
  if (!bytes.ok()) return bytes.error();
  auto reply = wire::decode_reply(*bytes);
  if (!reply.ok()) return reply.error();
  if (auto* refusal = std::get_if<wire::ErrorBody>(&reply->body)) return refusal->error;
  if (auto* good = std::get_if<R>(&reply->body)) return std::move(*good);
  return Error{"bad_message", "the controller answered with something else than was asked for", "", ""};
}

template <class R>
Result<R> ask(wire::Client& client, wire::RequestBody body, Clock::time_point until) {
  wire::Request request{RequestId::ordered(), false, std::move(body)};
  return take<R>(client.call(
      [&](bool repeat) {
        request.repeat = repeat;
        return wire::encode_request(request);
      },
      until));
}

}  // namespace

Result<wire::PongReply> ping(const Settings& settings, std::chrono::milliseconds limit) {
  auto client = make_client(settings);
  return ask<wire::PongReply>(client, wire::PingRequest{}, Clock::now() + limit);
}

Result<std::vector<Node>> nodes(const Settings& settings, std::chrono::milliseconds limit) {
  auto client = make_client(settings);
  auto reply = ask<wire::ClusterReply>(client, wire::ClusterRequest{}, Clock::now() + limit);
  if (!reply.ok()) return reply.error();
  return std::move(reply->nodes);
}

Status cancel_all(const Settings& settings, std::chrono::milliseconds limit) {
  auto client = make_client(settings);
  auto reply = ask<wire::ActionReply>(client, wire::ActionRequest{}, Clock::now() + limit);
  return reply.ok() ? Status() : Status(reply.error());
}

Result<std::size_t> unfinished_jobs(const Settings& settings, std::chrono::milliseconds limit) {
  const auto until = Clock::now() + limit;
  auto client = make_client(settings);
  auto reply = ask<wire::JobsReply>(client, wire::QueueRequest{}, until);
  std::size_t count = 0;
  for (;;) {
    if (!reply.ok()) return reply.error();
    count += reply->table.rows.size();
    if (!reply->more) return count;
    reply = take<wire::JobsReply>(client.next(until));
  }
}

}  // namespace bai::cluster
