#include "step/streams.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "step/terminal.h"

namespace bai::step {

namespace {

constexpr size_t kScratch = 64u << 10;
constexpr size_t kLeastRead = 16u << 10;            // a block with less room is left for what is small
constexpr uint32_t kCreditStep = kInputWindow / 4;  // given back at once, or when all was read

constexpr char kEndOfTransmission = 4;  // ^D, which a terminal's line discipline takes as the end of input

bool lasts(int error) { return error == EAGAIN || error == EINTR; }

}  // namespace

Streams::Streams(const StreamPlan& plan, uid_t user, Handlers handlers, int64_t now_ms)
    : detach_(plan.detach),
      user_(user),
      node_index_(plan.node_index),
      handlers_(std::move(handlers)),
      client_over_(plan.clients.empty()) {
  if (!client_over_)
    clients_.emplace_back(Uplink(plan.clients, plan.key, LinkKind::kClient, plan.node_index, user_, now_ms),
                          true);
}

template <class F>
void Streams::each_client(F f) {
  for (Client& client : clients_)
    if (!client.up.gone()) f(client);
}

void Streams::add_task(uint32_t rank, Fd in, Fd out, Fd err) {
  const bool terminal = in && isatty(in.get()) == 1;
  if (in) inputs_.push_back({std::move(in), rank, terminal, false, {}, 0, -1});
  if (out) outputs_.push_back({std::move(out), rank, kStdout});
  if (err) outputs_.push_back({std::move(err), rank, kStderr});
}

Status Streams::attach(const AttachRequest& request, int64_t now_ms) {
  if (std::count_if(clients_.begin(), clients_.end(), [](const Client& c) { return !c.up.gone(); }) >=
      static_cast<ptrdiff_t>(kMaxAttached))
    return Error{"busy", "as many clients as may be are attached to this step"};
  clients_.emplace_back(Uplink(request.clients, request.key, LinkKind::kAttached, node_index_, user_, now_ms),
                        request.may_write);
  StreamLink& link = clients_.back().up.link();
  if (!started_.empty()) link.put(FrameType::kStarted, 0, 0, started_);

  for (const Remembered& r : backlog_) link.put(r.type, r.which, r.rank, r.bytes);
  for (const Remembered& r : ended_) link.put(r.type, r.which, r.rank, r.bytes);
  return {};
}

bool Streams::can_read() const {
  return std::all_of(clients_.begin(), clients_.end(),
                     [](const Client& c) { return c.up.gone() || c.up.link().room(); });
}

void Streams::add_pollfds(std::vector<pollfd>* fds) {
  for (Client& client : clients_) client.up.add_pollfd(fds);
  const bool reading = can_read();
  for (Output& output : outputs_) {
    output.slot = reading ? static_cast<int>(fds->size()) : -1;
    if (reading) fds->push_back({output.fd.get(), POLLIN, 0});
  }
  for (Input& input : inputs_) {
    const bool writing = !input.queue.empty() || input.ends;
    input.slot = writing ? static_cast<int>(fds->size()) : -1;
    if (writing) fds->push_back({input.fd.get(), POLLOUT, 0});
  }
}

void Streams::serve(const std::vector<pollfd>& fds, int64_t now_ms) {
  auto ready = [&](int& slot) {
    const bool is = slot >= 0 && fds[static_cast<size_t>(slot)].revents != 0;
    slot = -1;
    return is;
  };
  for (Client& client : clients_)
    client.up.serve(fds, now_ms, [&](const Frame& frame) { on_frame(client, frame); });
  for (size_t i = 0; i < outputs_.size();) {
    if (!ready(outputs_[i].slot) || !can_read() || read_output(outputs_[i]))
      ++i;
    else
      outputs_.erase(outputs_.begin() + static_cast<ptrdiff_t>(i));
  }
  for (auto input = inputs_.begin(); input != inputs_.end();) {
    if (ready(input->slot)) write_input(*input);
    input = input->fd ? std::next(input) : inputs_.erase(input);
  }
  sweep(now_ms);
}

// False when it came to its end.
bool Streams::read_output(Output& output) {
  Client* only = nullptr;
  size_t count = 0;
  each_client([&](Client& client) {
    only = &client;
    ++count;
  });
  ssize_t n;
  if (count == 1) {  // no copy on the way of most bytes
    StreamLink& link = only->up.link();
    const auto space = link.space(kLeastRead);
    n = read(output.fd.get(), space.at, space.size);
    if (n > 0) {
      remember(output.rank, output.which, {space.at, static_cast<size_t>(n)});
      link.put_written(FrameType::kOutput, output.which, output.rank, static_cast<size_t>(n));
      return true;
    }
  } else {
    if (!scratch_) scratch_ = std::make_unique_for_overwrite<char[]>(kScratch);
    n = read(output.fd.get(), scratch_.get(), kScratch);
    if (n > 0) {
      send_output(output.rank, output.which, {scratch_.get(), static_cast<size_t>(n)});
      return true;
    }
  }
  if (n < 0 && lasts(errno)) {
    if (count == 1) only->up.link().drop_space();
    return true;
  }
  // The end; a terminal says EIO when its last user is gone.
  send_output(output.rank, output.which, {});
  return false;
}

void Streams::send_output(uint32_t rank, uint8_t which, std::string_view bytes) {
  remember(rank, which, bytes);
  each_client([&](Client& client) { client.up.link().put(FrameType::kOutput, which, rank, bytes); });
}

void Streams::remember(uint32_t rank, uint8_t which, std::string_view bytes) {
  if (bytes.size() > kBacklogBytes) bytes.remove_prefix(bytes.size() - kBacklogBytes);
  backlog_bytes_ += bytes.size() + sizeof(Remembered);
  if (!backlog_.empty() && backlog_.back().rank == rank && backlog_.back().which == which && !bytes.empty() &&
      backlog_.back().bytes.size() + bytes.size() < kBacklogBytes / 4) {
    backlog_.back().bytes += bytes;
    backlog_bytes_ -= sizeof(Remembered);
  } else {
    backlog_.push_back({FrameType::kOutput, which, rank, std::string(bytes)});
  }
  while (backlog_bytes_ > kBacklogBytes && backlog_.size() > 1) {
    backlog_bytes_ -= backlog_.front().bytes.size() + sizeof(Remembered);
    backlog_.pop_front();
  }
}

void Streams::write_input(Input& input) {
  while (!input.queue.empty()) {
    const std::string& bytes = input.queue.front()->bytes;
    const ssize_t n = write(input.fd.get(), bytes.data() + input.at, bytes.size() - input.at);
    if (n < 0 && lasts(errno)) return;
    if (n < 0) {  // nobody reads it any more
      input.queue.clear();
      input.fd.reset();
      return;
    }
    input.at += static_cast<size_t>(n);
    if (input.at < bytes.size()) return;
    input.queue.pop_front();
    input.at = 0;
  }
  if (!input.ends) return;
  if (input.terminal && write(input.fd.get(), &kEndOfTransmission, 1) < 0 && lasts(errno)) return;
  input.fd.reset();
}

void Streams::on_frame(Client& client, const Frame& frame) {
  if (frame.type == FrameType::kLeave) {
    client_over_ |= client.up.kind() == LinkKind::kClient;
    return client.up.close();
  }
  if (!client.input) return;
  switch (frame.type) {
    case FrameType::kInput:
    case FrameType::kInputEnd:
      return take_input(client, frame);
    case FrameType::kSignal:
      if (frame.detail >= 1 && frame.detail <= 64) handlers_.signal(frame.detail);
      return;
    case FrameType::kWindow:
      if (terminal_ >= 0) set_window(terminal_, u32_at(frame.payload, 0), u32_at(frame.payload, 1));
      return;
    case FrameType::kTerminate:
    case FrameType::kKill:
      return handlers_.terminate(frame.type == FrameType::kKill,
                                 std::string(frame.payload.substr(0, kMaxMessage)));
    case FrameType::kEndAll:
      if (client.up.kind() == LinkKind::kClient)
        handlers_.end_all(frame.detail, std::string(frame.payload.substr(0, kMaxMessage)));
      return;
    default:
      return;
  }
}

void Streams::take_input(Client& client, const Frame& frame) {
  if (frame.payload.size() > kInputWindow - client.in_flight)
    return client.up.close();  // it does not wait for credit: no client of ours
  client.in_flight += static_cast<uint32_t>(frame.payload.size());
  const auto segment = std::make_shared<Segment>(this, &client, frame.payload);
  for (Input& input : inputs_) {
    if (frame.task != kAllTasks && frame.task != input.rank) continue;
    if (input.ends || !input.fd) continue;
    if (frame.type == FrameType::kInputEnd)
      input.ends = true;
    else if (!frame.payload.empty())
      input.queue.push_back(segment);
  }
}

void Streams::used(Client* client, size_t bytes) {
  client->in_flight -= static_cast<uint32_t>(bytes);
  client->credit += static_cast<uint32_t>(bytes);
}

void Streams::give_credit() {
  each_client([](Client& client) {
    if (client.credit == 0 || (client.credit < kCreditStep && client.in_flight > 0)) return;
    client.up.link().put(FrameType::kCredit, 0, 0, u32_payload({client.credit}));
    client.credit = 0;
  });
}

// After each turn: credit goes out, what was put is sent, and those that are gone are forgotten.
void Streams::sweep(int64_t now_ms) {
  give_credit();
  each_client([&](Client& client) {
    client.up.flush(now_ms);
    if (client.up.kind() != LinkKind::kAttached) return;
    if (client.up.link().room())
      client.stalled_since = -1;
    else if (client.stalled_since < 0)
      client.stalled_since = now_ms;
  });
  for (auto client = clients_.begin(); client != clients_.end();) {
    if (client->up.gone() && client->up.kind() == LinkKind::kClient && !std::exchange(client_over_, true))
      handlers_.client_gone(client->up.why());
    // What a task has not read yet belongs to it.
    const bool needed = !client->up.gone() || client->in_flight > 0;
    client = needed ? std::next(client) : clients_.erase(client);
  }
}

void Streams::on_time(int64_t now_ms) {
  each_client([&](Client& client) {
    client.up.on_time(now_ms);
    if (client.stalled_since >= 0 && now_ms - client.stalled_since >= kMaxStallMs) client.up.close();
  });
  sweep(now_ms);
}

int64_t Streams::pause_ms(int64_t now_ms) const {
  int64_t pause = -1;
  auto sooner = [&](int64_t ms) {
    if (ms >= 0) pause = pause < 0 ? ms : std::min(pause, ms);
  };
  for (const Client& client : clients_) {
    if (client.up.gone()) continue;
    sooner(client.up.pause_ms(now_ms));
    if (client.stalled_since >= 0) sooner(std::max<int64_t>(client.stalled_since + kMaxStallMs - now_ms, 0));
  }
  return pause;
}

void Streams::tasks_started(const StartedTasks& started) {
  started_ = encode_started_tasks(started);
  each_client([&](Client& client) { client.up.link().put(FrameType::kStarted, 0, 0, started_); });
}

void Streams::task_ended(uint32_t rank, int wait_status) {
  ended_.push_back({FrameType::kTaskExit, 0, rank, u32_payload({static_cast<uint32_t>(wait_status)})});
  each_client(
      [&](Client& client) { client.up.link().put(FrameType::kTaskExit, 0, rank, ended_.back().bytes); });
}

void Streams::note(const std::string& line) {
  each_client([&](Client& client) { client.up.link().put(FrameType::kNote, 0, 0, line); });
}

void Streams::step_ended(const StepStatus& status) {
  ended_.push_back({FrameType::kStepEnd, 0, 0, encode_status(status)});
  each_client([&](Client& client) { client.up.link().put(FrameType::kStepEnd, 0, 0, ended_.back().bytes); });
}

bool Streams::send_own(FrameType type, uint8_t detail, std::string_view payload) {
  bool sent = false;
  each_client([&](Client& client) {
    if (client.up.kind() != LinkKind::kClient) return;
    client.up.link().put(type, detail, 0, payload);
    sent = true;
  });
  return sent;
}

void Streams::stop_outputs() {
  for (Output& output : outputs_) send_output(output.rank, output.which, {});
  outputs_.clear();
}

bool Streams::delivered() const {
  return std::all_of(clients_.begin(), clients_.end(),
                     [](const Client& c) { return c.up.gone() || c.up.link().flushed(); });
}

void Streams::close() {
  each_client([](Client& client) { client.up.close(); });
}

}  // namespace bai::step
