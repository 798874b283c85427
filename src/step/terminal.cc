#include "step/terminal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

namespace bai::step {

Result<Terminal> open_terminal(bool raw, uid_t owner) {
  Terminal out;
  out.master.reset(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  char name[64];
  if (!out.master || grantpt(out.master.get()) != 0 || unlockpt(out.master.get()) != 0 ||
      ptsname_r(out.master.get(), name, sizeof name) != 0)
    return errno_error("cannot make", "a pseudo terminal", errno);
  out.slave.reset(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!out.slave) return errno_error("cannot open", name, errno);
  if (geteuid() == 0 && fchown(out.slave.get(), owner, static_cast<gid_t>(-1)) != 0)
    return errno_error("cannot give away", name, errno);
  if (raw) {
    termios settings{};
    tcgetattr(out.slave.get(), &settings);
    cfmakeraw(&settings);
    tcsetattr(out.slave.get(), TCSANOW, &settings);
  }
  return out;
}

void set_window(int fd, uint32_t rows, uint32_t columns) {
  if (rows == 0 || columns == 0 || rows > UINT16_MAX || columns > UINT16_MAX) return;
  winsize size{};
  size.ws_row = static_cast<uint16_t>(rows);
  size.ws_col = static_cast<uint16_t>(columns);
  ioctl(fd, TIOCSWINSZ, &size);
}

}  // namespace bai::step
