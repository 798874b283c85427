// The server's inside, shared by its two files: server.cc (start, stop, the state thread) and server_requests.cc (what comes
// from the listener's workers). Nobody else includes this.
#pragma once

#include <atomic>
#include <latch>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>

#include "base/env.h"
#include "base/log.h"
#include "controller/archivist.h"
#include "controller/committer.h"
#include "controller/engine.h"
#include "controller/hook_runner.h"
#include "controller/machine.h"
#include "controller/server.h"
#include "controller/users.h"
#include "wire/listener.h"

namespace bai::controller {

inline constexpr std::size_t kMaxWaiting = 128 << 20;  // bytes of requests on their way to the store, about

struct Server::Impl {
  struct Recovered {
    std::uint64_t generation;
    Lineage lineage;
    store::Loaded loaded;
  };
  struct Lost {
    std::string why;
  };
  using Item = std::variant<InputBody, Recovered, Lost>;

  ServerOptions options;
  Env env = Env::real();
  Admission admission{kMaxWaiting};
  Board board;
  Stats stats{env.now()};
  log::Once once;
  Time started = env.now();
  std::shared_ptr<Users> users;
  Channel<Item> inputs;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Committer> committer;
  std::unique_ptr<Archivist> archivist;
  std::unique_ptr<HookRunner> hooks;
  std::unique_ptr<wire::Listener> listener;
  std::thread state_thread;
  std::unique_ptr<Machine> machine;  // the state thread's
  std::uint64_t generation = 0;      // the state thread's
  Lineage opened;                    // as the store was opened
  JobId unknown_from = 0;            // MachineStart's, once
  store::Loaded loaded;
  std::mutex mutex;      // of the five below
  std::string lost_why;  // why changes are refused now; empty: they are taken
  std::function<void(int)> end;
  std::unordered_map<ConnId, bool> agents;
  std::unordered_map<RequestId, std::pair<std::chrono::steady_clock::time_point, std::string>> timed;
  std::shared_ptr<const ClusterConfig> config;
  std::atomic<std::int64_t> careful_until_ms{
      0};  // until then every changing request is looked up in the store
  std::atomic<bool> ending{false};
  std::latch ready{1};  // callbacks wait until everything that they use is there

  void finish(int code) {
    std::function<void(int)> call;
    {
      std::lock_guard lock(mutex);
      call = end;
    }
    if (call) call(code);
  }

  std::shared_ptr<const ClusterConfig> current_config() {
    std::lock_guard lock(mutex);
    return config;
  }

  bool send(ConnId conn, const RequestId& id, wire::ReplyBody body) {
    return listener->send(conn, wire::encode_reply({id, std::move(body)}));
  }

  // ---- the listener's workers (server_requests.cc)
  // True when somebody must hear of it when this connection is gone.
  bool on_message(ConnId conn, const wire::Caller& caller, const std::string& bytes);
  void replied(const RequestId& id);
  void on_agent(ConnId conn, const wire::Caller& caller, const std::string& bytes);
  void on_closed(ConnId conn);
  // True when the request was a read, and was answered or passed to whoever answers it.
  bool answer_read(ConnId conn, const Caller& caller, const wire::Request& request);
  // `bytes`: of the request as it came.
  void take(ConnId conn, Caller caller, wire::Request request, std::size_t bytes);
  void test_only(ConnId conn, const Caller& caller, const wire::Request& request,
                 const wire::SubmitRequest& submit);
  wire::PongReply pong(const View& view);
  wire::DiagReply diagnosis();
  Result<std::shared_ptr<const ClusterConfig>> read_config();

  // ---- the state thread (server.cc)
  void emit(Output& output);
  void load_machine(Lineage lineage, store::Loaded what);
  void run_state();
  void take_input(InputBody body, Output& output);
};

}  // namespace bai::controller
