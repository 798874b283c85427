#include "cast/tree.h"

#include <zlib.h>

namespace bai::cast {

std::optional<std::uint32_t> parent_of(std::uint32_t rank, std::uint32_t fanout) {
  if (rank < fanout) return {};
  return rank / fanout - 1;
}

Piece pack(std::string_view bytes, bool compress) {
  if (compress && !bytes.empty()) {
    uLongf size = bytes.size();  // one that does not shrink is not worth it
    std::string out(size, '\0');
    if (compress2(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(bytes.data()),
                  bytes.size(), 1) == Z_OK) {
      out.resize(size);
      return {1, std::move(out)};
    }
  }
  return {0, std::string(bytes)};
}

Result<std::string> unpack(std::uint8_t detail, std::string_view bytes) {
  if (detail == 0 && bytes.size() <= kMaxPiece) return std::string(bytes);
  if (detail != 1) return Error{"bad_frame", "a piece of the file is of an unknown kind"};
  std::string out(kMaxPiece, '\0');
  uLongf size = out.size();
  if (uncompress(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(bytes.data()),
                 bytes.size()) != Z_OK)
    return Error{"bad_frame", "a piece of the file is damaged"};
  out.resize(size);
  return out;
}

}  // namespace bai::cast
