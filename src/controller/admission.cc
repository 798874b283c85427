#include "controller/admission.h"

namespace bai::controller {
namespace {

constexpr std::size_t kSmall = 64 << 10;

}  // namespace

Admitted Admission::enter(std::size_t bytes) {
  const std::size_t limit = bytes <= kSmall ? 2 * max_bytes_ : max_bytes_;
  std::size_t waiting = *waiting_;
  do
    if (waiting != 0 && waiting + bytes > limit) return nullptr;
  while (!waiting_->compare_exchange_weak(waiting, waiting + bytes));
  return Admitted(this, [waiting = waiting_, bytes](const void*) { *waiting -= bytes; });
}

}  // namespace bai::controller
