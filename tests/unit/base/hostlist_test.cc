#include "base/hostlist.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/text.h"

namespace bai {
namespace {

std::string expanded(std::string_view text, size_t max_hosts = kMaxHosts) {
  const Result<std::vector<std::string>> r = expand_hostlist(text, max_hosts);
  return r.ok() ? join(*r, ",") : r.error().code;
}

TEST(Hostlist, expands) {
  EXPECT_EQ(expanded("login"), "login");
  EXPECT_EQ(expanded("n[1-4,7],login"), "n1,n2,n3,n4,n7,login");
  EXPECT_EQ(expanded("gpu[008-011]"), "gpu008,gpu009,gpu010,gpu011");
  EXPECT_EQ(expanded("n[9-11]"), "n9,n10,n11");
  EXPECT_EQ(expanded("n[09-10,1]"), "n09,n10,n1");
  EXPECT_EQ(expanded("r[1-2]n[1-3]"), "r1n1,r1n2,r1n3,r2n1,r2n2,r2n3");
  EXPECT_EQ(expanded("r[1-2]-ib.site"), "r1-ib.site,r2-ib.site");
  EXPECT_EQ(expanded("[1-3]"), "1,2,3");
  EXPECT_EQ(expanded("n1,n1,n[1,1]"), "n1,n1,n1,n1");
  EXPECT_EQ(expanded(" n1, n2\n,,n3 "), "n1,n2,n3");
  EXPECT_EQ(expanded(""), "");
}

TEST(Hostlist, refuses_with_the_place) {
  for (const char* bad :
       {"n[", "n]", "n[]", "n[1", "n[1-", "n[1-]", "n[-1]", "n[1,]", "n[,1]", "n[4-1]", "n[1-4:2]", "n[[1]]",
        "n[a]", "n/1", "n 1$", "n[1 ]", "n\x01", "n[1][", "n[1234567890123456789]"}) {
    const Result<std::vector<std::string>> r = expand_hostlist(bad);
    ASSERT_FALSE(r.ok()) << bad << " gave " << join(*r, ",");
    EXPECT_EQ(r.error().code, "bad_hostlist") << bad;
    EXPECT_NE(r.error().message.find("at column "), std::string::npos) << r.error().message;
    EXPECT_FALSE(r.error().remedy.empty()) << bad;
  }
  EXPECT_EQ(expand_hostlist("a,n[4-1]").error().message,
            "a range that goes down at column 5 of host list 'a,n[4-1]'");
}

TEST(Hostlist, bounds_what_it_makes) {
  EXPECT_EQ(expanded("n[1-3]", 3), "n1,n2,n3");
  EXPECT_EQ(expanded("n[1-4]", 3), "bad_hostlist");
  EXPECT_EQ(expanded("a,b,c,d", 3), "bad_hostlist");
  EXPECT_EQ(expanded("n[1-2]m[1-2]", 3), "bad_hostlist");
  EXPECT_EQ(expanded("n[1-2],m[1-2]", 3), "bad_hostlist");
  EXPECT_EQ(expanded("n[0-999999999999999999]"), "bad_hostlist");
  EXPECT_EQ(expanded("n[1-60000,1-60000]"), "bad_hostlist");
  EXPECT_EQ(expanded("a[1-9999]b[1-9999]c[1-9999]d[1-9999]e[1-9999]f[1-9999]"), "bad_hostlist");
  EXPECT_EQ(expand_hostlist("n[1-65536]")->size(), 65536u);
  EXPECT_EQ(expanded(std::string(256, 'n')), "bad_hostlist");
  EXPECT_EQ(expanded(std::string(250, 'n') + "[1-1000000]", 2'000'000), "bad_hostlist");
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "[1]";
  EXPECT_EQ(expanded(deep), "bad_hostlist");
}

TEST(Hostlist, compresses_in_order) {
  EXPECT_EQ(compress_hostlist({}), "");
  EXPECT_EQ(compress_hostlist({"n1"}), "n1");
  EXPECT_EQ(compress_hostlist({"n1", "n2", "n3", "n7", "login"}), "n[1-3,7],login");
  EXPECT_EQ(compress_hostlist({"n3", "n1", "n2"}), "n[3,1-2]");
  EXPECT_EQ(compress_hostlist({"n1", "n1"}), "n[1,1]");
  EXPECT_EQ(compress_hostlist({"n9", "n10", "n11"}), "n[9-11]");
  EXPECT_EQ(compress_hostlist({"n09", "n10"}), "n[09-10]");
  EXPECT_EQ(compress_hostlist({"n98", "n99", "n100"}), "n[98-100]");
  EXPECT_EQ(compress_hostlist({"n1", "n02"}), "n[1,02]");
  EXPECT_EQ(compress_hostlist({"r1n1", "r1n2", "r2n1"}), "r1n[1-2],r2n1");
  EXPECT_EQ(compress_hostlist({"a", "b", "a"}), "a,b,a");
  EXPECT_EQ(compress_hostlist({"n", "n1", "n2"}), "n,n[1-2]");
}

TEST(Hostlist, compresses_sorted) {
  EXPECT_EQ(compress_hostlist_sorted({"n2", "n10", "n1", "n2"}), "n[1-2,10]");
  EXPECT_EQ(compress_hostlist_sorted({"b1", "a2", "b2", "a1"}), "a[1-2],b[1-2]");
}

TEST(Hostlist, orders_numbers_by_value) {
  std::vector<std::string> names = {"n10", "n2",   "n02",  "m",     "n",   "n1-ib",
                                    "n1",  "n002", "r2n1", "r1n10", "r1n9"};
  std::sort(names.begin(), names.end(), host_less);
  EXPECT_EQ(join(names, " "), "m n n1 n1-ib n2 n02 n002 n10 r1n9 r1n10 r2n1");
  EXPECT_FALSE(host_less("n1", "n1"));
}

TEST(Hostlist, knows_names) {
  EXPECT_TRUE(is_host_name("gpu-001.site_a"));
  for (const char* bad : {"", "n[1]", "a b", "a,b", "a/b", "\xc3\xa9"})
    EXPECT_FALSE(is_host_name(bad)) << bad;
}

// Names with every awkward mix of stems, paddings, repeats and orders come back as they were.
TEST(Hostlist, round_trip) {
  std::mt19937 random(20260102);
  const auto pick = [&](unsigned below) { return static_cast<unsigned>(random()) % below; };
  const std::vector<std::string> stems = {"n", "n0", "gpu-", "r1n", "", "x.y", "9-"};
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> names;
    for (unsigned left = pick(40); left > 0; --left) {
      const unsigned start = pick(4) == 0 ? 95 + pick(10) : pick(12);
      const unsigned width = pick(4);
      const std::string& stem = stems[pick(static_cast<unsigned>(stems.size()))];
      for (unsigned n = start; n <= start + pick(6); ++n) {
        std::string digits = std::to_string(n);
        if (digits.size() < width) digits.insert(0, width - digits.size(), '0');
        names.push_back(stem + digits);
      }
      if (pick(5) == 0) names.push_back("login");
    }
    const std::string text = compress_hostlist(names);
    const Result<std::vector<std::string>> back = expand_hostlist(text);
    ASSERT_TRUE(back.ok()) << text << ": " << back.error().text();
    ASSERT_EQ(*back, names) << text;

    std::vector<std::string> sorted = names;
    std::sort(sorted.begin(), sorted.end(), host_less);
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    ASSERT_EQ(*expand_hostlist(compress_hostlist_sorted(names)), sorted);
  }
}

TEST(Hostlist, numbers_hosts) {
  EXPECT_EQ(numbered_hosts("n", 1), "n1");
  EXPECT_EQ(numbered_hosts("n", 9), "n[1-9]");
  EXPECT_EQ(numbered_hosts("n", 10), "n[01-10]");
  EXPECT_EQ(numbered_hosts("gpu-", 1000), "gpu-[0001-1000]");
  EXPECT_EQ(expand_hostlist(numbered_hosts("n", 1000))->size(), 1000u);
}

TEST(Hostlist, survives_noise) {
  std::mt19937 random(7);
  const std::string_view bytes = "n1059[]-,, .\x01\xff";
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (unsigned left = random() % 24; left > 0; --left) text += bytes[random() % bytes.size()];
    const Result<std::vector<std::string>> r = expand_hostlist(text, 1000);
    if (!r.ok()) continue;
    ASSERT_LE(r->size(), 1000u);
    for (const std::string& name : *r) ASSERT_TRUE(is_host_name(name)) << escape_control(text);
    ASSERT_EQ(*expand_hostlist(compress_hostlist(*r)), *r);
  }
}

}  // namespace
}  // namespace bai
