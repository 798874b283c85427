#include "cli/raw_terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

namespace bai::cli {

WindowSize window_size() {
  for (int fd : {0, 1, 2}) {
    winsize size{};
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 0) return {size.ws_row, size.ws_col};
  }
  return {};
}

void RawTerminal::enter() {
  termios now{};
  if (before_ || tcgetattr(0, &now) != 0) return;
  before_ = now;
  cfmakeraw(&now);
  tcsetattr(0, TCSANOW, &now);
}

void RawTerminal::leave() {
  if (!before_) return;
  tcsetattr(0, TCSADRAIN, &*before_);
  before_.reset();
}

}  // namespace bai::cli
