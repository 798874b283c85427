// bai.conf(5) and the example configuration against the tables of keys. The pages of programs are tests/cluster/man.py's.
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdlib>
#include <map>
#include <set>
#include <sstream>

#include "base/env.h"
#include "base/text.h"
#include "model/config.h"

namespace bai {
namespace {

// A file of the source tree; empty when the tree is not there.
std::string source_file(const std::string& path) {
  const char* top = std::getenv("BAI_SRC");
  auto text = Env::real().read_file((top ? std::string(top) + "/" : std::string()) + path, 1 << 20);
  return text ? *text : std::string();
}

struct Written {
  std::map<std::string, std::string> keys;  // with the text below each
};

// The page's keys by section: every `.It Cm KEY Ns = Ns Ar VALUE`.
std::map<std::string, Written> read_page(const std::string& page) {
  std::map<std::string, Written> out;
  std::istringstream lines(page);
  std::string section, key;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(".Sh ")) section = line.substr(4), key.clear();
    if (line.starts_with(".It Cm ")) {
      key = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_EQ(out[section].keys.count(key), 0u) << key << " is there twice";
      out[section].keys[key];
    } else if (line.starts_with(".El")) {
      key.clear();
    } else if (!key.empty()) {
      out[section].keys[key] += line + "\n";
    }
  }
  return out;
}

void compare(const Written& written, const std::vector<ConfigKey>& keys) {
  std::set<std::string> known;
  for (const auto& key : keys) {
    const std::string name(key.name);
    known.insert(name);
    const auto it = written.keys.find(name);
    if (it == written.keys.end()) {
      ADD_FAILURE() << "man/bai.conf.5 lacks " << name;
      continue;
    }
    for (auto alias : key.aliases)
      EXPECT_NE(it->second.find(alias), std::string::npos)
          << name << " does not say that " << alias << " is the same";
  }
  for (const auto& [name, text] : written.keys)
    EXPECT_TRUE(known.count(name)) << "man/bai.conf.5 has " << name << ", which is no key";
}

TEST(Man, config_page_has_every_key) {
  const auto page = source_file("man/bai.conf.5");
  if (page.empty()) GTEST_SKIP() << "the sources are not here";
  const auto written = read_page(page);
  compare(written.at("KEYS"), config_keys());
  compare(written.at("NODES"), node_keys());
  compare(written.at("PARTITIONS"), partition_keys());
  compare(written.at("SWITCHES"), switch_keys());
}

TEST(Man, config_page_tells_which_keys_are_the_nodes_own) {
  const auto page = source_file("man/bai.conf.5");
  if (page.empty()) GTEST_SKIP() << "the sources are not here";
  const auto begin = page.find(".Ss The node's own"), end = page.find("\n.S", begin + 1);
  ASSERT_NE(begin, page.npos);
  const auto own = page.substr(begin, end - begin);
  for (const auto& key : config_keys())
    EXPECT_EQ(own.find(".It Cm " + std::string(key.name) + " ") != own.npos, key.local) << key.name;
}

TEST(Man, example_configuration_is_good) {
  auto text = source_file("etc/bai.conf.example");
  if (text.empty()) GTEST_SKIP() << "the sources are not here";
  auto env = Env::real();
  char dir[] = "/tmp/bai-man-XXXXXX";
  ASSERT_NE(mkdtemp(dir), nullptr);
  const std::string passwd = std::string(dir) + "/passwd", conf = std::string(dir) + "/bai.conf";
  ASSERT_TRUE(env.write_file_atomic(passwd, "bai:x:987:987::/var/lib/bai:/usr/sbin/nologin\n", 0644));

  auto check = [&](const std::string& config) {
    ASSERT_TRUE(env.write_file_atomic(conf, config, 0644));
    std::vector<std::string> warnings;
    auto loaded = load_config(conf, &warnings, ConfigRules{passwd});
    ASSERT_TRUE(loaded) << loaded.error().text();
    EXPECT_TRUE(warnings.empty()) << warnings[0];
    EXPECT_EQ(loaded->nodes.size(), 2u);
    EXPECT_EQ(loaded->bai_uid, 987u);
    EXPECT_NE(loaded->default_partition(), nullptr);
  };
  check(text);

  // Every key that it leaves commented out can be used as it stands: "#Key=value".
  std::string all;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.size() > 1 && line[0] == '#' && line[1] != ' ' && line.find('=') != line.npos) line.erase(0, 1);
    all += line + "\n";
  }
  EXPECT_NE(all, text);
  check(all);
  unlink(passwd.c_str());
  unlink(conf.c_str());
  rmdir(dir);
}

}  // namespace
}  // namespace bai
