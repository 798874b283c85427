// A command's request from an authenticated but hostile caller: refused or understood; what was understood survives its own encoding.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "wire/messages.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto request = bai::wire::decode_request({reinterpret_cast<const char*>(data), size});
  if (!request) {
    if (request.error().code != "bad_message" || request.error().message.empty()) std::abort();
    return 0;
  }
  const std::string bytes = bai::wire::encode_request(*request);
  auto again = bai::wire::decode_request(bytes);
  if (!again || bai::wire::encode_request(*again) != bytes) std::abort();
  (void)bai::wire::is_changing(request->body);
  return 0;
}
