#include "cli/session.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <thread>

#include "base/paths.h"
#include "cli/slurm_options.h"

namespace bai::cli {
namespace {

using Clock = wire::Client::Clock;

constexpr std::chrono::milliseconds kBusyPauseMin{50}, kBusyPauseMax{1000};

}  // namespace

Result<Session> Session::open(const Parsed& parsed, const Reporter& reporter) {
  auto config = load_client_config(find_config(parsed.value_or("conf", ""), kConfFile));
  if (!config.ok()) return config.error();
  if (const auto other = other_cluster(parsed, config->cluster_name)) return *other;
  std::string endpoint = config->ctld_endpoint();
  return Session(std::move(*config), std::move(endpoint), reporter);
}

Session::Session(ClientConfig config, std::string endpoint, const Reporter& reporter)
    : config_(std::move(config)), endpoint_(std::move(endpoint)), reporter_(&reporter) {
  wire::ClientOptions options;
  options.endpoints = {endpoint_};
  options.hello.munge_socket = config_.munge_socket;
  options.hello.daemon_uid = config_.bai_uid;
  if (!config_.cluster_id.empty()) {
    cluster_ = config_.cluster_id;
    options.hello.cluster_uuid = cluster_->hex();
  }
  options.hello.role = wire::Role::command;
  options.hello.daemon_role = wire::Role::controller;
  options.notice = [reporter = reporter_](const std::string& text) { reporter->note(text); };
  client_ = std::make_unique<wire::Client>(std::move(options));
}

Error Session::unexpected() {
  return Error{"bad_message", "the controller answered with something else than was asked for", "",
               "check that bai-ctld and this command are of the same version"};
}

Clock::time_point Session::deadline(bool patient) const {
  if (patient) return Clock::now() + std::chrono::hours(24 * 365 * 10);
  return Clock::now() +
         std::chrono::seconds(quick_ > 0 ? quick_ : std::max<Seconds>(1, config_.message_timeout));
}

// Over a connection that stands. Client notices only what it tries itself, so the sentence after a second is said here.
Result<std::string> Session::receive_bytes(Clock::time_point until, bool patient) {
  if (patient) return client_->next(until);
  const auto soon = std::min(until, Clock::now() + std::chrono::seconds(1));
  auto message = client_->next(soon);
  if (message.ok() || message.error().code != "timeout" || soon == until) return message;
  reporter_->note("waiting for bai-ctld at " + endpoint_);
  return client_->next(until);
}

Result<wire::ReplyBody> Session::ask(wire::RequestBody body, std::optional<RequestId> id, bool patient) {
  wire::Request request;
  request.id = id ? *id : RequestId::ordered();
  request.repeat = id.has_value();  // somebody gave it because it may have been sent before
  request.body = std::move(body);
  return transact(request, false, patient);
}

// "busy" is the one refusal that is not passed on at once: nothing was done, and soon there will be room.
Result<wire::ReplyBody> Session::transact(wire::Request& request, bool sent, bool patient) {
  const auto until = deadline(patient);
  const auto notice_at = Clock::now() + std::chrono::seconds(1);
  bool noticed = false;
  for (auto pause = kBusyPauseMin;; pause = std::min(pause * 2, kBusyPauseMax)) {
    auto reply = try_once(request, sent, until, patient);
    if (reply.ok() || reply.error().code != "busy" || Clock::now() + pause >= until) return reply;
    sent = request.repeat;
    if (!noticed && Clock::now() >= notice_at) {
      noticed = true;
      reporter_->note("bai-ctld at " + endpoint_ + " is busy; still trying");
    }
    std::this_thread::sleep_for(pause);
  }
}

Result<wire::ReplyBody> Session::try_once(wire::Request& request, bool sent, Clock::time_point until,
                                          bool patient) {
  const bool changing = wire::is_changing(request.body);
  Result<std::string> bytes = Error{"lost", "", "", ""};
  if (connected_ && !sent) {
    sent = true;
    if (client_->send(wire::encode_request(request)).ok()) bytes = receive_bytes(until, patient);
  }
  if (!bytes.ok()) {
    connected_ = false;
    bytes = client_->call(
        [&](bool repeat) {
          request.repeat = request.repeat || repeat || sent;
          return wire::encode_request(request);
        },
        until);
  }
  if (!bytes.ok()) {
    Error error = bytes.error();
    if (changing && (error.code == "outcome_unknown" || (sent && error.code == "unreachable"))) {
      error.code = "outcome_unknown";
      error.remedy = "to settle it, run the command again with --request-id=" + request.id.hex();
    }
    return error;
  }
  connected_ = true;
  auto reply = wire::decode_reply(*bytes);
  // News for an earlier request on this connection may come between.
  while (reply.ok() && reply->id != request.id && !reply->id.empty()) {
    bytes = receive_bytes(until, patient);
    if (!bytes.ok()) {
      connected_ = false;
      return bytes.error();
    }
    reply = wire::decode_reply(*bytes);
  }
  if (!reply.ok()) return reply.error();
  if (auto* refusal = std::get_if<wire::ErrorBody>(&reply->body)) return refusal->error;
  return std::move(reply->body);
}

Result<std::optional<wire::ReplyBody>> Session::next(std::optional<Clock::time_point> until) {
  auto bytes = client_->next(until);
  if (!bytes.ok()) {
    if (bytes.error().code == "timeout") return std::optional<wire::ReplyBody>();
    connected_ = false;
    return bytes.error();
  }
  auto reply = wire::decode_reply(*bytes);
  if (!reply.ok()) return reply.error();
  if (auto* refusal = std::get_if<wire::ErrorBody>(&reply->body)) return refusal->error;
  return std::optional<wire::ReplyBody>(std::move(reply->body));
}

std::string Session::own_address() const {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (getsockname(fd(), reinterpret_cast<sockaddr*>(&name), &size) != 0) return {};
  char text[INET6_ADDRSTRLEN] = "";
  if (name.ss_family == AF_INET)
    inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(&name)->sin_addr, text, sizeof text);
  else if (name.ss_family == AF_INET6)
    inet_ntop(AF_INET6, &reinterpret_cast<sockaddr_in6*>(&name)->sin6_addr, text, sizeof text);
  else if (auto there = wire::resolve_endpoint(endpoint_); there.ok())  // the controller is on this machine
    return there->host;
  return text;
}

Status Session::connect() {
  auto pong = get<wire::PongReply>(wire::PingRequest{});
  if (!pong.ok()) return pong.error();
  cluster_ = pong->lineage.cluster;
  next_job_id_ = pong->lineage.last_job_id + 1;
  return {};
}

Result<Uuid> Session::cluster() {
  if (!cluster_)
    if (auto status = connect(); !status.ok()) return status.error();
  return *cluster_;
}

Status Session::send(const wire::Request& request) {
  Status status = client_->send(wire::encode_request(request));
  if (!status.ok()) connected_ = false;
  return status;
}

Result<std::optional<wire::Reply>> Session::poll_reply() {
  auto bytes = client_->next(Clock::time_point{});
  if (!bytes.ok()) {
    if (bytes.error().code == "timeout") return std::optional<wire::Reply>();
    connected_ = false;
    return bytes.error();
  }
  auto reply = wire::decode_reply(*bytes);
  if (!reply.ok()) return reply.error();
  return std::optional<wire::Reply>(std::move(*reply));
}

Result<wire::Reply> Session::receive() {
  auto bytes = receive_bytes(deadline(false), false);
  if (!bytes.ok()) {
    connected_ = false;
    return bytes.error();
  }
  return wire::decode_reply(*bytes);
}

}  // namespace bai::cli
