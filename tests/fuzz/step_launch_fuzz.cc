// Launch, status and started files from anybody: refused or understood, never more memory than the bytes deserve, and what was understood
// comes back the same.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "step/launch.h"
#include "step/record.h"
#include "step/status.h"

using namespace bai::step;

namespace {

template <class T>
void check(const std::string& bytes, bai::Result<T> (*decode)(std::string_view),
           std::string (*encode)(const T&)) {
  auto value = decode(bytes);
  if (!value.ok()) return;
  auto back = decode(encode(*value));
  if (!back.ok() || !(*back == *value)) abort();
}

// The fuzzer cannot guess a checksum: the input is taken as a body and put into an envelope.
std::string wrap(std::string_view magic, std::string_view body) {
  std::string out(magic);
  auto put = [&](uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  };
  put(1, 2);
  put(0, 2);
  put(body.size(), 4);
  out += body;
  put(crc32(out), 4);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  check<StepLaunch>(std::string(input), decode_launch, encode_launch);
  check<StepLaunch>(wrap("BAILNCH\n", input), decode_launch, encode_launch);
  check<StepStatus>(wrap("BAISTAT\n", input), decode_status, encode_status);
  check<StepStarted>(wrap("BAISTRT\n", input), decode_started, encode_started);
  return 0;
}
