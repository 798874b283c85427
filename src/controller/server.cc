#include "controller/server.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>

#include "base/text.h"
#include "base/thread_name.h"
#include "controller/past_runs.h"
#include "controller/server_impl.h"
#include "sokovan/plugins.h"

extern char** environ;

namespace bai::controller {
namespace {

constexpr std::size_t kOtherFiles = 256;  // descriptors that are not connections, generously

// Connections take descriptors, and the store must not go short of them. Raises the soft limit, which is 1,024 almost everywhere.
std::size_t descriptors(std::size_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit)) return 1024;
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, wanted);
    if (setrlimit(RLIMIT_NOFILE, &limit)) getrlimit(RLIMIT_NOFILE, &limit);
  }
  return static_cast<std::size_t>(std::min<rlim_t>(limit.rlim_cur, wanted));
}

std::uint64_t recording_bytes(const ClusterConfig& config) {
  const auto mib = config.scheduler_recording_mib;
  return mib == 0 || mib > (UINT64_MAX >> 20) ? UINT64_MAX : mib << 20;
}

// Returns the child; 0: there is none.
pid_t send_mail(const std::string& program, const MailOut& mail) {
  std::string subject = mail.subject, to = mail.to, path = program;
  char flag[] = "-s";
  char* argv[] = {path.data(), flag, subject.data(), to.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  int failed = posix_spawn(&pid, path.c_str(), &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed) log::warning("mail could not be sent", {{"program", program}, {"to", mail.to}});
  return failed ? 0 : pid;
}

}  // namespace

void Server::Impl::emit(Output& output) {
  output.generation = generation;
  if (output.effects.config) {
    std::lock_guard lock(mutex);
    config = output.effects.config;
  }
  if (!output.feed.empty()) engine->feed(std::move(output.feed));
  output.feed.clear();
  if (output.batch.first || !output.effects.empty()) committer->put(std::move(output));
}

void Server::Impl::load_machine(Lineage lineage, store::Loaded what) {
  Output output;
  engine->reset(generation);
  MachineStart start{current_config(),   lineage,
                     std::move(what),    env.now(),
                     env.monotonic_ms(), std::exchange(unknown_from, 0),
                     generation};
  machine = std::make_unique<Machine>(std::move(start), output);
  emit(output);
}

void Server::Impl::run_state() {
  name_thread("state");
  auto next_tick = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (!ending) {
    auto items = inputs.take(next_tick);
    Output output;
    std::size_t handled = 0;
    for (auto& item : items) {
      if (auto* lost = std::get_if<Lost>(&item)) {
        log::error("the store is lost: changes are refused until it is back", {{"why", lost->why}});
        if (machine)
          for (ConnId conn : machine->waiting()) listener->close(conn);  // they ask again
        machine.reset();
        output = Output();
      } else if (auto* back = std::get_if<Recovered>(&item)) {
        generation = back->generation;
        careful_until_ms = env.monotonic_ms() + kAnswerMemoryMs;
        load_machine(back->lineage, std::move(back->loaded));
        std::vector<ConnId> all;
        {
          std::lock_guard lock(mutex);
          lost_why.clear();
          for (auto [agent, there] : agents) all.push_back(agent);
        }
        for (ConnId agent : all) listener->close(agent);  // they register anew
      } else {
        take_input(std::get<InputBody>(item), output);
        if (++handled % 1000 == 0) {
          emit(output);
          output = Output();
        }
      }
    }
    if (std::chrono::steady_clock::now() >= next_tick) {
      next_tick = std::chrono::steady_clock::now() + std::chrono::seconds(1);
      take_input(Tick{}, output);
    }
    emit(output);
  }
}

void Server::Impl::take_input(InputBody body, Output& output) {
  if (auto* decided = std::get_if<Decided>(&body); decided && decided->generation != generation) return;
  if (!machine) {
    if (auto* command = std::get_if<FromCommand>(&body))
      send(command->conn, command->request.id,
           wire::ErrorBody{{"store_unavailable", "the store does not take changes now", "", "try again"}});
    return;
  }
  if (auto* command = std::get_if<FromCommand>(&body))
    output.admitted.push_back(std::move(command->admitted));
  machine->handle({env.now(), env.monotonic_ms(), std::move(body)}, output);
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() { stop(); }

Result<std::unique_ptr<Server>> Server::start(const ServerOptions& options) {
  auto impl = std::make_unique<Impl>();
  Impl& s = *impl;
  s.options = options;
  s.config = options.config;
  s.users = std::make_shared<Users>(options.config->bai_uid);
  const ClusterConfig& config = *options.config;

  store::OpenOptions open;
  open.path = config.store_path();
  open.cluster = config.cluster_id;
  if (config.store_type == StoreType::kSqlite) {
    if (auto made = s.env.make_dirs(parent_dir(open.path), 0700); !made) return made.error();
  }
  if (options.accept_loss) open.epoch_step = 100'000;  // more than there can have been since the backup
  const char* kind = config.store_type == StoreType::kSqlite ? "sqlite" : "postgresql";
  auto store = store::open(kind, open);
  // The one before may still be leaving: a killed process holds its lock until its last thread is gone.
  for (auto until = s.env.monotonic_ms() + 3000;
       !store && store.error().code == "locked" && s.env.monotonic_ms() < until;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    store = store::open(kind, open);
  }
  if (!store) return store.error();
  auto loaded = (*store)->load();
  if (!loaded) return loaded.error();
  auto reader = (*store)->open_reader();
  if (!reader) return reader.error();
  loaded->ended = past_runs(**reader);
  auto history = (*store)->open_reader();
  if (!history) return history.error();
  s.opened = (*store)->lineage();
  if (options.accept_loss) {
    // Whatever the agents have seen lies below: nothing that is given out from here on can be mistaken for it.
    s.unknown_from = s.opened.last_job_id + 1;
    store::Batch leap;
    leap.first = s.opened.lsn + 1;
    leap.last = s.opened.lsn + 1'000'000'000;
    leap.last_job_id = s.opened.last_job_id + 1'000'000;
    if (auto done = (*store)->commit(leap); !done) return done.error();
    s.opened = (*store)->lineage();
  }
  s.loaded = std::move(*loaded);
  log::info("store open", {{"store", (*store)->description()},
                           {"jobs", s.loaded.jobs.size()},
                           {"epoch", s.opened.epoch},
                           {"lsn", s.opened.lsn}});

  auto runner = HookRunner::start([&s](HookDone done) { s.inputs.put(InputBody{std::move(done)}); });
  if (!runner) return runner.error();
  s.hooks = std::move(*runner);
  CommitterHooks hooks;
  hooks.now = s.env.now;
  hooks.hook = [&s](HookOut hook) {
    hook.environment.push_back("BAI_CONF=" + s.options.config_path);
    hook.programs = hook_programs(hook.patterns);
    s.hooks->run(std::move(hook));
  };
  hooks.send = [&s](ConnId conn, const std::string& bytes) { return s.listener->send(conn, bytes); };
  hooks.unread = [&s](ConnId conn) { return s.listener->unread(conn); };
  hooks.close = [&s](ConnId conn) { s.listener->close(conn); };
  hooks.mail = [&s](const MailOut& mail) {
    if (const pid_t pid = send_mail(s.current_config()->mail_prog, mail)) s.hooks->adopt(pid);
  };
  hooks.replied = [&s](const RequestId& id) { s.replied(id); };
  hooks.lost = [&s](std::string why) {
    {
      std::lock_guard lock(s.mutex);
      s.lost_why = why;
    }
    s.inputs.put(Impl::Lost{std::move(why)});
  };
  hooks.recovered = [&s](std::uint64_t generation, Lineage lineage, store::Loaded what) {
    s.inputs.put(Impl::Recovered{generation, lineage, std::move(what)});
  };
  hooks.superseded = [&s](std::string why) {
    log::error("another controller has taken over: this one ends", {{"why", why}});
    s.finish(1);
  };
  s.archivist = std::make_unique<Archivist>(std::move(*history));
  s.committer =
      std::make_unique<Committer>(std::move(*store), std::move(*reader), s.board, s.stats, std::move(hooks));
  std::unique_ptr<RecordingFile> recording;
  if (!config.scheduler_recording.empty()) {
    auto made = RecordingFile::create(config.scheduler_recording, recording_bytes(config));
    if (made.ok())
      recording = std::move(*made);
    else  // a question of diagnosis, never of service
      log::error("the scheduler is not recorded", {{"why", made.error().text()}});
  }
  s.engine = std::make_unique<Engine>(
      s.env.now, [&s](Decided decided) { s.inputs.put(InputBody{std::move(decided)}); }, s.stats,
      std::move(recording),
      [&s](std::string_view name) { return sokovan::load_placement(s.current_config()->plugin_dir, name); });

  wire::ListenerOptions listen;
  listen.bind = options.bind;
  if (listen.bind.empty()) {
    // A name would not do: libzmq listens on numbers only, and Debian's /etc/hosts has the host's own name at 127.0.1.1.
    const std::string address = config.ctld_hosts.empty() ? "" : config.ctld_hosts[0].address;
    const bool v4 = !address.empty() && address.find_first_not_of("0123456789.") == address.npos;
    const bool v6 = address.find(':') != address.npos;
    listen.local = config.ctld_endpoint();
    listen.bind = (v4 ? address : v6 ? "[" + address + "]" : "*") + ":" + std::to_string(config.ctld_port);
  }
  listen.max_connections +=
      config.nodes.size();  // each node's session stays; the rest is for those who come and go
  const std::size_t files = descriptors(listen.max_connections + kOtherFiles);
  listen.max_connections = std::min(listen.max_connections, files - std::min(files / 2, kOtherFiles));
  if (listen.max_connections < config.nodes.size() + kOtherFiles)
    log::warning("the limit of open files is too low for all nodes and those who ask: raise LimitNOFILE",
                 {{"limit", files}, {"nodes", config.nodes.size()}});
  listen.max_handshakes = std::min(listen.max_handshakes, listen.max_connections / 2);
  listen.self.munge_socket = config.munge_socket;
  listen.self.cluster_uuid = s.opened.cluster.hex();
  wire::ListenerCallbacks callbacks;
  callbacks.on_message = [&s](ConnId conn, const wire::Caller& caller, const std::string& bytes) {
    s.ready.wait();
    return s.on_message(conn, caller, bytes);
  };
  callbacks.on_closed = [&s](ConnId conn) {
    s.ready.wait();
    s.on_closed(conn);
  };
  s.load_machine(s.opened, std::move(s.loaded));
  auto listener = wire::Listener::start(listen, std::move(callbacks));
  if (!listener) return listener.error();
  s.listener = std::move(*listener);
  s.committer->start();
  s.state_thread = std::thread([&s] { s.run_state(); });
  s.ready.count_down();
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

void Server::stop() {
  if (!impl_ || !impl_->state_thread.joinable()) return;
  Impl& s = *impl_;
  s.ending = true;
  s.inputs.close();
  s.state_thread.join();
  s.engine->stop();
  s.committer->stop();
  s.hooks->stop();
  s.archivist->stop();
  s.listener->stop();
}

void Server::reconfigure() {
  auto fresh = impl_->read_config();
  if (!fresh) {
    log::error("the configuration was not read again", {{"why", fresh.error().text()}});
    return;
  }
  Caller self;
  self.is_operator = true;
  impl_->inputs.put(InputBody{Reconfigure{0, self, {}, *fresh}});
}

void Server::on_end(std::function<void(int)> end) {
  std::lock_guard lock(impl_->mutex);
  impl_->end = std::move(end);
}

std::uint16_t Server::port() const { return impl_->listener->port(); }

}  // namespace bai::controller
