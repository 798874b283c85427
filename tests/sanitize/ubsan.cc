// With two sanitizers, libubsan of g++ 12 hands its log_path to libasan and itself writes to standard error, which daemons do not keep. So its own
// function is told where to write. Linked into the programs of sanitized builds.
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <string>

extern "C" __attribute__((weak)) const char* __ubsan_default_options();

namespace {

__attribute__((constructor)) void tell_ubsan() {
  void* const library = dlopen("libubsan.so.1", RTLD_NOW | RTLD_NOLOAD);
  if (library == nullptr) return;
  const auto set_path =
      reinterpret_cast<void (*)(const char*)>(dlsym(library, "__sanitizer_set_report_path"));
  const char* options = getenv("UBSAN_OPTIONS");
  if (options == nullptr && __ubsan_default_options != nullptr) options = __ubsan_default_options();
  const char* const path = options != nullptr ? strstr(options, "log_path=") : nullptr;
  if (set_path == nullptr || path == nullptr) return;
  const char* const begin = path + strlen("log_path=");
  set_path(std::string(begin, strcspn(begin, ":")).c_str());
}

}  // namespace
