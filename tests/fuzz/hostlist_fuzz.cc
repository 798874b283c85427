// Any text as a hostlist: refused or expanded within bounds; what was expanded compresses to a text that means the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/hostlist.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 12) return 0;
  auto names = bai::expand_hostlist({reinterpret_cast<const char*>(data), size});
  if (!names) {
    if (names.error().code.empty() || names.error().message.empty()) std::abort();
    return 0;
  }
  auto again = bai::expand_hostlist(bai::compress_hostlist(*names));
  if (!again || again->size() != names->size()) std::abort();
  return 0;
}
