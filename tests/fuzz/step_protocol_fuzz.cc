// Frames of the shepherd's socket from anybody: refused or understood; what was understood is written the same again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "step/protocol.h"

using namespace bai::step;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (auto request = decode_request(input); request.ok()) {
    const std::string bytes = encode_request(*request);
    auto back = decode_request(bytes);
    if (!back.ok() || encode_request(*back) != bytes) abort();
  }
  if (auto reply = decode_reply(input); reply.ok()) {
    const std::string bytes = encode_reply(*reply);
    auto back = decode_reply(bytes);
    if (!back.ok() || encode_reply(*back) != bytes) abort();
  }
  return 0;
}
