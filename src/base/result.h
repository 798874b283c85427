// Result<T>: a value or an Error, for everything that can fail in a way that a caller should handle.
// Exceptions do not cross a room's boundary; programming errors abort.
// Any thread; plain values.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace bai {

// What a person or a tool reads when something was refused. `code` is stable and machine readable
// (lower_snake_case); `message` says what was wrong; `place` says where ("bai.conf:12", "--time"), `remedy`
// what to do about it. Both may be empty.
struct Error {
  std::string code;
  std::string message;
  std::string place{};
  std::string remedy{};

  // "place: message (remedy)" on one line.
  std::string text() const;
};

// A value or an Error. Asking for the one that is not there aborts.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : v_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit on purpose
  Result(Error error) : v_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit on purpose

  bool ok() const { return v_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() & { return std::get<0>(v_); }
  const T& value() const& { return std::get<0>(v_); }
  T&& value() && { return std::get<0>(std::move(v_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const { return std::get<1>(v_); }

 private:
  std::variant<T, Error> v_;
};

// Success, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit on purpose

  bool ok() const { return !error_; }
  explicit operator bool() const { return ok(); }
  const Error& error() const { return *error_; }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace bai
