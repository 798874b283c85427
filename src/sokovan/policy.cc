#include "sokovan/policy.h"

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
      break;
    case SchedulingPolicy::kDefault:
      rules.planned = settings.planned_starts;
      break;
  }
  if (scheduling.planned_starts && !rules.nothing_passes) rules.planned = scheduling.planned_starts;
  rules.planned_by_user = scheduling.planned_starts_per_user;
  rules.predict = scheduling.prediction == Prediction::kOn;
  return rules;
}

}  // namespace bai::sokovan
