// Any text as a duration, a time limit or a moment: refused, or in range and readable again as it is printed.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/time.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 10) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto duration = bai::parse_duration(text)) {
    if (*duration != bai::kUnlimited && (*duration < 0 || *duration > bai::kMaxLimit)) std::abort();
    auto again = bai::parse_duration(bai::format_duration_full(*duration));
    if (!again || *again != *duration) std::abort();
  }
  if (auto limit = bai::parse_time_limit(text); limit && *limit > 0 && *limit % 60 != 0) std::abort();
  const auto now = bai::Time::from_seconds(1'800'000'000);
  for (auto when : {bai::When::kFuture, bai::When::kPast})
    if (auto moment = bai::parse_when(text, now, when); moment && *moment < bai::Time{}) std::abort();
  return 0;
}
