// How the first estimates of starts turned out, as it is kept: in a few settings, each with some fifty of them, so that what a start adds is
// one small row of the transaction that the start is in, and the newest thousand survive a restart. Plain value; the state thread's.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "store/store.h"

namespace bai::controller {

// "estimates/07", whose text is "350 12 0 -3": from the 350th on, in seconds by which jobs started later than they were first told.
inline constexpr std::string_view kEstimates = "estimates/";

class EstimateLog {
 public:
  EstimateLog() = default;
  // What is not understood is passed over: nothing is wrong then but a number that bai-why tells.
  explicit EstimateLog(const std::map<std::string, std::string>& settings);

  void add(Seconds late);
  // The rows that changed since they were last taken.
  std::vector<store::SettingPut> take();
  // Oldest first.
  std::vector<Seconds> all() const;

 private:
  struct Row {
    std::uint64_t first = 0;  // counted since ever
    std::vector<Seconds> late;
  };
  std::map<std::size_t, Row> rows_;  // by number: a new one takes the oldest's place
  std::set<std::size_t> changed_;
  std::uint64_t next_ = 0;
};

}  // namespace bai::controller
