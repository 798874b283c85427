// The frozen record format of everything that the shepherd reads or writes: tagged fields in a small envelope.
//   8 bytes magic, u16 version, u16 zero, u32 body length, body, u32 CRC-32 (IEEE 802.3) of all before it
//   body: fields, each u16 tag, u32 length, value; integers are 8 bytes little endian
// A repeated tag is a list. Unknown tags are skipped; what a reader must understand raises the version.
// Any thread; plain values. A reader's views point into the bytes that it was given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bai::step {

// CRC-32 as in IEEE 802.3 (zlib's crc32).
uint32_t crc32(std::string_view bytes);

// Puts fields together.
class RecordWriter {
 public:
  void number(uint16_t tag, uint64_t value);
  void text(uint16_t tag, std::string_view value);
  // The fields alone, as a protocol frame carries them.
  const std::string& body() const { return body_; }
  // The whole record; `magic` has 8 bytes.
  std::string finish(std::string_view magic, uint16_t version) const;

 private:
  std::string body_;
};

// One field as it was found.
struct Field {
  uint16_t tag = 0;
  std::string_view value;

  // Errors (bad_record): not 8 bytes, or above `max`.
  Result<uint64_t> number(uint64_t max = UINT64_MAX) const;
};

// The fields of a body. Errors (bad_record): a length beyond the bytes left, more than `max_fields`.
Result<std::vector<Field>> parse_fields(std::string_view body, size_t max_fields);
// Checks the envelope and gives the fields. Errors (bad_record): magic, length, checksum; (newer_record): the version is above `version`.
Result<std::vector<Field>> parse_record(std::string_view bytes, std::string_view magic, uint16_t version,
                                        size_t max_fields);

}  // namespace bai::step
