#include "cluster/interrupt.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

namespace bai::cluster {

Result<Interrupt> Interrupt::create() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    struct sigaction now;
    if (sigaction(signal, nullptr, &now) == 0 && now.sa_handler != SIG_IGN) sigaddset(&set, signal);
  }
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return errno_error("cannot block signals", "", errno);
  Fd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return errno_error("cannot make a signalfd", "", errno);
  return Interrupt(std::move(fd));
}

int Interrupt::take() {
  signalfd_siginfo info;
  if (read(fd_.get(), &info, sizeof info) != sizeof info) return 0;
  const int signal = static_cast<int>(info.ssi_signo);
  by_process_ = info.ssi_code <= 0;  // SI_USER, SI_QUEUE, SI_TKILL; a terminal's are SI_KERNEL
  if (first_ == 0) first_ = signal;
  return signal;
}

void Interrupt::restore_in_child() {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
}

}  // namespace bai::cluster
