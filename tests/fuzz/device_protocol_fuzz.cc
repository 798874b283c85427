// Frames of a device plugin's host process, which a driver library may have made of anything: refused or understood; what was understood is written the same again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "device/protocol.h"

using namespace bai::device;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (auto message = decode_from_host(input); message.ok()) {
    const std::string bytes = encode(*message);
    auto back = decode_from_host(bytes);
    if (!back.ok() || !(*back == *message) || encode(*back) != bytes) abort();
  }
  if (auto message = decode_to_host(input); message.ok()) {
    const std::string bytes = encode(*message);
    auto back = decode_to_host(bytes);
    if (!back.ok() || encode(*back) != bytes) abort();
  }
  return 0;
}
