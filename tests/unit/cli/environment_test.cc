#include "cli/environment.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace bai::cli {
namespace {

const char* const kEnviron[] = {
    "HOME=/home/ada", "PATH=/opt/bin", "SLURM_CLUSTER_NAME=c", "BAI_CONF=/etc/b", "X=1", "broken", nullptr};

std::vector<std::string> make(std::string_view spec, const std::vector<std::string>& added = {}) {
  auto text = make_environment(spec, kEnviron, added);
  EXPECT_TRUE(text.ok());
  std::vector<std::string> out;
  std::size_t begin = 0;
  for (std::size_t end; (end = text->find('\0', begin)) != std::string::npos; begin = end + 1)
    out.push_back(text->substr(begin, end - begin));
  std::sort(out.begin(), out.end());
  return out;
}
using List = std::vector<std::string>;

TEST(Environment, all_is_the_default) {
  const List all = {"BAI_CONF=/etc/b", "HOME=/home/ada", "PATH=/opt/bin", "SLURM_CLUSTER_NAME=c", "X=1"};
  EXPECT_EQ(make(""), all);
  EXPECT_EQ(make("ALL"), all);
  EXPECT_EQ(make("all,X=2"),
            (List{"BAI_CONF=/etc/b", "HOME=/home/ada", "PATH=/opt/bin", "SLURM_CLUSTER_NAME=c", "X=2"}));
}

TEST(Environment, names_only) {
  EXPECT_EQ(make("X,Y='a,b',Z=\"q\""),
            (List{"BAI_CONF=/etc/b", "SLURM_CLUSTER_NAME=c", "X=1", "Y=a,b", "Z=q"}));
}

TEST(Environment, none_and_nil) {
  EXPECT_EQ(make("NIL"), (List{"BAI_CONF=/etc/b", "SLURM_CLUSTER_NAME=c"}));
  EXPECT_EQ(make("NONE"), (List{"BAI_CONF=/etc/b", "HOME=/home/ada", "PATH=/usr/local/bin:/usr/bin:/bin",
                                "SLURM_CLUSTER_NAME=c"}));
}

TEST(Environment, what_is_added_replaces) {
  EXPECT_EQ(make("NIL", {"BAI_CONF=/x", "N=1"}), (List{"BAI_CONF=/x", "N=1", "SLURM_CLUSTER_NAME=c"}));
}

TEST(Environment, errors) {
  for (const char* bad : {"NONE,X", "=3", "X=\"open", "ALL,NIL"})
    EXPECT_EQ(make_environment(bad, kEnviron, {}).error().code, "bad_export") << bad;
}

}  // namespace
}  // namespace bai::cli
