// Predictor: how long a job is going to run, from what its user's jobs ran before. Private to sokovan.
// Tsafrir, Etsion, Feitelson, "Backfilling Using System-Generated Predictions Rather Than User Runtime Estimates", TPDS 2007:
// the mean of the user's last two runs, never above what was asked; one that proves short is extended step by step.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "base/time.h"

namespace bai::sokovan {

class Predictor {
 public:
  void learn(std::uint32_t uid, Seconds limit, Seconds run);
  // At most `limit`; that itself when nothing is known of the user.
  Seconds predict(std::uint32_t uid, Seconds limit) const;
  // By how much a prediction is extended the nth time (from 0) that it proves short.
  static Seconds extension(unsigned n);

 private:
  struct History {
    Seconds last = -1, before = -1;
  };
  std::unordered_map<std::uint32_t, History> users_;  // looked up, never walked
};

}  // namespace bai::sokovan
