#include "base/paths.h"

#include <limits.h>
#include <unistd.h>

// The Makefile defines these for this file alone.
#ifndef BAI_VERSION
#define BAI_VERSION "unknown"
#define BAI_bindir "/usr/local/bin"
#define BAI_sbindir "/usr/local/sbin"
#define BAI_pkglibexecdir "/usr/local/libexec/bai"
#define BAI_pkglibdir "/usr/local/lib/bai"
#define BAI_sysconfdir "/usr/local/etc"
#define BAI_localstatedir "/usr/local/var"
#define BAI_runstatedir "/usr/local/var/run"
#endif

namespace bai {

const std::string_view kVersion = BAI_VERSION;
const std::string_view kBinDir = BAI_bindir;
const std::string_view kSbinDir = BAI_sbindir;
const std::string_view kLibexecDir = BAI_pkglibexecdir;
const std::string_view kPluginDir = BAI_pkglibdir;
const std::string_view kConfDir = BAI_sysconfdir "/bai";
const std::string_view kConfFile = BAI_sysconfdir "/bai/bai.conf";
const std::string_view kStateDir = BAI_localstatedir "/lib/bai";
const std::string_view kLogDir = BAI_localstatedir "/log/bai";
const std::string_view kRunDir = BAI_runstatedir "/bai";

std::string program_path(std::string_view name) {
  char self[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self);
  if (n > 0 && n < static_cast<ssize_t>(sizeof self)) {
    std::string beside(self, static_cast<size_t>(n));
    beside.resize(beside.rfind('/') + 1);
    beside += name;
    if (access(beside.c_str(), X_OK) == 0) return beside;
  }
  std::string_view dir = kBinDir;
  if (name == "bai-stepd" || name == "bai-pmixd") dir = kLibexecDir;
  if (name == "bai-ctld" || name == "bai-agentd") dir = kSbinDir;
  return std::string(dir) + "/" + std::string(name);
}

}  // namespace bai
