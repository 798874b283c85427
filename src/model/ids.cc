#include "model/ids.h"

#include <sys/random.h>

#include <cstdlib>
#include <ctime>

namespace bai {

std::string Uuid::hex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(32);
  for (auto b : bytes) {
    out += kDigits[b >> 4];
    out += kDigits[b & 15];
  }
  return out;
}

Result<Uuid> Uuid::parse(std::string_view hex) {
  auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  Uuid out;
  bool good = hex.size() == 32;
  for (std::size_t i = 0; good && i < 16; ++i) {
    int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
    good = high >= 0 && low >= 0;
    out.bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  if (!good)
    return Error{"bad_id", "an id is 32 lower case hexadecimal digits", "", "copy it as it was printed"};
  return out;
}

Uuid Uuid::random() {
  Uuid out;
  if (getrandom(out.bytes.data(), out.bytes.size(), 0) != 16)
    std::abort();  // cannot fail for 16 bytes once booted
  return out;
}

Uuid Uuid::ordered() {
  Uuid out = random();
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const auto ms =
      static_cast<std::uint64_t>(now.tv_sec) * 1000 + static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
  for (int i = 0; i < 6; ++i)
    out.bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(ms >> (40 - 8 * i));
  return out;
}

}  // namespace bai
