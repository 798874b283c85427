// Predictor: how long a job is going to run, from what its user's jobs ran before. Private to sokovan; deterministic.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>
#include <unordered_map>

#include "base/time.h"

namespace bai::sokovan {

class Predictor {
 public:
  // A run that ended: of `size` CPUs asked for, with that limit.
  void learn(std::uint32_t uid, std::uint64_t size, Seconds limit, Seconds run);
  // The mean of the last four runs of the user's jobs like it: of that size and limit, or else of that limit, or else of any. At least 1, at most `limit`;
  // that itself when the user has not run anything.
  Seconds predict(std::uint32_t uid, std::uint64_t size, Seconds limit) const;

  // The mean of the user's last two runs, at most `limit`; that itself when there are not two.
  // Tsafrir, Etsion, Feitelson, "Backfilling Using System-Generated Predictions Rather Than User Runtime Estimates", TPDS 2007.
  Seconds predict_by_last_two(std::uint32_t uid, Seconds limit) const;
  // By how much such a prediction is extended the nth time (from 0) that it proves short.
  static Seconds extension(unsigned n);

 private:
  // Of the last runs, the newest first.
  struct Runs {
    std::array<Seconds, 4> last{};
    std::uint32_t count = 0;
  };
  using Key = std::tuple<std::uint32_t, std::uint64_t, Seconds>;  // kAny where it does not matter
  struct Hash {
    std::size_t operator()(const Key& key) const;
  };
  using Table = std::unordered_map<Key, Runs, Hash>;  // looked up, never walked
  const Runs* find(const Key& key) const;
  void add(const Key& key, Seconds run);

  // So that memory stays flat whatever is asked: when the one is full it becomes the other, whose rows are forgotten.
  Table recent_, older_;
};

}  // namespace bai::sokovan
