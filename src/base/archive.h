// The bytes of a message: Cereal archives of our own. Integers are LEB128 varints (zigzag when signed), a bool is one byte,
// floating point is 8 bytes little endian, byte arrays are raw, everything that varies in size is preceded by its count.
// One value has one encoding. The input archive is for hostile bytes: it checks every length against the bytes left and
// the field's cap before it allocates, so that memory stays within a small factor of the input.
// Any thread; an archive is used by one thread at a time.
//
//   struct Point { int x; std::string name; std::string script; std::vector<int> v;
//     template <class A> void serialize(A& a) { a(x, name, blob(script, 4 << 20), cap(v, 100)); } };
//   std::string bytes = encode(p);   Result<Point> q = decode<Point>(bytes);
//
// Caps are the reader's business: encode() writes whatever it is given. Supported: integers, enums, bool, double, float,
// std::string, vector, array, optional, map, set, pair, variant, monostate, and structs with serialize().
// An element of a vector, map or set must take at least one byte (no vectors of empty structs).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cereal/cereal.hpp>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace bai {

inline constexpr std::size_t kDefaultStringBytes = 4096;
inline constexpr std::size_t kDefaultElements = std::size_t{1} << 20;
inline constexpr int kArchiveDepth = 32;  // containers within containers

// cap(string, n): at most n bytes, still without control characters. cap(container, n): at most n elements.
template <class T>
struct Capped {
  T& field;
  std::size_t max;
};
template <class T>
Capped<T> cap(T& field, std::size_t max) {
  return {field, max};
}

// blob(x, n): every string within x may hold any bytes, up to n each; x itself at most `count` elements.
template <class T>
struct Blob {
  T& field;
  std::size_t max;
  std::size_t count;
};
template <class T>
Blob<T> blob(T& field, std::size_t max, std::size_t count = kDefaultElements) {
  return {field, max, count};
}

// at_most(e, last): an enum or unsigned integer that may not exceed `last`.
template <class T>
struct AtMost {
  T& field;
  T last;
};
template <class T>
AtMost<T> at_most(T& field, std::type_identity_t<T> last) {
  return {field, last};
}

template <class T>
inline constexpr bool kIsByte = sizeof(T) == 1 && std::is_integral_v<T> && !std::is_same_v<T, bool>;

// Appends the encoding of what it is called with to a string.
class OutArchive : public cereal::OutputArchive<OutArchive, cereal::AllowEmptyClassElision> {
 public:
  // `out` must outlive the archive. `version` is the protocol version that serialize() may ask for.
  explicit OutArchive(std::string& out, std::uint32_t version = 0)
      : cereal::OutputArchive<OutArchive, cereal::AllowEmptyClassElision>(this),
        out_(out),
        version_(version) {}

  static constexpr bool kReading = false;
  std::uint32_t version() const { return version_; }

  void put_varint(std::uint64_t v) {
    char buf[10];
    std::size_t n = 0;
    while (v >= 0x80) {
      buf[n++] = static_cast<char>(v | 0x80);
      v >>= 7;
    }
    buf[n++] = static_cast<char>(v);
    out_.append(buf, n);
  }
  void put_byte(char c) { out_.push_back(c); }
  void put_bytes(const void* data, std::size_t n) { out_.append(static_cast<const char*>(data), n); }

 private:
  std::string& out_;
  std::uint32_t version_;
};

// Reads what OutArchive wrote. The first failure is kept: from then on nothing is read and containers stay as they are,
// so serialize() functions need no checks; decode() reports it.
class InArchive : public cereal::InputArchive<InArchive, cereal::AllowEmptyClassElision> {
 public:
  explicit InArchive(std::string_view in, std::uint32_t version = 0)
      : cereal::InputArchive<InArchive, cereal::AllowEmptyClassElision>(this),
        begin_(in.data()),
        p_(in.data()),
        end_(in.data() + in.size()),
        version_(version) {}

  static constexpr bool kReading = true;
  std::uint32_t version() const { return version_; }
  std::size_t left() const { return static_cast<std::size_t>(end_ - p_); }
  bool failed() const { return why_ != nullptr; }

  // Marks the input as bad; `why` must be a literal. serialize() functions may call it for checks of their own.
  void fail(const char* why) {
    if (why_ == nullptr) {
      why_ = why;
      at_ = static_cast<std::size_t>(p_ - begin_);
      p_ = end_;
    }
  }
  Error error() const;

  std::uint64_t get_varint() {
    if (p_ != end_ && static_cast<signed char>(*p_) >= 0) return static_cast<std::uint8_t>(*p_++);
    return get_long_varint();
  }
  std::uint8_t get_byte() {
    if (p_ == end_) {
      fail("it ends too early");
      return 0;
    }
    return static_cast<std::uint8_t>(*p_++);
  }
  void get_bytes(void* to, std::size_t n) {
    if (left() < n) return fail("it ends too early");
    if (n == 0) return;  // `to` may be null then
    std::memcpy(to, p_, n);
    p_ += n;
  }

  // The number of elements that follow: at most the cap of the surrounding cap() and the bytes left.
  std::size_t get_count() {
    const std::size_t max = std::exchange(max_elements_, kDefaultElements);
    const std::uint64_t n = get_varint();
    if (n > max) {
      fail("a list has too many elements");
      return 0;
    }
    if (n > left()) {
      fail("a list is longer than the bytes left");
      return 0;
    }
    return static_cast<std::size_t>(n);
  }
  void get_string(std::string& s);

  // Runs `read` one container deeper.
  template <class F>
  void nested(F&& read) {
    if (++depth_ > kArchiveDepth) fail("it is nested too deeply");
    if (!failed()) read();
    --depth_;
  }
  void next_elements_max(std::size_t max) { max_elements_ = max; }
  template <class F>
  void with_strings(std::size_t max, bool any_bytes, F&& read) {
    const auto saved = std::pair(max_string_, any_bytes_);
    max_string_ = max;
    any_bytes_ = any_bytes;
    read();
    max_string_ = saved.first;
    any_bytes_ = saved.second;
  }

 private:
  std::uint64_t get_long_varint();

  const char* begin_;
  const char* p_;
  const char* end_;
  const char* why_ = nullptr;
  std::size_t at_ = 0;
  std::size_t max_string_ = kDefaultStringBytes;
  std::size_t max_elements_ = kDefaultElements;
  bool any_bytes_ = false;
  int depth_ = 0;
  std::uint32_t version_;
};

}  // namespace bai
CEREAL_SETUP_ARCHIVE_TRAITS(bai::InArchive, bai::OutArchive)
namespace bai {

// The encoding of `value`.
template <class T>
std::string encode(const T& value, std::uint32_t version = 0) {
  std::string out;
  OutArchive a(out, version);
  a(value);
  return out;
}

// The value that `bytes` hold; all of them must be used. Error code "bad_encoding". Never throws.
template <class T>
Result<T> decode(std::string_view bytes, std::uint32_t version = 0) {
  T value{};
  InArchive a(bytes, version);
  a(value);
  if (!a.failed() && a.left() != 0) a.fail("bytes are left over");
  if (a.failed()) return a.error();
  return value;
}

// ---- What Cereal calls, found by argument-dependent lookup. ----

template <class T>
std::enable_if_t<std::is_arithmetic_v<T>> CEREAL_SAVE_FUNCTION_NAME(OutArchive& a, const T& v) {
  if constexpr (std::is_same_v<T, bool>) {
    a.put_byte(v ? 1 : 0);
  } else if constexpr (std::is_floating_point_v<T>) {
    static_assert(sizeof(T) <= 8 && std::endian::native == std::endian::little);
    const double d = v;
    a.put_bytes(&d, 8);
  } else if constexpr (std::is_signed_v<T>) {
    const std::int64_t i = v;
    a.put_varint((static_cast<std::uint64_t>(i) << 1) ^ static_cast<std::uint64_t>(i >> 63));
  } else {
    a.put_varint(v);
  }
}
template <class T>
std::enable_if_t<std::is_arithmetic_v<T>> CEREAL_LOAD_FUNCTION_NAME(InArchive& a, T& v) {
  if constexpr (std::is_same_v<T, bool>) {
    const auto b = a.get_byte();
    if (b > 1) a.fail("a bool is neither 0 nor 1");
    v = b == 1;
  } else if constexpr (std::is_floating_point_v<T>) {
    static_assert(sizeof(T) <= 8 && std::endian::native == std::endian::little);
    double d = 0;
    a.get_bytes(&d, 8);
    v = static_cast<T>(d);
  } else {
    const std::uint64_t u = a.get_varint();
    if constexpr (std::is_signed_v<T>) {
      const auto i = static_cast<std::int64_t>((u >> 1) ^ (~(u & 1) + 1));
      v = static_cast<T>(i);
      if (static_cast<std::int64_t>(v) != i) a.fail("a number is out of range");
    } else {
      v = static_cast<T>(u);
      if (static_cast<std::uint64_t>(v) != u) a.fail("a number is out of range");
    }
  }
}

// Enums: Cereal itself turns them into their underlying integers.

inline void CEREAL_SAVE_FUNCTION_NAME(OutArchive& a, const std::string& s) {
  a.put_varint(s.size());
  a.put_bytes(s.data(), s.size());
}
inline void CEREAL_LOAD_FUNCTION_NAME(InArchive& a, std::string& s) { a.get_string(s); }

template <class T, class Alloc>
void CEREAL_SAVE_FUNCTION_NAME(OutArchive& a, const std::vector<T, Alloc>& v) {
  a.put_varint(v.size());
  if constexpr (kIsByte<T>) {
    a.put_bytes(v.data(), v.size());
  } else {
    for (const T& x : v) a(x);
  }
}
template <class T, class Alloc>
void CEREAL_LOAD_FUNCTION_NAME(InArchive& a, std::vector<T, Alloc>& v) {
  v.clear();
  a.nested([&] {
    const std::size_t n = a.get_count();
    if constexpr (kIsByte<T>) {
      v.resize(n);
      a.get_bytes(v.data(), n);
    } else {
      v.reserve(std::min(n, 4 * a.left() / sizeof(T)));  // bounded by the input, not by what it claims
      for (std::size_t i = 0; i < n && !a.failed(); ++i) {
        if constexpr (std::is_same_v<T, bool>) {
          bool x = false;
          a(x);
          v.push_back(x);
        } else {
          a(v.emplace_back());
        }
      }
    }
  });
}

template <class T, std::size_t N>
void CEREAL_SAVE_FUNCTION_NAME(OutArchive& a, const std::array<T, N>& v) {
  if constexpr (kIsByte<T>) {
    a.put_bytes(v.data(), N);
  } else {
    for (const T& x : v) a(x);
  }
}
template <class T, std::size_t N>
void CEREAL_LOAD_FUNCTION_NAME(InArchive& a, std::array<T, N>& v) {
  if constexpr (kIsByte<T>) {
    a.get_bytes(v.data(), N);
  } else {
    for (T& x : v) a(x);
  }
}

template <class T>
void CEREAL_SAVE_FUNCTION_NAME(OutArchive& a, const std::optional<T>& v) {
  a.put_byte(v ? 1 : 0);
  if (v) a(*v);
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(InArchive& a, std::optional<T>& v) {
  v.reset();
  a.nested([&] {
    bool there = false;
    a(there);
    if (there) a(v.emplace());
  });
}

template <class K, class V>
void CEREAL_SAVE_FUNCTION_NAME(OutArchive& a, const std::pair<K, V>& v) {
  a(v.first, v.second);
}
template <class K, class V>
void CEREAL_LOAD_FUNCTION_NAME(InArchive& a, std::pair<K, V>& v) {
  a(v.first, v.second);
}

template <class K, class V, class C, class Alloc>
void CEREAL_SAVE_FUNCTION_NAME(OutArchive& a, const std::map<K, V, C, Alloc>& m) {
  a.put_varint(m.size());
  for (const auto& [k, v] : m) a(k, v);
}
template <class K, class V, class C, class Alloc>
void CEREAL_LOAD_FUNCTION_NAME(InArchive& a, std::map<K, V, C, Alloc>& m) {
  m.clear();
  a.nested([&] {
    const std::size_t n = a.get_count();
    for (std::size_t i = 0; i < n && !a.failed(); ++i) {
      K k{};
      a(k);
      if (!m.empty() && !m.key_comp()(m.rbegin()->first, k)) return a.fail("map keys are not in order");
      a(m.emplace_hint(m.end(), std::move(k), V{})->second);
    }
  });
}
template <class K, class C, class Alloc>
void CEREAL_SAVE_FUNCTION_NAME(OutArchive& a, const std::set<K, C, Alloc>& s) {
  a.put_varint(s.size());
  for (const auto& k : s) a(k);
}
template <class K, class C, class Alloc>
void CEREAL_LOAD_FUNCTION_NAME(InArchive& a, std::set<K, C, Alloc>& s) {
  s.clear();
  a.nested([&] {
    const std::size_t n = a.get_count();
    for (std::size_t i = 0; i < n && !a.failed(); ++i) {
      K k{};
      a(k);
      if (!s.empty() && !s.key_comp()(*s.rbegin(), k)) return a.fail("set members are not in order");
      s.emplace_hint(s.end(), std::move(k));
    }
  });
}

inline void CEREAL_SAVE_FUNCTION_NAME(OutArchive&, const std::monostate&) {}
inline void CEREAL_LOAD_FUNCTION_NAME(InArchive&, std::monostate&) {}

template <class... Ts>
void CEREAL_SAVE_FUNCTION_NAME(OutArchive& a, const std::variant<Ts...>& v) {
  a.put_varint(v.index());
  std::visit([&](const auto& x) { a(x); }, v);
}
template <class... Ts>
void CEREAL_LOAD_FUNCTION_NAME(InArchive& a, std::variant<Ts...>& v) {
  a.nested([&] {
    const std::uint64_t index = a.get_varint();
    const bool known = [&]<std::size_t... I>(std::index_sequence<I...>) {
      return ((index == I && (a(v.template emplace<I>()), true)) || ...);
    }
    (std::index_sequence_for<Ts...>{});
    if (!known) a.fail("a variant has an unknown kind");
  });
}

template <class T>
void CEREAL_SAVE_FUNCTION_NAME(OutArchive& a, const Capped<T>& c) {
  a(c.field);
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(InArchive& a, Capped<T>& c) {
  if constexpr (std::is_same_v<std::remove_const_t<T>, std::string> ||
                std::is_same_v<T, std::optional<std::string>>) {
    a.with_strings(c.max, false, [&] { a(c.field); });
  } else {
    a.next_elements_max(c.max);
    a(c.field);
    a.next_elements_max(kDefaultElements);
  }
}
template <class T>
void CEREAL_SAVE_FUNCTION_NAME(OutArchive& a, const Blob<T>& b) {
  a(b.field);
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(InArchive& a, Blob<T>& b) {
  a.next_elements_max(b.count);
  a.with_strings(b.max, true, [&] { a(b.field); });
  a.next_elements_max(kDefaultElements);
}
template <class T>
void CEREAL_SAVE_FUNCTION_NAME(OutArchive& a, const AtMost<T>& m) {
  a(m.field);
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(InArchive& a, AtMost<T>& m) {
  a(m.field);
  if (m.field > m.last) {
    m.field = m.last;
    a.fail("a value is out of range");
  }
}

}  // namespace bai
