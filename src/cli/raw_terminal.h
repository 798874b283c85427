// The command's own terminal while a task has one: every key goes to the task. One value at a time; its destructor gives the terminal back.
#pragma once

#include <termios.h>

#include <cstdint>
#include <optional>

namespace bai::cli {

struct WindowSize {
  std::uint32_t rows = 0;  // 0: unknown
  std::uint32_t columns = 0;
};
// Of the terminal on standard input, output or error.
WindowSize window_size();

class RawTerminal {
 public:
  RawTerminal() = default;
  ~RawTerminal() { leave(); }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

  // Nothing happens when standard input is no terminal.
  void enter();
  void leave();

 private:
  std::optional<termios> before_;
};

}  // namespace bai::cli
