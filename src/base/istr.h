// Istr: an immutable, shared string of eight bytes. A job record holds some twenty strings of which most are
// empty or equal to other jobs'; sharing keeps a waiting job near a kilobyte.
// Any thread may copy and read; the reference count is atomic.
#pragma once

#include <atomic>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bai {

class Istr {
 public:
  Istr() = default;
  Istr(std::string_view text);                                     // NOLINT: implicit on purpose
  Istr(const std::string& text) : Istr(std::string_view(text)) {}  // NOLINT
  Istr(const char* text) : Istr(std::string_view(text)) {}         // NOLINT
  Istr(const Istr& other) : rep_(other.rep_) { retain(); }
  Istr(Istr&& other) noexcept : rep_(other.rep_) { other.rep_ = nullptr; }
  Istr& operator=(Istr other) noexcept {
    std::swap(rep_, other.rep_);
    return *this;
  }
  ~Istr() { release(); }

  std::string_view view() const;
  std::string str() const { return std::string(view()); }
  operator std::string_view() const { return view(); }  // NOLINT: implicit on purpose
  bool empty() const { return rep_ == nullptr; }
  // True when nobody else holds this text.
  bool unique() const;
  // Equal for copies of one Istr: a cheap key within one process.
  const void* identity() const { return rep_; }

  friend bool operator==(const Istr& a, const Istr& b) { return a.rep_ == b.rep_ || a.view() == b.view(); }
  friend bool operator==(const Istr& a, std::string_view b) { return a.view() == b; }
  friend bool operator==(const Istr& a, const std::string& b) { return a.view() == std::string_view(b); }
  friend bool operator==(const Istr& a, const char* b) { return a.view() == std::string_view(b); }
  friend std::strong_ordering operator<=>(const Istr& a, const Istr& b) { return a.view() <=> b.view(); }

  template <class Archive>
  void save(Archive& archive) const {
    archive(str());
  }
  template <class Archive>
  void load(Archive& archive) {
    std::string text;
    archive(text);
    *this = Istr(text);
  }

 private:
  struct Rep;
  void retain() const;
  void release();
  Rep* rep_ = nullptr;
};

// Shares equal texts that come soon after each other: a small cache of recent ones, by hash. Texts that are all different cost
// a comparison each and no memory. One thread.
class InternPool {
 public:
  InternPool() : recent_(kSlots) {}
  Istr intern(const Istr& text);

 private:
  static constexpr std::size_t kSlots = 1024;
  std::vector<Istr> recent_;
};

}  // namespace bai
