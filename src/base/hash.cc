#include "base/hash.h"

#include <sodium/core.h>
#include <sodium/crypto_generichash.h>

#include <cstdlib>
#include <new>

namespace bai {

namespace {

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Until libsodium has looked at the processor it hashes at a third of the speed.
void look_at_processor() {
  static const int done = sodium_init();
  static_cast<void>(done);
}

const unsigned char* data_of(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

}  // namespace

std::string Hash256::hex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(2 * bytes.size());
  for (const auto b : bytes) {
    out += kDigits[b >> 4];
    out += kDigits[b & 15];
  }
  return out;
}

Result<Hash256> Hash256::from_hex(std::string_view text) {
  Hash256 out;
  if (text.size() != 2 * out.bytes.size()) return Error{"bad_hash", "a hash has 64 hexadecimal digits"};
  for (std::size_t i = 0; i < out.bytes.size(); ++i) {
    const int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);
    if (high < 0 || low < 0) return Error{"bad_hash", "a hash has 64 hexadecimal digits"};
    out.bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return out;
}

Hash256 hash256(std::string_view bytes) {
  look_at_processor();
  Hash256 out;
  crypto_generichash(out.bytes.data(), out.bytes.size(), data_of(bytes), bytes.size(), nullptr, 0);
  return out;
}

static_assert(sizeof(crypto_generichash_state) == 384 && alignof(crypto_generichash_state) <= 64);

Hasher::Hasher() {
  look_at_processor();
  auto* state = new (state_.data()) crypto_generichash_state;
  crypto_generichash_init(state, nullptr, 0, sizeof(Hash256::bytes));
}

Hasher& Hasher::update(std::string_view bytes) {
  crypto_generichash_update(reinterpret_cast<crypto_generichash_state*>(state_.data()), data_of(bytes),
                            bytes.size());
  return *this;
}

Hasher& Hasher::update_u64(std::uint64_t value) {
  char bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  return update({bytes, sizeof bytes});
}

Hash256 Hasher::finish() {
  Hash256 out;
  crypto_generichash_final(reinterpret_cast<crypto_generichash_state*>(state_.data()), out.bytes.data(),
                           out.bytes.size());
  return out;
}

}  // namespace bai
