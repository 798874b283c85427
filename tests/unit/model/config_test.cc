#include "model/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <set>

#include "base/text.h"

namespace bai {
namespace {

constexpr const char* kHead = "ClusterName=test\nCtldHost=head(127.0.0.1)\nBaiUser=0\n";

Result<ClusterConfig> parse(const std::string& text, std::vector<std::string>* warnings = nullptr) {
  auto lines = parse_config_text(kHead + text, "bai.conf");
  if (!lines) return lines.error();
  return parse_config(*lines, warnings);
}

std::string error(const std::string& text) {
  auto config = parse(text);
  return config ? "" : config.error().text();
}

TEST(Config, slurms_spellings_are_aliases) {
  auto a =
      parse("SlurmctldPort=7000\nSlurmdTimeout=60\nSlurmdSpoolDir=/a/%n\nNodeName=n1 Procs=4 Feature=x\n");
  ASSERT_TRUE(a.ok()) << a.error().text();
  EXPECT_EQ(a->ctld_port, 7000);
  EXPECT_EQ(a->agentd_timeout, 60);
  EXPECT_EQ(for_node(a->agentd_spool_dir, "n1"), "/a/n1");
  EXPECT_EQ(a->ctld_hosts[0].address, "127.0.0.1");
  EXPECT_EQ(a->nodes[0].shape.cpus, 4u);
  EXPECT_EQ(a->nodes[0].features, std::vector<std::string>{"x"});
}

TEST(Config, nodes_and_defaults) {
  auto c = parse(
      "NodeName=DEFAULT RealMemory=4G Weight=3\n"
      "NodeName=n[1-3] CPUs=8 NodeAddr=10.0.0.[1-3]\n"
      "NodeName=g1 Sockets=2 CoresPerSocket=4 ThreadsPerCore=2 State=DRAIN Reason=\"bad fan\"\n");
  ASSERT_TRUE(c.ok()) << c.error().text();
  ASSERT_EQ(c->nodes.size(), 4u);
  EXPECT_EQ(c->find_node("n2")->address, "10.0.0.2");
  EXPECT_EQ(c->find_node("n2")->shape.mem_mib, 4096u);
  EXPECT_EQ(c->find_node("n2")->weight, 3u);
  EXPECT_EQ(c->find_node("g1")->shape.cpus, 16u);
  EXPECT_TRUE(c->find_node("g1")->drain);
  EXPECT_EQ(c->find_node("g1")->reason, "bad fan");
  EXPECT_EQ(c->find_node("nope"), nullptr);
}

// A short text must not mean gigabytes, nor minutes.
TEST(Config, what_lists_stand_for_is_bounded) {
  std::string names = "1", features = "f0";
  for (int i = 1; i < 65'536; ++i) names += ",1";
  for (int i = 1; i < 256; ++i) features += ",f" + std::to_string(i);
  EXPECT_EQ(error("NodeName=n1 Features=" + features + "\n"), "");
  EXPECT_EQ(error("NodeName=n1 Features=" + features + ",one\n"),
            "bai.conf:4: Features: 'one' is one feature too many (a node has at most 256)");
  std::string text = "NodeName=n1\nPartitionName=DEFAULT Nodes=n[" + names + "]\n";
  for (int i = 0; i < 64; ++i) text += "PartitionName=p" + std::to_string(i) + "\n";
  EXPECT_EQ(error(text), "");
  EXPECT_EQ(error(text + "PartitionName=last\n"), "bai.conf:70: the partitions name too many nodes");
}

TEST(Config, a_node_line_reads_back) {
  auto c = parse(
      "NodeName=g1 Sockets=2 CoresPerSocket=4 ThreadsPerCore=2 RealMemory=100 Features=a,b State=DRAIN "
      "Reason=\"bad fan\"\n");
  ASSERT_TRUE(c.ok());
  const auto line = node_line(c->nodes[0]);
  auto again = parse(line + "\n");
  ASSERT_TRUE(again.ok()) << line << ": " << again.error().text();
  EXPECT_EQ(node_line(again->nodes[0]), line);
  EXPECT_EQ(again->nodes[0].shape, c->nodes[0].shape);
}

TEST(Config, partitions) {
  auto c = parse(
      "NodeName=n[1-3] CPUs=2\nDefMemPerCPU=100\n"
      "PartitionName=DEFAULT MaxTime=1:00:00\n"
      "PartitionName=all Nodes=ALL\nPartitionName=some Nodes=n3,n1,n3 Default=YES MaxTime=UNLIMITED "
      "MaxNodes=2 DefMemPerNode=7\n");
  ASSERT_TRUE(c.ok()) << c.error().text();
  EXPECT_EQ(c->default_partition()->name, "some");
  EXPECT_EQ(c->find_partition("all")->nodes.size(), 3u);
  EXPECT_EQ(c->find_partition("all")->max_time, 3600);
  EXPECT_EQ(c->find_partition("all")->default_mem_per_cpu_mib, 100u);
  EXPECT_EQ(c->find_partition("all")->total_cpus, 6u);
  const auto& some = *c->find_partition("some");
  EXPECT_EQ(some.nodes, (std::vector<Istr>{"n1", "n3"}));
  EXPECT_EQ(some.max_time, kUnlimited);
  EXPECT_EQ(some.max_nodes, 2u);
  EXPECT_EQ(some.default_mem_per_cpu_mib, 0u);
  EXPECT_EQ(some.default_mem_per_node_mib, 7u);
}

TEST(Config, errors_name_place_and_remedy) {
  EXPECT_EQ(error("CtldPrt=1\n"), "bai.conf:4: 'CtldPrt' is no key of bai.conf (did you mean 'CtldPort'?)");
  EXPECT_NE(error("\nKillWait=soon\n").find("bai.conf:5: KillWait"), std::string::npos);
  EXPECT_NE(error("NodeName=n1 CPU=3\n").find("did you mean 'CPUs'"), std::string::npos);
  EXPECT_NE(error("NodeName=n1\nPartitionName=p Nodes=n2\n").find("no NodeName line does"),
            std::string::npos);
  EXPECT_NE(error("NodeName=n1\nNodeName=n1\n").find("bai.conf:5"), std::string::npos);
  EXPECT_NE(error("NodeName=n1 CPUs=3 Sockets=2\n").find("CPUs=3"), std::string::npos);
  EXPECT_NE(error("PartitionName=p OverSubscribe=FORCE:4\n").find("NO or EXCLUSIVE"), std::string::npos);
  EXPECT_NE(error("BaiUser=nobody-of-that-name\n").find("numeric uid"), std::string::npos);
  EXPECT_NE(error("StateSaveLocation=here\n").find("absolute"), std::string::npos);
  EXPECT_NE(error("AgentdTimeout=5\n").find("AgentdHeartbeat"), std::string::npos);
  // A password in a connection string stays out of messages.
  EXPECT_EQ(error("StoreLocation=\"host=db password=secret\"\n").find("secret"), std::string::npos);
  auto without = parse_config_text("ClusterName=x\n", "f");
  auto config = parse_config(*without, nullptr);
  ASSERT_FALSE(config.ok());
  EXPECT_NE(config.error().message.find("CtldHost"), std::string::npos);
}

TEST(Config, known_keys_without_meaning_warn_once) {
  std::vector<std::string> warnings;
  auto c = parse(
      "SelectType=select/cons_tres\nselecttype=x\nNodeName=n1 CoreSpecCount=1\nNodeName=n2 "
      "CoreSpecCount=1\nDownNodes=n1\n",
      &warnings);
  ASSERT_TRUE(c.ok()) << c.error().text();
  EXPECT_EQ(warnings.size(), 3u);
  EXPECT_EQ(warnings[0], "bai.conf:4: SelectType has no meaning here and is ignored");
}

TEST(Config, dynamic_nodes_may_be_named_before_they_join) {
  auto c = parse("DynamicNodes=yes\nPartitionName=p Nodes=later[1-2]\n");
  ASSERT_TRUE(c.ok()) << c.error().text();
  EXPECT_EQ(c->partitions[0].nodes.size(), 2u);
}

TEST(Config, the_bundle_says_the_same_without_secrets) {
  const std::string shared = "NodeName=n[1-2] CPUs=4 # comment\nPartitionName=p Nodes=ALL\nLicenses=a:2,b\n";
  auto c = parse(
      shared +
      "StoreType=postgresql\nStoreLocation=\"dbname=x password=secret\"\nAllowRootJobs=yes\nSelectType=x\n");
  ASSERT_TRUE(c.ok()) << c.error().text();
  EXPECT_EQ(c->bundle.find("secret"), std::string::npos);
  EXPECT_EQ(c->bundle.find("AllowRootJobs"), std::string::npos);
  auto there = parse_config_bundle(c->bundle, "from bai-ctld");
  ASSERT_TRUE(there.ok()) << there.error().text();
  EXPECT_EQ(there->hash, c->hash);
  EXPECT_EQ(there->nodes.size(), 2u);
  EXPECT_EQ(there->licenses, c->licenses);
  EXPECT_FALSE(there->allow_root_jobs);
  take_local_keys(*there, *c);
  EXPECT_TRUE(there->allow_root_jobs);
  EXPECT_NE(parse("NodeName=n[1-3] CPUs=4\n")->hash, c->hash);
}

TEST(Config, describe_and_diff) {
  auto a = parse("NodeName=n[1-2] CPUs=4\nPartitionName=p Nodes=ALL\n");
  auto b = parse(
      "MaxJobCount=2000\nNodeName=n1 CPUs=8\nNodeName=n3 CPUs=4\nPartitionName=p Nodes=n1 MaxTime=10\n");
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_TRUE(diff(*a, *a).empty());
  const auto lines = join(diff(*a, *b), "\n");
  EXPECT_NE(lines.find("MaxJobCount: 1000000 -> 2000"), std::string::npos) << lines;
  EXPECT_NE(lines.find("node n1: CPUs 4 -> 8"), std::string::npos) << lines;
  EXPECT_NE(lines.find("node n2: removed"), std::string::npos) << lines;
  EXPECT_NE(lines.find("node n3: added"), std::string::npos) << lines;
  EXPECT_NE(lines.find("partition p: Nodes ALL -> n1, MaxTime UNLIMITED -> 00:10:00"), std::string::npos)
      << lines;
  std::map<std::string, std::string> shown;
  for (auto& [key, value] : describe(*a)) shown[key] = value;
  EXPECT_EQ(shown.at("CtldHost[0]"), "head(127.0.0.1)");
  EXPECT_EQ(shown.at("KillWait"), "30 sec");
  EXPECT_EQ(shown.at("AgentdLogFile"), "(null)");
  EXPECT_EQ(shown.at("BaiUser"), "0(0)");
}

TEST(Config, keys_are_unique) {
  for (const auto& keys : {config_keys(), node_keys(), partition_keys()}) {
    std::set<std::string> seen;
    for (const auto& key : keys) {
      EXPECT_FALSE(key.summary.empty()) << key.name;
      EXPECT_TRUE(seen.insert(lower(key.name)).second) << key.name;
      for (auto alias : key.aliases) EXPECT_TRUE(seen.insert(lower(alias)).second) << alias;
    }
  }
  for (auto ignored : ignored_keys())
    for (const auto& key : config_keys()) EXPECT_FALSE(same_key(ignored, key.name)) << ignored;
}

TEST(Config, a_command_reads_little) {
  char dir[] = "/tmp/bai-config-XXXXXX";
  ASSERT_NE(mkdtemp(dir), nullptr);
  const std::string path = std::string(dir) + "/bai.conf";
  std::ofstream(path) << kHead << "MungeSocket=/run/m\nCtldPort=7001\nUnknownKey=1\nNodeName=n1 Nonsense=1\n";
  auto client = load_client_config(path);
  ASSERT_TRUE(client.ok()) << client.error().text();
  EXPECT_EQ(client->ctld_port, 7001);
  EXPECT_EQ(client->munge_socket, "/run/m");
  EXPECT_EQ(client->bai_uid, 0u);
  EXPECT_FALSE(load_config(path, nullptr).ok());
  EXPECT_FALSE(load_client_config(std::string(dir) + "/none").ok());
  unlink(path.c_str());
  rmdir(dir);
}

TEST(Config, which_file) {
  setenv("BAI_CONF", "/env", 1);
  EXPECT_EQ(find_config("/option", "/default"), "/option");
  EXPECT_EQ(find_config("", "/default"), "/env");
  unsetenv("BAI_CONF");
  EXPECT_EQ(find_config("", "/default"), "/default");
}

TEST(Config, devices_switches_and_how_queues_are_worked_off) {
  auto c = parse(
      "NodeName=n[1-4] CPUs=8 Gres=gpu:a100:4,net:10\n"
      "SwitchName=s1 Nodes=n[1-2]\nSwitchName=s2 Nodes=n[3-4] LinkSpeed=1\nSwitchName=top Switches=s[1-2]\n"
      "BackfillInterval=5\nPlannedStarts=7\nDeviceQuantum=0.05\n"
      "PartitionName=p Nodes=ALL SchedulingPolicy=EASY-SJBF Placement=dispersed Prediction=yes "
      "PlannedStarts=3\n");
  ASSERT_TRUE(c.ok()) << c.error().text();
  ASSERT_EQ(c->nodes[0].shape.devices.size(), 2u);
  EXPECT_EQ(c->nodes[0].shape.devices[0].count, 4u);
  ASSERT_EQ(c->switches.size(), 3u);
  EXPECT_EQ(c->switches[1].nodes, (std::vector<Istr>{"n3", "n4"}));
  EXPECT_EQ(c->switches[2].switches, (std::vector<Istr>{"s1", "s2"}));
  EXPECT_EQ(c->scheduling.backfill_interval, 5);
  EXPECT_EQ(c->scheduling.planned_starts, 7u);
  EXPECT_EQ(c->scheduling.device_quantum, 50u);
  EXPECT_EQ(c->partitions[0].scheduling.policy, SchedulingPolicy::kEasySjbf);
  EXPECT_EQ(c->partitions[0].scheduling.placement, "dispersed");
  EXPECT_EQ(c->partitions[0].scheduling.prediction, Prediction::kOn);
  EXPECT_EQ(c->partitions[0].scheduling.planned_starts, 3u);
  auto again = parse_config_bundle(c->bundle, "bundle");
  ASSERT_TRUE(again.ok()) << again.error().text();
  EXPECT_EQ(again->switches, c->switches);
  EXPECT_EQ(again->nodes[0].shape, c->nodes[0].shape);
  const std::string nodes = "NodeName=n[1-2] CPUs=1\n";
  for (auto wrong :
       {"SwitchName=s Nodes=n9\n", "SwitchName=s\n", "SwitchName=s Switches=s\n", "SwitchName=s Switches=t\n",
        "SwitchName=s Nodes=n1\nSwitchName=s Nodes=n2\n", "SwitchName=a Nodes=n1\nSwitchName=b Nodes=n1\n",
        "SwitchName=a Switches=b\nSwitchName=b Switches=a\n"})
    EXPECT_NE(error(nodes + wrong), "") << wrong;
}

}  // namespace
}  // namespace bai
