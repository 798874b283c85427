#include "store/content_sweep.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace bai::store {
namespace {

Hash256 hash(int n) { return hash256(std::to_string(n)); }

// The tables, and one step as the drivers make it.
struct Tables {
  std::map<std::int64_t, std::pair<int, int>> launches;
  std::set<Hash256> contents;
  ContentSweep sweep;

  void submit(std::int64_t job, int script, int environment) {
    sweep.use(hash(script));
    sweep.use(hash(environment));
    launches[job] = {script, environment};
    contents.insert({hash(script), hash(environment)});
  }
  void step(std::uint32_t limit) {
    if (sweep.marking()) {
      std::vector<ContentSweep::Launch> rows;
      for (auto it = launches.upper_bound(sweep.job()); it != launches.end() && rows.size() < limit; ++it)
        rows.push_back({it->first, hash(it->second.first), hash(it->second.second)});
      return sweep.mark(rows, limit);
    }
    std::vector<Hash256> rows;
    for (const auto& h : contents)
      if (h.view() > sweep.hash() && rows.size() < limit) rows.push_back(h);
    for (const auto& h : sweep.unused(rows, limit)) contents.erase(h);
  }
  std::set<Hash256> named() const {
    std::set<Hash256> out;
    for (const auto& [job, names] : launches) out.insert({hash(names.first), hash(names.second)});
    return out;
  }
};

TEST(ContentSweep, nothing_in_use_goes_whatever_happens_between_the_steps) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    Tables t;
    std::int64_t next = 1;
    for (int i = 0; i < 300; ++i) {
      switch (pick(4)) {
        case 0:
        case 1:
          t.submit(next++, pick(20), 100 + pick(3));
          break;
        case 2:
          if (!t.launches.empty())
            t.launches.erase(std::next(t.launches.begin(), pick(static_cast<int>(t.launches.size()))));
          break;
        default:
          t.step(1 + static_cast<std::uint32_t>(pick(5)));
      }
      const auto named = t.named();
      ASSERT_TRUE(std::includes(t.contents.begin(), t.contents.end(), named.begin(), named.end())) << seed;
    }
    // Two rounds without changes, and what nobody names is gone.
    for (int i = 0; i < 1000; ++i) t.step(3);
    EXPECT_EQ(t.contents, t.named()) << seed;
  }
}

}  // namespace
}  // namespace bai::store
