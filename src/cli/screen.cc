#include "cli/screen.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdlib>

namespace bai::cli {
namespace {

constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l";
constexpr std::string_view kLeave = "\x1b[?25h\x1b[?1049l";
constexpr int kDeadly[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

void say(std::string_view text) { (void)write_all(1, text); }

// The signal comes again when this returns, and ends us.
void die(int signal) {
  say(kLeave);
  ::signal(signal, SIG_DFL);
  raise(signal);
}

void stop(int) {
  say(kLeave);
  raise(SIGSTOP);
  say(kEnter);
  raise(SIGWINCH);  // all is to be drawn again
}

// What is ignored (nohup) stays so.
void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  if (sigaction(signal, nullptr, &action) != 0 || action.sa_handler == SIG_IGN) return;
  action.sa_handler = handler;
  sigaction(signal, &action, nullptr);
}

}  // namespace

std::optional<Screen> Screen::open() {
  const char* term = getenv("TERM");
  if (isatty(1) == 0 || !term || !*term || std::string_view(term) == "dumb") return {};
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGWINCH);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  Screen out(Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)));
  for (int signal : kDeadly) handle(signal, die);
  handle(SIGTSTP, stop);
  say(kEnter);
  return out;
}

Screen::~Screen() {
  if (!resized_) return;
  for (int signal : kDeadly) handle(signal, SIG_DFL);
  handle(SIGTSTP, SIG_DFL);
  say(kLeave);
}

Screen::Size Screen::size() {
  winsize now{};
  Size out;
  if (ioctl(1, TIOCGWINSZ, &now) != 0) return out;
  if (now.ws_row > 0) out.height = now.ws_row;
  if (now.ws_col > 0) out.width = now.ws_col;
  return out;
}

bool Screen::take() const {
  signalfd_siginfo info;
  return read(resized_.get(), &info, sizeof info) == sizeof info;
}

}  // namespace bai::cli
