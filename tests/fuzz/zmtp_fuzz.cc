// ZMTP from a stranger: the bytes come in pieces, whose sizes are taken from them too. No crash, and no more memory than the caps.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "wire/zmtp.h"

using namespace bai::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ZmtpLimits limits{.parts = 3, .part_bytes = 1000, .message_bytes = 2000, .command_bytes = 200};
  ZmtpDecoder decoder(limits);
  std::string_view in(reinterpret_cast<const char*>(data), size);
  if (size != 0 && (data[0] & 1) != 0) {  // else few inputs get past the opening
    decoder.feed(zmtp_greeting());
    decoder.feed(zmtp_ready("DEALER"));
  }
  if (size != 0) in.remove_prefix(1);
  while (!in.empty()) {
    const std::size_t piece = 1 + static_cast<std::uint8_t>(in[0]) % 64;
    decoder.feed(in.substr(0, piece));
    in.remove_prefix(piece < in.size() ? piece : in.size());
    for (;;) {
      Parts message;
      const auto got = decoder.next(message);
      if (got == ZmtpDecoder::Got::error) return 0;
      if (got == ZmtpDecoder::Got::more) break;
      std::size_t bytes = 0;
      for (const auto& p : message) bytes += p.size();
      if (message.empty() || message.size() > limits.parts || bytes > limits.message_bytes) std::abort();
    }
    decoder.take_output();
    // What is not complete, a header, and the chunks last fed.
    if (decoder.held() > limits.message_bytes + limits.command_bytes + 256) std::abort();
  }
  return 0;
}
