// Session: a command's conversation with bai-ctld: configuration, connection, requests and typed replies. Blocks; says after a
// second of silence whom it is waiting for. One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/options.h"
#include "base/result.h"
#include "cli/report.h"
#include "model/config.h"
#include "wire/client.h"
#include "wire/messages.h"

namespace bai::cli {

class Session {
 public:
  // Reads the configuration (--conf, BAI_CONF, the installed one); connects to nothing yet. `reporter` must outlive it.
  static Result<Session> open(const Parsed& parsed, const Reporter& reporter);

  const ClientConfig& config() const { return config_; }
  // "127.0.0.1:6917", for messages.
  const std::string& endpoint() const { return endpoint_; }

  // One request and its first reply. A refusal is an Error; "busy" is one only when the limit has passed. A changing request
  // keeps its id over all tries; a try that may have arrived is repeated as such. Gives up after the configuration's
  // MessageTimeout with "unreachable", "busy" or "outcome_unknown"; the remedy of the latter names the id. `patient`: waits
  // for the reply for ever once it is connected.
  Result<wire::ReplyBody> ask(wire::RequestBody body, std::optional<RequestId> id = {}, bool patient = false);

  // The same, for one kind of reply.
  template <class R>
  Result<R> get(wire::RequestBody body, std::optional<RequestId> id = {}, bool patient = false) {
    return as<R>(ask(std::move(body), id, patient));
  }
  // A further reply to the last request (QueueRequest, WatchRequest), or nothing when the deadline passed.
  Result<std::optional<wire::ReplyBody>> next(std::optional<wire::Client::Clock::time_point> deadline = {});

  // The cluster's identity: the configuration's ClusterId, else asked for once, on the connection that the next request uses.
  Result<Uuid> cluster();
  // A connection that stands.
  Status connect();
  // The id that the next job would get, as of connect().
  JobId next_job_id() const { return next_job_id_; }

  // Several requests under way: send() does not wait, receive() gives whatever reply comes next. The connection must stand
  // (connect() was called). After an error of either, settle() each unanswered request on a new connection.
  Status send(const wire::Request& request);
  Result<wire::Reply> receive();
  // A reply that is here already, without waiting. Error "lost": the connection ended.
  Result<std::optional<wire::Reply>> poll_reply();
  // Requests give up after this long instead of MessageTimeout; 0: MessageTimeout again.
  void be_quick(Seconds limit) { quick_ = limit; }
  // How long one request may take, from now.
  wire::Client::Clock::time_point deadline() const { return deadline(false); }
  Result<wire::ReplyBody> settle(wire::Request request) { return transact(request, true, false); }

  // By which address of this machine nodes reach whoever reaches the controller: numeric; empty when that is not known.
  std::string own_address() const;
  // The connection's socket for poll(), or -1.
  int fd() const { return client_->fd(); }

  template <class R>
  static Result<R> as(Result<wire::ReplyBody> reply) {
    if (!reply.ok()) return reply.error();
    if (auto* good = std::get_if<R>(&*reply)) return std::move(*good);
    return unexpected();
  }

 private:
  Session(ClientConfig config, std::string endpoint, const Reporter& reporter);
  static Error unexpected();
  wire::Client::Clock::time_point deadline(bool patient) const;
  // `sent`: an earlier try of this request may have arrived.
  Result<wire::ReplyBody> transact(wire::Request& request, bool sent, bool patient);
  Result<wire::ReplyBody> try_once(wire::Request& request, bool sent, wire::Client::Clock::time_point until,
                                   bool patient);
  Result<std::string> receive_bytes(wire::Client::Clock::time_point deadline, bool patient);

  ClientConfig config_;
  std::string endpoint_;
  const Reporter* reporter_;
  std::unique_ptr<wire::Client> client_;
  bool connected_ = false;
  std::optional<Uuid> cluster_;
  JobId next_job_id_ = 0;
  Seconds quick_ = 0;
};

}  // namespace bai::cli
