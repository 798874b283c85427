// Hash256: the name of a content (a script, an environment, a configuration). BLAKE2b with 256 bits, libsodium's
// crypto_generichash without a key: equal hashes mean equal contents. Values are plain; a Hasher belongs to one thread.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace bai {

struct Hash256 {
  std::array<std::uint8_t, 32> bytes{};

  auto operator<=>(const Hash256&) const = default;
  bool is_zero() const { return *this == Hash256{}; }

  // 64 lower-case hexadecimal digits.
  std::string hex() const;
  // Takes exactly what hex() gives (either case).
  static Result<Hash256> from_hex(std::string_view text);
  // The 32 bytes as they are.
  std::string_view view() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
};

Hash256 hash256(std::string_view bytes);

// The hash of pieces that are not in one place. Pieces are not delimited: add lengths where boundaries matter.
class Hasher {
 public:
  Hasher();
  Hasher& update(std::string_view bytes);
  // Eight bytes, little endian.
  Hasher& update_u64(std::uint64_t value);
  // A length and the bytes: no two different sequences of pieces hash alike.
  Hasher& update_piece(std::string_view bytes) { return update_u64(bytes.size()).update(bytes); }
  // Ends it: update nothing after it.
  Hash256 finish();

 private:
  alignas(64) std::array<unsigned char, 384> state_;  // crypto_generichash_state, kept out of this header
};

}  // namespace bai

template <>
struct std::hash<bai::Hash256> {
  std::size_t operator()(const bai::Hash256& h) const noexcept {
    std::size_t out;
    std::memcpy(&out, h.bytes.data(), sizeof out);
    return out;
  }
};
