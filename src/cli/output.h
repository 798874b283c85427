// Output: standard output as one buffer, written in large pieces. One thread. JsonWriter: JSON appended to such a buffer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/time.h"

namespace bai::cli {

class Output {
 public:
  explicit Output(int fd = 1) : fd_(fd) {}
  ~Output() { flush(); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // Append here, then call done_line() now and then.
  std::string& buffer() { return buffer_; }
  Output& put(std::string_view text) {
    buffer_ += text;
    return *this;
  }
  // Writes when much has gathered.
  void done_line() {
    if (buffer_.size() >= kPiece) flush();
  }
  // Writes everything; a failure (a full disk) is remembered.
  void flush();
  bool failed() const { return failed_; }

 private:
  static constexpr std::size_t kPiece = 256 << 10;
  int fd_;
  bool failed_ = false;
  std::string buffer_;
};

// Appends one JSON text. Keys and values in the order of the calls; commas are its own business.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name);
  JsonWriter& string(std::string_view text);
  JsonWriter& integer(std::int64_t value);
  JsonWriter& number(double value);
  JsonWriter& boolean(bool value);
  JsonWriter& null();
  // The next element begins on a line of its own.
  JsonWriter& line();

  // Members, by DESIGN's conventions.
  JsonWriter& field(std::string_view name, std::string_view text) { return key(name).string(text); }
  JsonWriter& field(std::string_view name, const char* text) { return key(name).string(text); }
  JsonWriter& field(std::string_view name, std::int64_t value) { return key(name).integer(value); }
  JsonWriter& flag(std::string_view name, bool value) { return key(name).boolean(value); }
  // Unix seconds; null when not set. `name` ends in _at.
  JsonWriter& time(std::string_view name, Time at) {
    return at.is_set() ? key(name).integer(at.seconds()) : key(name).null();
  }
  // Seconds; null for kUnlimited. `name` ends in _s.
  JsonWriter& duration(std::string_view name, Seconds s) {
    return s == kUnlimited ? key(name).null() : key(name).integer(s);
  }

 private:
  JsonWriter& open(char c);
  JsonWriter& close(char c);
  void separate();
  std::string& out_;
  bool first_ = true;
  bool after_key_ = false;
};

}  // namespace bai::cli
