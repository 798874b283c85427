// OptionReader: the values of options that were given, read one after another; the first error stays, with its place.
#pragma once

#include <optional>

#include "base/text.h"
#include "base/units.h"
#include "cli/dialect.h"
#include "cli/slurm_words.h"

namespace bai::cli {

class OptionReader {
 public:
  OptionReader(const Parsed& parsed, const Dialect& dialect) : parsed_(parsed), slurm_(dialect.slurm) {}

  const Given* find(std::string_view name) const { return parsed_.find(name); }
  // Runs `parse` on the value of an option that was given; an error of its gets the place.
  template <class F>
  void with(std::string_view name, F parse) {
    if (const Given* given = parsed_.find(name); given && !error_) check(*given, parse(given->value));
  }
  template <class T, class U>
  void into(std::string_view name, U& out, Result<T> (*parse)(std::string_view)) {
    with(name, [&](std::string_view text) -> Status {
      auto value = parse(text);
      if (!value.ok()) return value.error();
      out = static_cast<U>(*value);
      return {};
    });
  }
  void check(const Given& given, const Status& status) {
    if (status.ok() || error_) return;
    error_ = slurm_ ? slurm_value_error(given, status.error()) : status.error();
    if (!slurm_) error_->place = given.place;
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  const Parsed& parsed_;
  bool slurm_;
  std::optional<Error> error_;
};

inline Result<std::int64_t> positive(std::string_view text) { return parse_count(text, 1, 1 << 30); }
inline Status plain_text(std::string_view text) {
  if (has_control(text) || !is_utf8(text))
    return Error{"bad_value", "control characters are not allowed: " + quote(text), "", ""};
  return {};
}

}  // namespace bai::cli
