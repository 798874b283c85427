#include "base/archive.h"

namespace bai {
namespace {

// Most strings are plain: one pass that the compiler can vectorise (text.h's has_control() decodes).
bool holds_control(std::string_view s) {
  bool found = false;
  bool c2 = false;
  for (const char c : s) {
    const auto b = static_cast<std::uint8_t>(c);
    found |= (b < 0x20) | (b == 0x7f);
    c2 |= b == 0xc2;
  }
  if (found || !c2) return found;
  for (std::size_t i = 0; i + 1 < s.size(); ++i) {  // U+0080 to U+009F: some terminals obey them
    const auto b = static_cast<std::uint8_t>(s[i + 1]);
    if (static_cast<std::uint8_t>(s[i]) == 0xc2 && b >= 0x80 && b < 0xa0) return true;
  }
  return false;
}

}  // namespace

Error InArchive::error() const {
  return Error{"bad_encoding", std::string("a message cannot be read: ") +
                                   (why_ != nullptr ? why_ : "no reason") + ", at byte " +
                                   std::to_string(at_)};
}

std::uint64_t InArchive::get_long_varint() {
  std::uint64_t v = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (p_ == end_) {
      fail("it ends too early");
      return 0;
    }
    const auto b = static_cast<std::uint8_t>(*p_++);
    if (shift == 63 && b > 1) break;
    v |= static_cast<std::uint64_t>(b & 0x7f) << shift;
    if (b < 0x80) {
      if (b == 0 && shift != 0) break;  // a shorter encoding exists
      return v;
    }
  }
  fail("a number is malformed");
  return 0;
}

void InArchive::get_string(std::string& s) {
  s.clear();
  const std::uint64_t n = get_varint();
  if (failed()) return;
  if (n > max_string_) return fail("a string is longer than its field allows");
  if (n > left()) return fail("a string is longer than the bytes left");
  const std::string_view v(p_, static_cast<std::size_t>(n));
  if (!any_bytes_ && holds_control(v)) return fail("a string holds a control character");
  s.assign(v);
  p_ += n;
}

}  // namespace bai
