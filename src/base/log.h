// The log: one line per event, a message and key=value fields, as text or as JSON, to stderr or a file.
// spdlog does the writing and is included by log.cc alone. All functions may be called from any thread; before init()
// lines go to stderr as text from level info on.
// A message is a constant sentence; what varies goes into fields. Control characters are escaped, so that no input can
// forge a line.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"

namespace bai::log {

enum class Level { trace, debug, info, warning, error, off };
enum class Format { text, json };

struct Options {
  Format format = Format::text;
  Level level = Level::info;
  std::string file = {};     // empty: stderr
  std::string program = {};  // "bai-ctld", in each line
};

// Opens the log. Called once by a daemon's main; again only in tests.
Status init(const Options& options);
// Opens the file anew under its name (after logrotate moved it): call it when SIGHUP was seen, not in the handler. If
// that fails the old file stays in use.
Status reopen();
// Writes out what is buffered.
void flush();

void set_level(Level level);
Level level();
inline bool enabled(Level at) { return at >= level(); }

// "trace" ... "off", and Slurm's words: quiet, fatal, error, info, verbose, debug, debug2 ... debug5.
Result<Level> parse_level(std::string_view text);
std::string_view level_name(Level level);
Result<Format> parse_format(std::string_view text);

// key=value. Keys are literals in lower_snake_case. Numbers and booleans stay such in JSON.
struct Field {
  Field(std::string_view key, std::string value) : key(key), value(std::move(value)) {}
  Field(std::string_view key, std::string_view value) : key(key), value(value) {}
  Field(std::string_view key, const char* value) : key(key), value(value) {}
  Field(std::string_view key, bool value) : key(key), value(value ? "true" : "false"), bare(true) {}
  template <std::integral T>
  requires(!std::same_as<T, bool>) Field(std::string_view key, T value)
      : key(key), value(std::to_string(value)), bare(true) {}
  Field(std::string_view key, double value);

  std::string_view key;
  std::string value;
  bool bare = false;  // a number or a boolean
};
using Fields = std::initializer_list<Field>;

void write(Level level, std::string_view message, Fields fields = {});
inline void trace(std::string_view message, Fields fields = {}) { write(Level::trace, message, fields); }
inline void debug(std::string_view message, Fields fields = {}) { write(Level::debug, message, fields); }
inline void info(std::string_view message, Fields fields = {}) { write(Level::info, message, fields); }
inline void warning(std::string_view message, Fields fields = {}) { write(Level::warning, message, fields); }
inline void error(std::string_view message, Fields fields = {}) { write(Level::error, message, fields); }

// Says a thing once per key and counts the rest, for what a stranger can cause at will. Holds at most `max_keys`
// keys (each cut at 200 bytes); when full, it starts over. Any thread.
class Once {
 public:
  explicit Once(std::size_t max_keys = 1024) : max_keys_(max_keys) {}

  // Logs and returns true if `key` is new; otherwise counts and returns false.
  bool write(Level level, std::string_view key, std::string_view message, Fields fields = {});
  // The thing is over: logs how many lines were left out (if any), and the next one for `key` is said again.
  void forget(std::string_view key);
  // Lines left out for `key` since it was said.
  std::uint64_t suppressed(std::string_view key) const;
  // Lines left out in all.
  std::uint64_t suppressed() const;

 private:
  mutable std::mutex mutex_;
  std::size_t max_keys_;
  std::uint64_t total_ = 0;
  std::unordered_map<std::string, std::uint64_t> left_out_;
};

}  // namespace bai::log
