#include "step/record.h"

#include <array>

namespace bai::step {

namespace {

constexpr size_t kHeaderBytes = 16;  // magic, version, zero, length
constexpr size_t kFieldHeaderBytes = 6;

void put(std::string* out, uint64_t value, size_t bytes) {
  char little[8];
  for (size_t i = 0; i < sizeof little; ++i) little[i] = static_cast<char>(value >> (8 * i));
  out->append(little, bytes);
}

uint64_t get(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i > 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[i - 1]);
  return value;
}

// Compilers make one load of it.
uint32_t get4(const char* bytes) {
  auto byte = [bytes](int i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  };
  return byte(0) | byte(1) | byte(2) | byte(3);
}

// Slicing by four: a launch file is mostly script and environment.
using CrcTables = std::array<std::array<uint32_t, 256>, 4>;
constexpr CrcTables make_crc_tables() {
  CrcTables t{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int k = 0; k < 8; ++k) c = (c & 1) ? 0xedb88320u ^ (c >> 1) : c >> 1;
    t[0][i] = c;
  }
  for (uint32_t i = 0; i < 256; ++i)
    for (size_t k = 1; k < 4; ++k) t[k][i] = t[k - 1][i] >> 8 ^ t[0][t[k - 1][i] & 0xff];
  return t;
}
constexpr CrcTables kCrc = make_crc_tables();

Error bad(std::string message) { return Error{"bad_record", std::move(message)}; }

}  // namespace

uint32_t crc32(std::string_view bytes) {
  uint32_t crc = 0xffffffffu;
  size_t i = 0;
  for (; i + 4 <= bytes.size(); i += 4) {
    crc ^= get4(bytes.data() + i);
    crc = kCrc[3][crc & 0xff] ^ kCrc[2][crc >> 8 & 0xff] ^ kCrc[1][crc >> 16 & 0xff] ^ kCrc[0][crc >> 24];
  }
  for (; i < bytes.size(); ++i) crc = crc >> 8 ^ kCrc[0][(crc ^ static_cast<unsigned char>(bytes[i])) & 0xff];
  return ~crc;
}

void RecordWriter::number(uint16_t tag, uint64_t value) {
  put(&body_, tag, 2);
  put(&body_, 8, 4);
  put(&body_, value, 8);
}

void RecordWriter::text(uint16_t tag, std::string_view value) {
  put(&body_, tag, 2);
  put(&body_, value.size(), 4);
  body_.append(value);
}

std::string RecordWriter::finish(std::string_view magic, uint16_t version) const {
  std::string out;
  out.reserve(kHeaderBytes + body_.size() + 4);
  out.append(magic);
  put(&out, version, 2);
  put(&out, 0, 2);
  put(&out, body_.size(), 4);
  out.append(body_);
  put(&out, crc32(out), 4);
  return out;
}

Result<uint64_t> Field::number(uint64_t max) const {
  if (value.size() != 8) return bad("field " + std::to_string(tag) + " is no number");
  const uint64_t n = get(value);
  if (n > max) return bad("field " + std::to_string(tag) + " is out of range");
  return n;
}

Result<std::vector<Field>> parse_fields(std::string_view body, size_t max_fields) {
  std::vector<Field> fields;
  while (!body.empty()) {
    if (body.size() < kFieldHeaderBytes) return bad("cut short in a field's head");
    const auto tag = static_cast<uint16_t>(get(body.substr(0, 2)));
    const size_t length = get(body.substr(2, 4));
    body.remove_prefix(kFieldHeaderBytes);
    if (length > body.size()) return bad("field " + std::to_string(tag) + " is longer than its record");
    if (fields.size() == max_fields) return bad("too many fields");
    fields.push_back({tag, body.substr(0, length)});
    body.remove_prefix(length);
  }
  return fields;
}

Result<std::vector<Field>> parse_record(std::string_view bytes, std::string_view magic, uint16_t version,
                                        size_t max_fields) {
  if (bytes.size() < kHeaderBytes + 4 || bytes.substr(0, 8) != magic)
    return bad("not such a record, or cut short");
  if (get(bytes.substr(12, 4)) != bytes.size() - kHeaderBytes - 4) return bad("its length is wrong");
  if (get(bytes.substr(bytes.size() - 4)) != crc32(bytes.substr(0, bytes.size() - 4)))
    return bad("its checksum is wrong");
  const uint64_t found = get(bytes.substr(8, 2));
  if (found > version)
    return Error{"newer_record", "written in version " + std::to_string(found) +
                                     "; this program knows up to " + std::to_string(version)};
  return parse_fields(bytes.substr(kHeaderBytes, bytes.size() - kHeaderBytes - 4), max_fields);
}

}  // namespace bai::step
