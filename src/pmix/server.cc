#include "pmix/server.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#ifdef BAI_HAVE_PMIX
#include <pmix.h>
#include <pmix_server.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "base/fd.h"
#include "pmix/exchange.h"
#include "step/pmix_frames.h"
#include "step/stream_frames.h"
#endif

namespace bai::pmix {

#ifdef BAI_HAVE_PMIX

namespace {

using step::PmixFrameType;

constexpr unsigned kFarewellSeconds = 2;  // the shepherd's patience is a little longer

// Attributes for libpmix, which copies values.
class Attributes {
 public:
  Attributes() = default;
  ~Attributes() {
    for (auto& info : all_) PMIX_INFO_DESTRUCT(&info);
  }
  Attributes(Attributes&&) = default;
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;

  void text(const char* key, const std::string& value) { load(key, value.c_str(), PMIX_STRING); }
  void u32(const char* key, std::uint32_t value) { load(key, &value, PMIX_UINT32); }
  void u16(const char* key, std::uint32_t value) {
    const auto small = static_cast<std::uint16_t>(value);
    load(key, &small, PMIX_UINT16);
  }
  void rank(const char* key, pmix_rank_t value) { load(key, &value, PMIX_PROC_RANK); }
  void flag(const char* key, bool value) { load(key, &value, PMIX_BOOL); }
  // A map of libpmix's own making.
  void map(const char* key, const char* value) { load(key, value, PMIX_REGEX); }
  void nested(const char* key, Attributes& inner) {
    pmix_data_array_t array{PMIX_INFO, inner.size(), inner.data()};
    load(key, &array, PMIX_DATA_ARRAY);
  }
  pmix_info_t* data() { return all_.data(); }
  std::size_t size() const { return all_.size(); }

 private:
  void load(const char* key, const void* value, pmix_data_type_t type) {
    pmix_info_t& info = all_.emplace_back();
    PMIX_INFO_CONSTRUCT(&info);
    PMIX_INFO_LOAD(&info, key, value, type);
  }
  std::vector<pmix_info_t> all_;
};

bool done(pmix_status_t status) { return status == PMIX_SUCCESS || status == PMIX_OPERATION_SUCCEEDED; }

class Server {
 public:
  explicit Server(int socket);
  // Nothing to say: it serves; else why it does not.
  std::string begin(std::string_view plan);
  void take(std::string_view body);
  void tell(PmixFrameType type, std::string_view body);

  void joined(std::uint32_t rank) { tell(PmixFrameType::kJoined, step::u32_payload({rank})); }
  void left(std::uint32_t rank) { tell(PmixFrameType::kLeft, step::u32_payload({rank})); }
  void abort(std::uint32_t rank, int status, const char* words) {
    tell(PmixFrameType::kAbort,
         step::u32_payload({rank, static_cast<std::uint32_t>(status)}) + (words ? words : ""));
  }
  pmix_status_t fence(const pmix_proc_t* procs, std::size_t count, std::string_view data,
                      pmix_modex_cbfunc_t over, void* context);
  pmix_status_t ask(const pmix_proc_t& proc, pmix_modex_cbfunc_t over, void* context);
  // Of PMIx_server_dmodex_request().
  void found(std::uint32_t node, std::uint64_t ticket, pmix_status_t status, std::string_view data);

 private:
  struct Waiting {
    pmix_modex_cbfunc_t over;
    void* context;
  };
  // What an Exchange wants done, outside its lock: libpmix may call back at once.
  struct Task {
    Waiting waiting{};
    pmix_status_t status = PMIX_SUCCESS;
    std::string data;
    bool asked = false;
    std::uint32_t node = 0, rank = 0;
    std::uint64_t ticket = 0;
  };
  std::string world(Attributes* out) const;
  std::vector<std::uint32_t> own_ranks() const;
  void over(std::uint64_t ticket, pmix_status_t status, std::string data);
  void run_tasks(std::unique_lock<std::mutex>& lock);
  void request(const Task& task);

  const int socket_;
  std::mutex writing_;
  step::PmixPlan plan_;
  std::mutex mutex_;  // of what follows
  Exchange exchange_;
  std::map<std::uint64_t, Waiting> waiting_;
  std::uint64_t next_ticket_ = 1;
  std::vector<Task> tasks_;
};

// libpmix calls back without saying on whose behalf.
Server* the_server = nullptr;

Server::Server(int socket) : socket_(socket), exchange_(0, {}) {}

void Server::tell(PmixFrameType type, std::string_view body) {
  const std::lock_guard lock(writing_);
  // Without a shepherd there is nothing left to do.
  if (!write_all(socket_, step::encode_pmix_frame(type, body)).ok()) _exit(0);
}

std::vector<std::uint32_t> Server::own_ranks() const {
  std::vector<std::uint32_t> out;
  for (std::uint32_t rank = 0; rank < plan_.rank_nodes.size(); ++rank)
    if (plan_.rank_nodes[rank] == plan_.node_index) out.push_back(rank);
  return out;
}

// The attributes that a world has (PMIx 4.1, "Job-level information"), as OpenMPI 4.1 needs them.
std::string Server::world(Attributes* out) const {
  const auto size = static_cast<std::uint32_t>(plan_.rank_nodes.size());
  std::vector<std::string> ranks_of(plan_.node_names.size());
  std::vector<std::uint32_t> local(size), counts(plan_.node_names.size());
  for (std::uint32_t rank = 0; rank < size; ++rank) {
    const std::uint32_t node = plan_.rank_nodes[rank];
    ranks_of[node] += (ranks_of[node].empty() ? "" : ",") + std::to_string(rank);
    local[rank] = counts[node]++;
  }
  std::string names, ranks;
  for (std::size_t node = 0; node < plan_.node_names.size(); ++node) {
    names += (node ? "," : "") + plan_.node_names[node];
    ranks += (node ? ";" : "") + ranks_of[node];
  }
  char* node_map = nullptr;
  char* rank_map = nullptr;
  if (!done(PMIx_generate_regex(names.c_str(), &node_map)) ||
      !done(PMIx_generate_ppn(ranks.c_str(), &rank_map)))
    return "the map of ranks and nodes cannot be made";
  out->map(PMIX_NODE_MAP, node_map);
  out->map(PMIX_PROC_MAP, rank_map);
  free(node_map);
  free(rank_map);
  const auto own = own_ranks();
  const auto here = static_cast<std::uint32_t>(own.size());
  out->text(PMIX_JOBID, plan_.nspace);
  out->u32(PMIX_UNIV_SIZE, size);
  out->u32(PMIX_JOB_SIZE, size);
  out->u32(PMIX_MAX_PROCS, size);
  out->u32(PMIX_APP_SIZE, size);
  out->u32(PMIX_JOB_NUM_APPS, 1);
  out->u32(PMIX_NUM_NODES, static_cast<std::uint32_t>(plan_.node_names.size()));
  out->u32(PMIX_LOCAL_SIZE, here);
  out->u32(PMIX_NODE_SIZE, here);
  out->text(PMIX_LOCAL_PEERS, ranks_of[plan_.node_index]);
  out->rank(PMIX_LOCALLDR, own.front());
  out->rank(PMIX_APPLDR, 0);
  out->u32(PMIX_NODEID, plan_.node_index);
  out->text(PMIX_HOSTNAME, plan_.node_names[plan_.node_index]);
  out->text(PMIX_TMPDIR, plan_.directory);
  out->text(PMIX_NSDIR, plan_.directory);
  out->flag(PMIX_TDIR_RMCLEAN, true);  // the shepherd removes it
  for (std::uint32_t rank = 0; rank < size; ++rank) {
    const std::uint32_t node = plan_.rank_nodes[rank];
    Attributes about;
    about.rank(PMIX_RANK, rank);
    about.u32(PMIX_APPNUM, 0);
    about.rank(PMIX_GLOBAL_RANK, rank);
    about.rank(PMIX_APP_RANK, rank);
    about.u16(PMIX_LOCAL_RANK, local[rank]);
    about.u16(PMIX_NODE_RANK, local[rank]);
    about.u32(PMIX_NODEID, node);
    about.text(PMIX_HOSTNAME, plan_.node_names[node]);
    if (node == plan_.node_index) about.text(PMIX_PROCDIR, plan_.directory);
    out->nested(PMIX_PROC_DATA, about);
  }
  return {};
}

namespace callback {

pmix_status_t connected(const pmix_proc_t* proc, void*, pmix_info_t*, std::size_t, pmix_op_cbfunc_t over,
                        void* context) {
  the_server->joined(proc->rank);
  if (over) over(PMIX_SUCCESS, context);
  return PMIX_SUCCESS;
}

pmix_status_t finalized(const pmix_proc_t* proc, void*, pmix_op_cbfunc_t over, void* context) {
  the_server->left(proc->rank);
  if (over) over(PMIX_SUCCESS, context);
  return PMIX_SUCCESS;
}

pmix_status_t abort(const pmix_proc_t* proc, void*, int status, const char* words, pmix_proc_t*, std::size_t,
                    pmix_op_cbfunc_t over, void* context) {
  the_server->abort(proc->rank, status, words);
  if (over) over(PMIX_SUCCESS, context);
  return PMIX_SUCCESS;
}

pmix_status_t fence(const pmix_proc_t* procs, std::size_t count, const pmix_info_t*, std::size_t, char* data,
                    std::size_t size, pmix_modex_cbfunc_t over, void* context) {
  return the_server->fence(procs, count, {data, data ? size : 0}, over, context);
}

pmix_status_t direct_modex(const pmix_proc_t* proc, const pmix_info_t*, std::size_t, pmix_modex_cbfunc_t over,
                           void* context) {
  return the_server->ask(*proc, over, context);
}

struct Question {
  std::uint32_t node;
  std::uint64_t ticket;
};
void found(pmix_status_t status, char* data, std::size_t size, void* context) {
  const std::unique_ptr<Question> question(static_cast<Question*>(context));
  the_server->found(question->node, question->ticket, status, {data, data ? size : 0});
}

void release(void* context) { delete static_cast<std::string*>(context); }

}  // namespace callback

// Spawn, connect and the rest are refused: libpmix says PMIX_ERR_NOT_SUPPORTED for what is not here.
pmix_server_module_t module() {
  pmix_server_module_t m{};
  m.client_connected2 = callback::connected;
  m.client_finalized = callback::finalized;
  m.abort = callback::abort;
  m.fence_nb = callback::fence;
  m.direct_modex = callback::direct_modex;
  return m;
}

std::string Server::begin(std::string_view body) {
  auto plan = step::decode_pmix_plan(body);
  if (!plan.ok()) return plan.error().text();
  plan_ = std::move(*plan);
  const auto own = own_ranks();
  if (own.empty()) return "no rank is here";
  Exchange::Hooks hooks;
  hooks.send = [this](std::uint32_t node, const std::string& message) {
    tell(PmixFrameType::kMessage, step::u32_payload({node}) + message);
  };
  hooks.fence_over = [this](std::uint64_t ticket, bool ok, std::string data) {
    over(ticket, ok ? PMIX_SUCCESS : PMIX_ERR_OUT_OF_RESOURCE, std::move(data));
  };
  hooks.asked = [this](std::uint32_t node, std::uint64_t ticket, std::uint32_t rank) {
    Task& task = tasks_.emplace_back();
    task.asked = true;
    task.node = node;
    task.ticket = ticket;
    task.rank = rank;
  };
  hooks.answered = [this](std::uint64_t ticket, std::int32_t status, std::string_view data) {
    over(ticket, status, std::string(data));
  };
  exchange_ = Exchange(plan_.node_index, std::move(hooks));

  Attributes about_us;
  about_us.text(PMIX_SERVER_NSPACE, plan_.nspace + ".server");
  about_us.rank(PMIX_SERVER_RANK, plan_.node_index);
  about_us.text(PMIX_SERVER_TMPDIR, plan_.directory);
  about_us.text(PMIX_SYSTEM_TMPDIR, plan_.directory);
  about_us.text(PMIX_HOSTNAME, plan_.node_names[plan_.node_index]);
  about_us.u32(PMIX_NODEID, plan_.node_index);
  static pmix_server_module_t ours = module();
  if (const auto status = PMIx_server_init(&ours, about_us.data(), about_us.size()); !done(status))
    return std::string("libpmix does not start: ") + PMIx_Error_string(status);
  Attributes its_world;
  if (std::string why = world(&its_world); !why.empty()) return why;
  pmix_proc_t proc;
  PMIX_LOAD_PROCID(&proc, plan_.nspace.c_str(), PMIX_RANK_WILDCARD);
  if (const auto status = PMIx_server_register_nspace(proc.nspace, static_cast<int>(own.size()),
                                                      its_world.data(), its_world.size(), nullptr, nullptr);
      !done(status))
    return std::string("libpmix does not take the world: ") + PMIx_Error_string(status);
  step::PmixEnvironment environment;
  for (const std::uint32_t rank : own) {
    proc.rank = rank;
    if (const auto status =
            PMIx_server_register_client(&proc, plan_.uid, plan_.gid, nullptr, nullptr, nullptr);
        !done(status))
      return std::string("libpmix does not take a rank: ") + PMIx_Error_string(status);
    char** entries = nullptr;
    if (const auto status = PMIx_server_setup_fork(&proc, &entries); !done(status))
      return std::string("libpmix has no environment for a rank: ") + PMIx_Error_string(status);
    for (char** entry = entries; entry && *entry; ++entry) {
      environment[rank].emplace_back(*entry);
      free(*entry);
    }
    free(static_cast<void*>(entries));
  }
  tell(PmixFrameType::kReady, step::encode_pmix_environment(environment));
  return {};
}

pmix_status_t Server::fence(const pmix_proc_t* procs, std::size_t count, std::string_view data,
                            pmix_modex_cbfunc_t over, void* context) {
  std::set<std::uint32_t> nodes;
  std::set<pmix_rank_t> ranks;
  for (std::size_t i = 0; i < count; ++i) {
    if (plan_.nspace != procs[i].nspace) return PMIX_ERR_NOT_SUPPORTED;
    if (procs[i].rank == PMIX_RANK_WILDCARD) {
      ranks.clear();
      nodes.clear();
      nodes.insert(plan_.rank_nodes.begin(), plan_.rank_nodes.end());
      break;
    }
    if (procs[i].rank >= plan_.rank_nodes.size()) return PMIX_ERR_BAD_PARAM;
    ranks.insert(procs[i].rank);
    nodes.insert(plan_.rank_nodes[procs[i].rank]);
  }
  if (nodes.empty()) return PMIX_ERR_BAD_PARAM;
  std::string who;
  for (const auto rank : ranks) who += std::to_string(rank) + ",";  // none: all
  std::unique_lock lock(mutex_);
  const std::uint64_t ticket = next_ticket_++;
  waiting_[ticket] = {over, context};
  exchange_.fence({nodes.begin(), nodes.end()}, who, data, ticket);
  run_tasks(lock);
  return PMIX_SUCCESS;
}

pmix_status_t Server::ask(const pmix_proc_t& proc, pmix_modex_cbfunc_t over, void* context) {
  if (plan_.nspace != proc.nspace || proc.rank >= plan_.rank_nodes.size()) return PMIX_ERR_NOT_FOUND;
  std::unique_lock lock(mutex_);
  const std::uint64_t ticket = next_ticket_++;
  waiting_[ticket] = {over, context};
  exchange_.ask(plan_.rank_nodes[proc.rank], ticket, proc.rank);
  return PMIX_SUCCESS;
}

void Server::over(std::uint64_t ticket, pmix_status_t status, std::string data) {
  const auto waiting = waiting_.find(ticket);
  if (waiting == waiting_.end()) return;
  Task& task = tasks_.emplace_back();
  task.waiting = waiting->second;
  task.status = status;
  task.data = std::move(data);
  waiting_.erase(waiting);
}

void Server::run_tasks(std::unique_lock<std::mutex>& lock) {
  auto tasks = std::exchange(tasks_, {});
  lock.unlock();
  for (Task& task : tasks) {
    if (task.asked) {
      request(task);
    } else if (task.waiting.over) {
      auto* data = new std::string(std::move(task.data));  // until libpmix has used it
      task.waiting.over(task.status, data->data(), data->size(), task.waiting.context, callback::release,
                        data);
    }
  }
}

void Server::request(const Task& task) {
  pmix_proc_t proc;
  PMIX_LOAD_PROCID(&proc, plan_.nspace.c_str(), task.rank);
  auto* question = new callback::Question{task.node, task.ticket};
  const auto status = PMIx_server_dmodex_request(&proc, callback::found, question);
  if (status == PMIX_SUCCESS) return;
  delete question;
  found(task.node, task.ticket, status, {});
}

void Server::found(std::uint32_t node, std::uint64_t ticket, pmix_status_t status, std::string_view data) {
  const std::lock_guard lock(mutex_);
  exchange_.answer(node, ticket, status, data);
}

void Server::take(std::string_view body) {
  if (body.size() < 4) return;
  std::unique_lock lock(mutex_);
  if (auto taken = exchange_.take(step::u32_at(body, 0), body.substr(4)); !taken.ok())
    fprintf(stderr, "%s\n", taken.error().text().c_str());
  run_tasks(lock);
}

// The next frames, handed to `f` until it returns false. True at the end of what the shepherd says.
template <class F>
bool read_frames(int socket, F f) {
  std::string bytes;
  char buffer[65536];
  for (;;) {
    const ssize_t n = read(socket, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return true;
    bytes.append(buffer, static_cast<std::size_t>(n));
    std::string_view rest = bytes;
    for (;;) {
      auto frame = step::take_pmix_frame(&rest);
      if (!frame.ok()) return false;
      if (!*frame) break;
      if (!f(**frame)) return false;
    }
    bytes.erase(0, bytes.size() - rest.size());
  }
}

}  // namespace

std::string library() { return PMIx_Get_version(); }

int serve(int socket) {
  static Server server(socket);  // libpmix's threads use it to the end
  the_server = &server;
  bool begun = false;
  const bool ended = read_frames(socket, [&](const step::PmixFrame& frame) {
    if (frame.type == PmixFrameType::kMessage && begun) {
      server.take(frame.body);
    } else if (frame.type == PmixFrameType::kBegin && !begun) {
      if (const std::string why = server.begin(frame.body); !why.empty()) {
        fprintf(stderr, "%s\n", why.c_str());
        server.tell(PmixFrameType::kFailed, why);
        return false;
      }
      begun = true;
    } else {
      return false;
    }
    return true;
  });
  // libpmix removes what ranks that did not come to their end asked it to, as OpenMPI's do for their shared memory.
  if (begun && ended) {
    signal(SIGALRM, SIG_DFL);
    alarm(kFarewellSeconds);
    PMIx_server_finalize();
  }
  fflush(nullptr);
  _exit(ended ? 0 : 1);
}

#else

std::string library() { return "without libpmix"; }

int serve(int socket) {
  (void)socket;
  fputs("bai was built without libpmix (configure found no headers of it; Debian's package is libpmix-dev)\n",
        stderr);
  return 1;
}

#endif

}  // namespace bai::pmix
