#include "sokovan/policy.h"

#include <algorithm>
#include <limits>

namespace bai::sokovan {

Rules rules_of(const PartitionScheduling& scheduling, const SchedulingSettings& settings) {
  Rules rules;
  switch (scheduling.policy) {
    case SchedulingPolicy::kFcfs:
      rules.nothing_passes = true;
      break;
    case SchedulingPolicy::kEasy:
      break;
    case SchedulingPolicy::kEasySjbf:
      rules.backfill = Rules::kShortest;
      break;
    case SchedulingPolicy::kConservative:
      rules.planned = std::numeric_limits<std::uint32_t>::max();
      rules.stand = true;
      break;
    case SchedulingPolicy::kDefault:
      rules.by_due = scheduling.prediction != Prediction::kOff;
      rules.planned = settings.planned_starts ? settings.planned_starts : rules.by_due ? 1 : 100;
      break;
  }
  if (scheduling.planned_starts && !rules.nothing_passes) rules.planned = scheduling.planned_starts;
  rules.planned_by_user = scheduling.planned_starts_per_user;
  rules.predict = scheduling.prediction == Prediction::kOn && !rules.by_due;
  return rules;
}

Time due(Time submitted, Seconds predicted, const Share& share) {
  constexpr Seconds kSlowest = 40, kWidest = 48 * 3600;
  const Seconds later =
      predicted == kUnlimited || predicted > kPatience / kSlowest ? kPatience : kSlowest * predicted;
  Seconds earlier = 0;
  if (share.total > 0) {
    const __int128 asked = std::min(share.asked, share.total), total = share.total;
    earlier = static_cast<Seconds>(kWidest * asked * asked / (total * total));
  }
  return submitted + (later - earlier);
}

}  // namespace bai::sokovan
