// How two ends that share a step's key prove it to each other and seal what follows. No I/O.
// The dialer (a shepherd) opens with a hello, the listener (a client) answers with a welcome that proves the key, the dialer's proof ends
// the handshake; both nonces are fresh, so nothing can be replayed. Then records in each direction:
//   u32 length of the sealed block, u64 the block's number, u64 how many blocks came the other way (authenticated, in the clear), sealed block
// Keys are BLAKE2b of the step's key over a label and the transcript, one for each proof and direction; the nonce of a record is its place
// in its direction. The cipher is AES-256-GCM where both processors have it in hardware, else ChaCha20-Poly1305 (RFC 8439); between two
// ends on one machine (stream_socket.h) the kernel carries the blocks from one to the other and no cipher is used.
// Any thread; one thread at a time per value.
#pragma once

#include <sodium.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace bai::step {

constexpr size_t kNonceBytes = 32;
constexpr size_t kProofBytes = 32;
constexpr size_t kHelloBytes = 64;
constexpr size_t kWelcomeBytes = 56 + kProofBytes;
constexpr size_t kRecordHead = 20;
constexpr size_t kMaxSeal = 16;  // what sealing adds to a block, at most

// Numbers are on the wire.
enum class Cipher : uint8_t { kChaCha20Poly1305 = 1, kAes256Gcm = 2, kNone = 3 };
// What this machine does fastest. `near`: the other end is on it too.
Cipher best_cipher(bool near);

// What the listener of a step with this key is called on the machine of that boot: nobody without the key can tell before it is there, or
// what it would be called elsewhere.
std::string near_name(std::string_view key, std::string_view boot_id);

// Who dials for what. Numbers are on the wire.
enum class LinkKind : uint8_t { kClient = 0, kAttached = 1, kPeer = 2 };

struct Hello {
  Cipher best = Cipher::kChaCha20Poly1305;
  LinkKind kind = LinkKind::kClient;
  uint32_t node_index = 0;  // of the dialer
  uint64_t link_id = 0;     // random, the same for all connections of one link
  uint64_t received = 0;    // blocks that the dialer has had on this link
  std::array<unsigned char, kNonceBytes> nonce{};
};
struct Welcome {
  Cipher cipher = Cipher::kChaCha20Poly1305;
  uint64_t received = 0;
  std::array<unsigned char, kNonceBytes> nonce{};
};

std::string encode_hello(const Hello& hello);
Result<Hello> decode_hello(std::string_view bytes);  // errors: bad_hello
// With the listener's proof.
std::string encode_welcome(const Welcome& welcome, std::string_view hello, std::string_view key);
// Errors: bad_hello (also: a cipher that will not do between here and there), wrong_key.
Result<Welcome> decode_welcome(std::string_view bytes, std::string_view hello, std::string_view key,
                               bool near);
std::string dialer_proof(std::string_view hello, std::string_view welcome, std::string_view key);
bool proves(std::string_view proof, std::string_view hello, std::string_view welcome, std::string_view key);

std::array<unsigned char, kNonceBytes> fresh_nonce();

struct RecordHead {
  uint32_t length = 0;  // of the sealed block
  uint64_t number = 0;
  uint64_t received = 0;
};
void encode_head(const RecordHead& head, char* to);
RecordHead decode_head(const char* from);

// One direction of a connection. Copies of the key are wiped.
class Sealer {
 public:
  enum class Direction : uint8_t { kToListener, kToDialer };
  Sealer(Cipher cipher, Direction direction, std::string_view hello, std::string_view welcome,
         std::string_view key);
  ~Sealer() { sodium_memzero(this, sizeof *this); }
  Sealer(const Sealer&) = default;
  Sealer& operator=(const Sealer&) = default;

  // Blocks go as they are: neither seal() nor open() is called.
  bool plain() const { return cipher_ == Cipher::kNone; }
  // What a block is longer by once it is sealed.
  size_t overhead() const { return plain() ? 0 : kMaxSeal; }
  // Writes overhead() bytes more than `block` has to `to`.
  void seal(std::string_view head, std::string_view block, char* to);
  // In place; false: it was altered, or is not the next one. `sealed` has at least overhead() bytes.
  bool open(std::string_view head, char* sealed, size_t size);

 private:
  std::array<unsigned char, 12> next_nonce();
  Cipher cipher_;
  uint64_t count_ = 0;
  std::array<unsigned char, 32> key_{};
  crypto_aead_aes256gcm_state aes_;
};

}  // namespace bai::step
