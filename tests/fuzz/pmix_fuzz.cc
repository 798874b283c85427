// A PMIx server that runs as a hostile user, and what its like on other nodes says: frames, plans, environments, messages. Refused or understood.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "pmix/exchange.h"
#include "step/pmix_frames.h"

using namespace bai;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::string_view rest = bytes;
  for (;;) {
    const size_t before = rest.size();
    auto frame = step::take_pmix_frame(&rest);
    if (!frame.ok() || !*frame) break;
    if (rest.size() >= before) abort();
  }
  if (auto plan = step::decode_pmix_plan(bytes); plan.ok()) {
    auto back = step::decode_pmix_plan(step::encode_pmix_plan(*plan));
    if (!back.ok() || !(*back == *plan)) abort();
  }
  if (auto environment = step::decode_pmix_environment(bytes); environment.ok()) {
    auto back = step::decode_pmix_environment(step::encode_pmix_environment(*environment));
    if (!back.ok() || *back != *environment) abort();
  }
  pmix::Exchange::Hooks hooks;
  hooks.send = [](std::uint32_t, const std::string&) {};
  hooks.fence_over = [](std::uint64_t, bool, std::string) {};
  hooks.asked = [](std::uint32_t, std::uint64_t, std::uint32_t) {};
  hooks.answered = [](std::uint64_t, std::int32_t, std::string_view) {};
  pmix::Exchange exchange(0, hooks);
  exchange.fence({0, 1}, "", "x", 1);
  (void)exchange.take(1, bytes);
  return 0;
}
