#include "cli/step_output.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <cstring>

#include "model/filename.h"

namespace bai::cli {

namespace {

constexpr std::size_t kLongestLine = 64u << 10;  // a longer one comes in pieces

// A file for each task needs a descriptor for each.
void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

Result<StepOutput> StepOutput::open(const StepOutputOptions& options, const StepLayout& layout) {
  StepOutput out(options);
  const std::uint32_t count = layout.task_count();
  out.raw_ = !options.label && (options.unbuffered || count == 1);
  out.label_width_ = static_cast<int>(std::to_string(count > 0 ? count - 1 : 0).size());
  for (bool error : {false, true})
    if (auto opened = out.open_stream(layout, error); !opened.ok()) return opened.error();
  return out;
}

Status StepOutput::open_stream(const StepLayout& layout, bool error) {
  const std::string& word = error && !options_.error.empty() ? options_.error : options_.output;
  const std::uint32_t count = layout.task_count();
  const StepTarget target = parse_step_target(word, count);
  auto& streams = streams_[error];
  streams.resize(count);
  if (target.kind == StepTarget::Kind::file && !is_one_file(target.pattern)) raise_file_limit();
  for (std::size_t node = 0; node < layout.ranks.size(); ++node) {
    for (std::uint32_t rank : layout.ranks[node]) {
      if (rank >= count)
        return Error{"bad_layout", "task " + std::to_string(rank) + " of " + std::to_string(count)};
      if (target.kind == StepTarget::Kind::all ||
          (target.kind == StepTarget::Kind::one && target.task == rank))
        streams[rank].to = own(error);
      if (target.kind != StepTarget::Kind::file) continue;
      FilenameContext names;
      names.job = layout.job;
      names.step = layout.step;
      names.job_name = options_.job_name;
      names.user = options_.user;
      names.node = node < layout.nodes.size() ? std::string_view(layout.nodes[node]) : std::string_view();
      names.node_index = static_cast<std::uint32_t>(node);
      names.task = rank;
      auto sink = file(expand_filename(target.pattern, names), error);
      if (!sink.ok()) return sink.error();
      streams[rank].to = *sink;
    }
  }
  return {};
}

Sink* StepOutput::own(bool error) {
  if (!shared_[error]) shared_[error] = std::make_unique<Sink>(Sink::shared(error ? 2 : 1));
  return shared_[error].get();
}

Result<Sink*> StepOutput::file(const std::string& name, bool error) {
  auto& sink = files_[name];
  if (sink) return sink.get();
  Fd fd(::open(name.c_str(),
               O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | (options_.append ? O_APPEND : O_TRUNC), 0666));
  if (!fd) {
    const int err = errno;
    files_.erase(name);
    return Error{"io_error",
                 std::string("Could not open ") + (error ? "stderr" : "stdout") + " file: " + strerror(err),
                 "", "file " + name};
  }
  sink = std::make_unique<Sink>(std::move(fd));
  return sink.get();
}

void StepOutput::take(std::uint32_t task, bool error, std::string_view bytes) {
  if (task >= streams_[error].size()) return;
  Stream& stream = streams_[error][task];
  if (!stream.to) return;
  if (raw_) return stream.to->write(bytes);
  if (!bytes.empty()) return put_lines(stream, task, bytes);
  if (stream.line.empty()) return;
  put_line(stream, task, {}, options_.label);  // its end never came
}

void StepOutput::put_lines(Stream& stream, std::uint32_t task, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    if (end == bytes.npos) {
      stream.line += bytes;
      if (stream.line.size() >= kLongestLine) put_line(stream, task, {}, options_.label);
      return;
    }
    if (!options_.label && stream.line.empty()) {
      // All whole lines at once.
      const std::size_t last = bytes.rfind('\n') + 1;
      stream.to->write(bytes.substr(0, last));
      bytes.remove_prefix(last);
      continue;
    }
    put_line(stream, task, bytes.substr(0, end), true);
    bytes.remove_prefix(end + 1);
  }
}

// What was kept of the line, and the rest of it.
void StepOutput::put_line(Stream& stream, std::uint32_t task, std::string_view rest, bool whole) {
  std::string text;
  if (options_.label) {
    const std::string number = std::to_string(task);
    text.append(static_cast<std::size_t>(label_width_) - number.size(), ' ');
    text += number + ": ";
  }
  text += stream.line;
  text += rest;
  if (whole) text += '\n';
  stream.line.clear();
  stream.to->write(text);
}

const Sink* StepOutput::blocked() const {
  for (const auto& sink : shared_)
    if (sink && sink->blocked()) return sink.get();
  for (const auto& [name, sink] : files_)
    if (sink->blocked()) return sink.get();
  return nullptr;
}

void StepOutput::go_on() {
  for (auto& sink : shared_)
    if (sink) sink->go_on();
  for (auto& [name, sink] : files_) sink->go_on();
}

void StepOutput::finish() {
  for (bool error : {false, true})
    for (std::uint32_t task = 0; task < streams_[error].size(); ++task) take(task, error, {});
  for (auto& sink : shared_)
    if (sink) sink->finish();
  for (auto& [name, sink] : files_) sink->finish();
}

}  // namespace bai::cli
