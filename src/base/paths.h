// Build information: the version and the directories that ./configure chose. paths.cc is the one file where they
// reach the code. Any thread; constants that live as long as the program.
#pragma once

#include <string>
#include <string_view>

namespace bai {

extern const std::string_view kVersion;  // "0.1.0"

extern const std::string_view kBinDir;      // commands
extern const std::string_view kSbinDir;     // daemons
extern const std::string_view kLibexecDir;  // programs that only programs start: bai-stepd
extern const std::string_view kPluginDir;   // LIBDIR/bai: shared objects that a site adds
extern const std::string_view kConfDir;     // SYSCONFDIR/bai
extern const std::string_view kConfFile;    // SYSCONFDIR/bai/bai.conf
extern const std::string_view kStateDir;    // LOCALSTATEDIR/lib/bai: what must survive a reboot
extern const std::string_view kLogDir;      // LOCALSTATEDIR/log/bai
extern const std::string_view kRunDir;      // RUNSTATEDIR/bai: sockets, pid files

// Path of one of our own programs ("bai-stepd"): beside the running program where it lies there (a build tree, or an
// installation that was moved), else where it was installed. The file is not promised to exist. Reads /proc/self/exe.
std::string program_path(std::string_view name);

}  // namespace bai
