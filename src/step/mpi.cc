#include "step/mpi.h"

#include "step/protocol.h"

namespace bai::step {

namespace {

// The first byte of a message between shepherds.
constexpr char kEnd = 1;   // the step is to end: u8 exit code, why
constexpr char kPmi = 2;   // a payload of pmi_space.h: to the first node, or from it to all
constexpr char kPmix = 3;  // of the PMIx servers

std::string message_of(char kind, std::string_view body) {
  std::string out(1, kind);
  out += body;
  return out;
}

}  // namespace

Mpi::Mpi(const StepLaunch& launch, End end) : launch_(launch), plan_(launch.streams), end_(std::move(end)) {}

Status Mpi::begin(const std::string& dir, const std::vector<std::string>& cgroups, int64_t now_ms) {
  if (plan_.node_count > 1) {
    peers_.emplace(
        plan_, Peers::Handlers{[this](uint32_t from, std::string_view message) { on_message(from, message); },
                               [this](const std::string& why) {
                                 if (any_in_mpi()) end(0, why);
                               }});
    if (auto opened = peers_->open(now_ms); !opened.ok()) return opened;
  }
  if (plan_.mpi == MpiKind::kPmi1) {
    if (plan_.node_index == 0) hub_.emplace(plan_.node_count);
    PmiSockets::Handlers handlers;
    handlers.send = [this](const std::string& payload) { tell_pmi(payload); };
    handlers.abort = [this](int exit_code, uint32_t rank) { abort(exit_code, rank, {}); };
    pmi_.emplace(launch_, std::move(handlers));
    return {};
  }
  PmixChild::Handlers handlers;
  handlers.send = [this](uint32_t node, std::string_view message) {
    if (!peers_) return;
    peers_->send(node, message_of(kPmix, message));
  };
  handlers.abort = [this](int exit_code, uint32_t rank, const std::string& words) {
    abort(exit_code, rank, words);
  };
  handlers.broken = [this](const std::string& why) { end(0, why); };
  auto started = PmixChild::start(launch_, dir, cgroups, std::move(handlers));
  if (!started.ok()) return started.error();
  pmix_ = std::move(*started);
  return {};
}

bool Mpi::any_in_mpi() const { return (pmi_ && pmi_->any_in_mpi()) || (pmix_ && pmix_->any_in_mpi()); }

Result<Fd> Mpi::add_task(uint32_t rank, std::vector<std::string>* env) {
  if (pmi_) return pmi_->add_task(rank, env);
  pmix_->add_task(rank, env);
  return Fd();
}

void Mpi::task_ended(uint32_t rank) {
  if (pmi_ ? pmi_->task_ended(rank) : pmix_->task_ended(rank))
    end(0, "task " + std::to_string(rank) + " ended without MPI_Finalize");
}

bool Mpi::reaped(pid_t pid) { return pmix_ && pmix_->reaped(pid); }

int64_t Mpi::all_ended() {
  if (!pmix_) return 0;
  pmix_->let_go();
  return kPmixFarewellMs;
}

void Mpi::abort(int exit_code, uint32_t rank, const std::string& words) {
  end(static_cast<uint8_t>(exit_code), "task " + std::to_string(rank) + " called MPI_Abort(" +
                                           std::to_string(exit_code) + ")" +
                                           (words.empty() ? "" : ": " + words));
}

// Once: what comes after is the consequence.
void Mpi::end(uint8_t exit_code, const std::string& why) {
  if (ending_) return;
  ending_ = true;
  if (peers_) peers_->send(kAllNodes, message_of(kEnd, static_cast<char>(exit_code) + why));
  end_(exit_code, why, true);
}

void Mpi::on_message(uint32_t from, std::string_view message) {
  if (message.empty()) return;
  const std::string_view body = message.substr(1);
  if (message[0] == kEnd && !body.empty()) {
    if (ending_) return;
    ending_ = true;
    end_(static_cast<uint8_t>(body[0]), std::string(body.substr(1, kMaxMessage)), false);
  } else if (message[0] == kPmi) {
    if (hub_)
      meet(from, body);
    else if (from == 0 && pmi_)
      pmi_->take(body);
  } else if (message[0] == kPmix && pmix_) {
    pmix_->take(from, body);
  }
}

void Mpi::tell_pmi(const std::string& payload) {
  if (hub_)
    meet(0, payload);
  else
    peers_->send(0, message_of(kPmi, payload));
}

// At the first node, where all meet.
void Mpi::meet(uint32_t node, std::string_view payload) {
  auto told = hub_->take(node, payload);
  if (!told.ok()) return end(0, told.error().message);
  for (const auto& each : *told) {
    if (peers_) peers_->send(kAllNodes, message_of(kPmi, each));
    pmi_->take(each);
  }
}

bool Mpi::over(int64_t now_ms) {
  if (!peers_) return true;
  peers_->leave(now_ms);
  return peers_->left(now_ms);
}

void Mpi::add_pollfds(std::vector<pollfd>* fds) {
  if (peers_) peers_->add_pollfds(fds);
  if (pmi_) pmi_->add_pollfds(fds);
  if (pmix_) pmix_->add_pollfds(fds, !peers_ || peers_->room());
}

void Mpi::serve(const std::vector<pollfd>& fds, int64_t now_ms) {
  if (pmi_) pmi_->serve(fds);
  if (pmix_) pmix_->serve(fds);
  if (!peers_) return;
  if (any_in_mpi()) peers_->needed(now_ms);
  peers_->serve(fds, now_ms);
}

void Mpi::flush(int64_t now_ms) {
  if (peers_) peers_->flush(now_ms);
}

void Mpi::on_time(int64_t now_ms) {
  if (peers_) peers_->on_time(now_ms);
}

int64_t Mpi::pause_ms(int64_t now_ms) const { return peers_ ? peers_->pause_ms(now_ms) : -1; }

}  // namespace bai::step
