#include "base/log.h"

#include <fcntl.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include "base/fd.h"
#include "base/suggest.h"
#include "base/text.h"

namespace bai::log {

namespace {

// Everything but the level is under the mutex, so the sinks need no locks of their own.
struct State {
  std::mutex mutex;
  Options options;
  std::shared_ptr<spdlog::logger> logger;
};

std::atomic<Level> current_level{Level::info};

// Lives as long as the process: a daemon may log from its very last thread.
State& state() {
  static State* const s = new State;
  return *s;
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::trace:
      return spdlog::level::trace;
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warning:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
    case Level::off:
      break;
  }
  return spdlog::level::off;
}

// The inside of a JSON string. Bytes that are no UTF-8 appear as the text \\xNN: JSON has no other way.
void append_json(std::string& out, std::string_view s) {
  const std::string safe = is_utf8(s) ? std::string() : escape_control(s);
  if (!safe.empty()) s = safe;
  static constexpr char kDigits[] = "0123456789abcdef";
  for (std::size_t i = 0; i < s.size(); ++i) {
    const char c = s[i];
    auto u = static_cast<unsigned char>(c);
    const auto next = i + 1 < s.size() ? static_cast<unsigned char>(s[i + 1]) : 0;
    const bool is_c1 = u == 0xc2 && next >= 0x80 && next < 0xa0;
    if (is_c1) {
      u = static_cast<unsigned char>(next);
      ++i;
    }
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (u < 0x20 || u == 0x7f || is_c1) {
      out += "\\u00";
      out += kDigits[u >> 4];
      out += kDigits[u & 15];
    } else {
      out += c;
    }
  }
}

// key=value, quoted where a reader could not tell its end.
void append_text(std::string& out, const Field& field) {
  out += ' ';
  out += field.key;
  out += '=';
  const std::string& v = field.value;
  if (!v.empty() && v.find_first_of(" \"'=\\") == std::string::npos && !has_control(v) && is_utf8(v)) {
    out += v;
    return;
  }
  std::string inside;
  for (const char c : v) {
    if (c == '"' || c == '\\') inside += '\\';
    inside += c;
  }
  out += '"' + escape_control(inside) + '"';
}

std::string render(Format format, std::string_view message, const Field* fields, std::size_t count) {
  std::string out;
  if (format == Format::text) {
    out = escape_control(message);
    for (std::size_t i = 0; i < count; ++i) append_text(out, fields[i]);
    return out;
  }
  out = "\"message\":\"";
  append_json(out, message);
  out += '"';
  for (std::size_t i = 0; i < count; ++i) {
    out += ",\"";
    append_json(out, fields[i].key);
    out += "\":";
    if (fields[i].bare) {
      out += fields[i].value;
      continue;
    }
    out += '"';
    append_json(out, fields[i].value);
    out += '"';
  }
  return out;
}

Result<std::shared_ptr<spdlog::logger>> make_logger(const Options& options) {
  if (!options.file.empty()) {
    // Opened here first: spdlog would make missing directories, and says less when it fails.
    auto fd = open_fd(options.file, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY, 0640);
    if (!fd) {
      Error e = fd.error();
      e.remedy = "check LogFile and its directory's owner";
      return e;
    }
  }
  try {
    spdlog::sink_ptr sink;
    if (options.file.empty())
      sink = std::make_shared<spdlog::sinks::stderr_sink_st>();
    else
      sink = std::make_shared<spdlog::sinks::basic_file_sink_st>(options.file);
    auto logger = std::make_shared<spdlog::logger>(escape_control(options.program), std::move(sink));
    logger->set_pattern(
        options.format == Format::json
            ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","program":"%n",%v})"
            : (options.program.empty() ? "%Y-%m-%dT%H:%M:%S.%e %l: %v" : "%Y-%m-%dT%H:%M:%S.%e %n %l: %v"));
    logger->set_level(spdlog::level::trace);  // the level is judged here, before any formatting
    logger->flush_on(spdlog::level::trace);   // a line that was logged survives the process
    return logger;
  } catch (const std::exception& e) {
    return Error{"cannot_log", e.what(), options.file};
  }
}

}  // namespace

Field::Field(std::string_view key, double number) : key(key) {
  if (!std::isfinite(number)) {
    value = std::isnan(number) ? "nan" : "inf";
    return;
  }
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", number);
  value = text;
  bare = true;
}

Status init(const Options& options) {
  auto logger = make_logger(options);
  if (!logger) return logger.error();
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.options = options;
  s.logger = std::move(*logger);
  current_level.store(options.level, std::memory_order_relaxed);
  return {};
}

Status reopen() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (s.options.file.empty()) return {};
  auto logger = make_logger(s.options);
  if (!logger) return logger.error();
  s.logger = std::move(*logger);
  return {};
}

void flush() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (s.logger) s.logger->flush();
}

void set_level(Level level) { current_level.store(level, std::memory_order_relaxed); }
Level level() { return current_level.load(std::memory_order_relaxed); }

std::string_view level_name(Level level) {
  switch (level) {
    case Level::trace:
      return "trace";
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warning:
      return "warning";
    case Level::error:
      return "error";
    case Level::off:
      break;
  }
  return "off";
}

Result<Level> parse_level(std::string_view text) {
  static constexpr std::pair<std::string_view, Level> kNames[] = {
      {"off", Level::off},       {"quiet", Level::off},       {"fatal", Level::error},
      {"error", Level::error},   {"warning", Level::warning}, {"info", Level::info},
      {"verbose", Level::debug}, {"debug", Level::debug},     {"trace", Level::trace},
      {"debug2", Level::trace},  {"debug3", Level::trace},    {"debug4", Level::trace},
      {"debug5", Level::trace},
  };
  std::vector<std::string_view> known;
  for (const auto& [name, level] : kNames) {
    if (iequals(name, text)) return level;
    known.push_back(name);
  }
  return Error{"bad_level", "unknown log level " + quote(text), "", did_you_mean(text, known)};
}

Result<Format> parse_format(std::string_view text) {
  if (iequals(text, "text")) return Format::text;
  if (iequals(text, "json")) return Format::json;
  return Error{"bad_format", "unknown log format " + quote(text), "", "text or json"};
}

namespace {

void write_fields(Level at, std::string_view message, const Field* fields, std::size_t count) {
  if (at == Level::off || !enabled(at)) return;
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (!s.logger) {
    auto logger = make_logger(s.options);
    if (!logger) return;  // stderr cannot fail to open
    s.logger = std::move(*logger);
  }
  s.logger->log(to_spdlog(at), render(s.options.format, message, fields, count));
}

std::string once_key(std::string_view key) { return std::string(key.substr(0, 200)); }

}  // namespace

void write(Level at, std::string_view message, Fields fields) {
  write_fields(at, message, fields.begin(), fields.size());
}

bool Once::write(Level at, std::string_view key, std::string_view message, Fields fields) {
  {
    const std::lock_guard lock(mutex_);
    if (left_out_.size() >= max_keys_ && !left_out_.contains(once_key(key))) left_out_.clear();
    const auto [it, is_new] = left_out_.try_emplace(once_key(key), 0);
    if (!is_new) {
      ++it->second;
      ++total_;
      return false;
    }
  }
  log::write(at, message, fields);
  return true;
}

void Once::forget(std::string_view key) {
  std::uint64_t count = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto it = left_out_.find(once_key(key));
    if (it == left_out_.end()) return;
    count = it->second;
    left_out_.erase(it);
  }
  if (count > 0) info("left out repeated lines", {{"about", once_key(key)}, {"count", count}});
}

std::uint64_t Once::suppressed(std::string_view key) const {
  const std::lock_guard lock(mutex_);
  const auto it = left_out_.find(once_key(key));
  return it == left_out_.end() ? 0 : it->second;
}

std::uint64_t Once::suppressed() const {
  const std::lock_guard lock(mutex_);
  return total_;
}

}  // namespace bai::log
