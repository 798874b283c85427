#include "step/stream_crypt.h"

#include <algorithm>
#include <cstring>

namespace bai::step {

namespace {

constexpr std::string_view kMagic = "BAISTRM\x01";

bool have_aes() {
  static const bool have = sodium_init() >= 0 && crypto_aead_aes256gcm_is_available() == 1;
  return have;
}

void put(char* to, uint64_t n, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) to[i] = static_cast<char>(n >> (8 * i));
}
uint64_t get(const char* from, size_t bytes) {
  uint64_t n = 0;
  for (size_t i = bytes; i-- > 0;) n = n << 8 | static_cast<unsigned char>(from[i]);
  return n;
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::array<unsigned char, 32> derive(std::string_view label, std::string_view hello, std::string_view welcome,
                                     std::string_view key) {
  std::array<unsigned char, 32> out{};
  crypto_generichash_state state;
  crypto_generichash_init(&state, bytes_of(key), key.size(), out.size());
  // The label's length keeps labels and transcripts apart.
  const auto length = static_cast<unsigned char>(label.size());
  crypto_generichash_update(&state, &length, 1);
  for (std::string_view part : {label, hello, welcome})
    crypto_generichash_update(&state, bytes_of(part), part.size());
  crypto_generichash_final(&state, out.data(), out.size());
  return out;
}

bool equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string text_of(const std::array<unsigned char, 32>& bytes) {
  return std::string(bytes.begin(), bytes.end());
}

Error bad_hello(const char* what) { return Error{"bad_hello", what}; }

bool known(uint64_t cipher) { return cipher >= 1 && cipher <= 3; }

}  // namespace

std::string near_name(std::string_view key, std::string_view boot_id) {
  const auto name = derive("a listener's name", boot_id, "", key);
  char hex[2 * sizeof name + 1];
  sodium_bin2hex(hex, sizeof hex, name.data(), name.size());
  return hex;
}

Cipher best_cipher(bool near) {
  if (near) return Cipher::kNone;
  return have_aes() ? Cipher::kAes256Gcm : Cipher::kChaCha20Poly1305;
}

std::array<unsigned char, kNonceBytes> fresh_nonce() {
  std::array<unsigned char, kNonceBytes> out{};
  randombytes_buf(out.data(), out.size());
  return out;
}

std::string encode_hello(const Hello& h) {
  std::string out(kHelloBytes, '\0');
  kMagic.copy(out.data(), kMagic.size());
  out[8] = static_cast<char>(h.best);
  out[9] = static_cast<char>(h.kind);
  put(&out[12], h.node_index, 4);
  put(&out[16], h.link_id, 8);
  put(&out[24], h.received, 8);
  memcpy(&out[32], h.nonce.data(), kNonceBytes);
  return out;
}

Result<Hello> decode_hello(std::string_view b) {
  if (b.size() != kHelloBytes || !b.starts_with(kMagic)) return bad_hello("no hello of a step's stream");
  Hello h;
  if (!known(get(&b[8], 1))) return bad_hello("a cipher that is not known");
  if (get(&b[9], 1) > 2 || get(&b[10], 2) != 0) return bad_hello("a link of a kind that is not known");
  h.best = static_cast<Cipher>(b[8]);
  h.kind = static_cast<LinkKind>(b[9]);
  h.node_index = static_cast<uint32_t>(get(&b[12], 4));
  h.link_id = get(&b[16], 8);
  h.received = get(&b[24], 8);
  memcpy(h.nonce.data(), &b[32], kNonceBytes);
  return h;
}

std::string encode_welcome(const Welcome& w, std::string_view hello, std::string_view key) {
  std::string out(kWelcomeBytes - kProofBytes, '\0');
  kMagic.copy(out.data(), kMagic.size());
  out[8] = static_cast<char>(w.cipher);
  put(&out[16], w.received, 8);
  memcpy(&out[24], w.nonce.data(), kNonceBytes);
  return out + text_of(derive("listener's proof", hello, out, key));
}

Result<Welcome> decode_welcome(std::string_view b, std::string_view hello, std::string_view key, bool near) {
  if (b.size() != kWelcomeBytes || !b.starts_with(kMagic)) return bad_hello("no welcome of a step's stream");
  const std::string_view signed_part = b.substr(0, kWelcomeBytes - kProofBytes);
  if (!equal(text_of(derive("listener's proof", hello, signed_part, key)), b.substr(signed_part.size())))
    return Error{"wrong_key", "the client does not have the key of this step"};
  Welcome w;
  if (!known(get(&b[8], 1))) return bad_hello("a cipher that is not known");
  w.cipher = static_cast<Cipher>(b[8]);
  if (w.cipher == Cipher::kNone && !near) return bad_hello("no cipher, on a way that others see");
  if (w.cipher == Cipher::kAes256Gcm && !have_aes()) return bad_hello("a cipher that this machine has not");
  w.received = get(&b[16], 8);
  memcpy(w.nonce.data(), &b[24], kNonceBytes);
  return w;
}

std::string dialer_proof(std::string_view hello, std::string_view welcome, std::string_view key) {
  return text_of(derive("dialer's proof", hello, welcome, key));
}

bool proves(std::string_view proof, std::string_view hello, std::string_view welcome, std::string_view key) {
  return equal(proof, dialer_proof(hello, welcome, key));
}

void encode_head(const RecordHead& head, char* to) {
  put(to, head.length, 4);
  put(to + 4, head.number, 8);
  put(to + 12, head.received, 8);
}

RecordHead decode_head(const char* from) {
  return {static_cast<uint32_t>(get(from, 4)), get(from + 4, 8), get(from + 12, 8)};
}

Sealer::Sealer(Cipher cipher, Direction direction, std::string_view hello, std::string_view welcome,
               std::string_view key)
    : cipher_(cipher),
      key_(derive(direction == Direction::kToListener ? "to the listener" : "to the dialer", hello, welcome,
                  key)) {
  if (cipher_ == Cipher::kAes256Gcm) crypto_aead_aes256gcm_beforenm(&aes_, key_.data());
}

std::array<unsigned char, 12> Sealer::next_nonce() {
  std::array<unsigned char, 12> nonce{};
  const uint64_t count = count_++;
  for (size_t i = 0; i < 8; ++i) nonce[i] = static_cast<unsigned char>(count >> (8 * i));
  return nonce;
}

void Sealer::seal(std::string_view head, std::string_view block, char* to) {
  const auto nonce = next_nonce();
  auto* out = reinterpret_cast<unsigned char*>(to);
  if (cipher_ == Cipher::kAes256Gcm)
    crypto_aead_aes256gcm_encrypt_afternm(out, nullptr, bytes_of(block), block.size(), bytes_of(head),
                                          head.size(), nullptr, nonce.data(), &aes_);
  else
    crypto_aead_chacha20poly1305_ietf_encrypt(out, nullptr, bytes_of(block), block.size(), bytes_of(head),
                                              head.size(), nullptr, nonce.data(), key_.data());
}

bool Sealer::open(std::string_view head, char* sealed, size_t size) {
  const auto nonce = next_nonce();
  auto* bytes = reinterpret_cast<unsigned char*>(sealed);
  if (cipher_ == Cipher::kAes256Gcm)
    return crypto_aead_aes256gcm_decrypt_afternm(bytes, nullptr, nullptr, bytes, size, bytes_of(head),
                                                 head.size(), nonce.data(), &aes_) == 0;
  return crypto_aead_chacha20poly1305_ietf_decrypt(bytes, nullptr, nullptr, bytes, size, bytes_of(head),
                                                   head.size(), nonce.data(), key_.data()) == 0;
}

}  // namespace bai::step
