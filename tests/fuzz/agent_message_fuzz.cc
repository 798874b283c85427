// What agents and the controller say to each other, both ways: refused or understood, and the same again when encoded.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "wire/agent_messages.h"

using namespace bai::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  if (auto body = decode_agent(in)) {
    const std::string bytes = encode_agent(*body);
    auto again = decode_agent(bytes);
    if (!again || encode_agent(*again) != bytes) std::abort();
  }
  if (auto order = decode_order(in)) {
    auto* orders = std::get_if<AgentOrders>(&*order);
    if (orders)
      for (const auto& launch : orders->launches)
        if (!launch.job || !launch.job->spec) return 0;
    const std::string bytes = encode_order(*order);
    auto again = decode_order(bytes);
    if (!again || encode_order(*again) != bytes) std::abort();
  }
  return 0;
}
