#include "base/istr.h"

#include <cstring>
#include <new>

namespace bai {

struct Istr::Rep {
  std::atomic<std::uint32_t> count;
  std::uint32_t size;
  char* text() { return reinterpret_cast<char*>(this + 1); }
};

Istr::Istr(std::string_view text) {
  if (text.empty()) return;
  void* memory = ::operator new(sizeof(Rep) + text.size());
  rep_ = new (memory) Rep{1, static_cast<std::uint32_t>(text.size())};
  std::memcpy(rep_->text(), text.data(), text.size());
}

std::string_view Istr::view() const {
  return rep_ ? std::string_view(rep_->text(), rep_->size) : std::string_view();
}

bool Istr::unique() const { return rep_ && rep_->count.load(std::memory_order_acquire) == 1; }

void Istr::retain() const {
  if (rep_) rep_->count.fetch_add(1, std::memory_order_relaxed);
}

void Istr::release() {
  if (!rep_) return;
  if (rep_->count.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    rep_->~Rep();
    ::operator delete(rep_);
  }
  rep_ = nullptr;
}

Istr InternPool::intern(const Istr& text) {
  if (text.empty()) return text;
  Istr& slot = recent_[std::hash<std::string_view>()(text.view()) % kSlots];
  if (!(slot == text)) slot = text;
  return slot;
}

}  // namespace bai
