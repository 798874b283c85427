// Screen: a terminal that is drawn anew again and again, on its alternate page, without a cursor; as it was when this goes, also
// by Ctrl-C, and while the program is stopped by Ctrl-Z. One at a time; the main thread's; no other thread may run.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/fd.h"

namespace bai::cli {

class Screen {
 public:
  // Nothing when standard output is no terminal, or one that cannot do this (TERM=dumb).
  static std::optional<Screen> open();
  ~Screen();
  Screen(Screen&& other) noexcept : resized_(std::move(other.resized_)) {}
  Screen& operator=(Screen&&) = delete;

  struct Size {
    std::size_t height = 24, width = 80;
  };
  static Size size();
  // Readable when the terminal has another size, or is to be drawn again; take() says so once.
  int fd() const { return resized_.get(); }
  bool take() const;

 private:
  explicit Screen(Fd resized) : resized_(std::move(resized)) {}
  Fd resized_;
};

}  // namespace bai::cli
