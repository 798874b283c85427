#include "sokovan/predictor.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace bai::sokovan {
namespace {

constexpr std::size_t kMostRows = 50'000;
constexpr std::uint64_t kAnySize = UINT64_MAX;
constexpr Seconds kAnyLimit = -2;

}  // namespace

std::size_t Predictor::Hash::operator()(const Key& key) const {
  std::uint64_t h = 0;
  for (std::uint64_t part :
       {std::uint64_t{std::get<0>(key)}, std::get<1>(key), static_cast<std::uint64_t>(std::get<2>(key))}) {
    h = (h ^ part) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
  }
  return h;
}

const Predictor::Runs* Predictor::find(const Key& key) const {
  for (const auto* table : {&recent_, &older_})
    if (auto it = table->find(key); it != table->end()) return &it->second;
  return nullptr;
}

void Predictor::add(const Key& key, Seconds run) {
  const auto* known = find(key);
  Runs runs = known ? *known : Runs{};
  std::copy_backward(runs.last.begin(), runs.last.end() - 1, runs.last.end());
  runs.last[0] = std::max<Seconds>(run, 0);
  runs.count = std::min<std::uint32_t>(runs.count + 1, runs.last.size());
  if (recent_.size() >= kMostRows) older_ = std::exchange(recent_, {});
  recent_[key] = runs;
}

void Predictor::learn(std::uint32_t uid, std::uint64_t size, Seconds limit, Seconds run) {
  add({uid, size, limit}, run);
  add({uid, kAnySize, limit}, run);
  add({uid, kAnySize, kAnyLimit}, run);
}

Seconds Predictor::predict(std::uint32_t uid, std::uint64_t size, Seconds limit) const {
  for (const auto& key : {Key{uid, size, limit}, Key{uid, kAnySize, limit}, Key{uid, kAnySize, kAnyLimit}}) {
    const auto* runs = find(key);
    if (!runs) continue;
    Seconds sum = 0;
    for (std::uint32_t i = 0; i < runs->count; ++i) sum += runs->last[i];
    const auto mean = std::max<Seconds>(sum / runs->count, 1);
    return limit == kUnlimited ? mean : std::min(mean, limit);
  }
  return limit;
}

Seconds Predictor::predict_by_last_two(std::uint32_t uid, Seconds limit) const {
  const auto* runs = find({uid, kAnySize, kAnyLimit});
  if (!runs || runs->count < 2) return limit;
  const auto mean = std::max<Seconds>((runs->last[0] + runs->last[1]) / 2, 1);
  return limit == kUnlimited ? mean : std::min(mean, limit);
}

Seconds Predictor::extension(unsigned n) {
  static constexpr Seconds kMinutes[] = {1, 5, 15, 30, 60, 120, 300, 600, 1200, 3000, 6000};
  return 60 * kMinutes[std::min<std::size_t>(n, std::size(kMinutes) - 1)];
}

}  // namespace bai::sokovan
