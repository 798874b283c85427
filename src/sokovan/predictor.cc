#include "sokovan/predictor.h"

#include <algorithm>
#include <iterator>

namespace bai::sokovan {

void Predictor::learn(std::uint32_t uid, Seconds, Seconds run) {
  auto& history = users_[uid];
  history.before = history.last;
  history.last = std::max<Seconds>(run, 1);
}

Seconds Predictor::predict(std::uint32_t uid, Seconds limit) const {
  auto it = users_.find(uid);
  if (it == users_.end() || it->second.before < 0) return limit;
  const Seconds mean = (it->second.last + it->second.before) / 2;
  return limit == kUnlimited ? mean : std::min(mean, limit);
}

Seconds Predictor::extension(unsigned n) {
  static constexpr Seconds kMinutes[] = {1, 5, 15, 30, 60, 120, 300, 600, 1200, 3000, 6000};
  return 60 * kMinutes[std::min<std::size_t>(n, std::size(kMinutes) - 1)];
}

}  // namespace bai::sokovan
