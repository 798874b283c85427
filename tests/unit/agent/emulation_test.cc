#include "agent/emulation.h"

#include <gtest/gtest.h>

namespace bai::agent {
namespace {

ClusterConfig config(const std::string& nodes) {
  auto lines = parse_config_text("CtldHost=localhost\nBaiUser=0\n" + nodes, "bai.conf");
  EXPECT_TRUE(lines.ok());
  auto parsed = parse_config(*lines, nullptr);
  EXPECT_TRUE(parsed.ok()) << parsed.error().text();
  return *parsed;
}

std::string refusal(std::string_view text, std::string_view names = "") {
  auto nodes = parse_emulation(text, names, ClusterConfig());
  EXPECT_FALSE(nodes.ok()) << text;
  return nodes.ok() ? "" : nodes.error().code + " " + nodes.error().text();
}

TEST(Emulation, NamesAreNumberedOrGiven) {
  auto nodes = parse_emulation("1000:cpus=4,memory=8G", "", ClusterConfig());
  ASSERT_TRUE(nodes.ok()) << nodes.error().text();
  ASSERT_EQ(nodes->size(), 1000u);
  EXPECT_EQ(nodes->front().name, "n0001");
  EXPECT_EQ(nodes->back().name, "n1000");
  nodes = parse_emulation("1:cpus=4,memory=8G", "", ClusterConfig());
  ASSERT_TRUE(nodes.ok());
  EXPECT_EQ(nodes->front().name, "n1");
  nodes = parse_emulation("3:cpus=4,memory=8G", "gpu[7-8],login", ClusterConfig());
  ASSERT_TRUE(nodes.ok());
  EXPECT_EQ((*nodes)[2].name, "login");
}

TEST(Emulation, SpecIsWhatANodeLineSays) {
  auto nodes = parse_emulation("2:sockets=2,CoresPerSocket=16 ThreadsPerCore=2,Memory=256G,TmpDisk=100G", "",
                               ClusterConfig());
  ASSERT_TRUE(nodes.ok()) << nodes.error().text();
  const NodeShape& shape = nodes->back().shape;
  EXPECT_EQ(shape.cpus, 64u);
  EXPECT_EQ(shape.sockets, 2u);
  EXPECT_EQ(shape.cores_per_socket, 16u);
  EXPECT_EQ(shape.mem_mib, 256u << 10);
  EXPECT_EQ(shape.tmp_mib, 100u << 10);
}

TEST(Emulation, WhatIsNotSaidIsTheConfigurations) {
  const auto conf = config(
      "NodeName=n[1-2] Sockets=2 CoresPerSocket=8 RealMemory=4000 NodeAddr=a[1-2]\nNodeName=n3 CPUs=5\n");
  auto nodes = parse_emulation("2", "", conf);
  ASSERT_TRUE(nodes.ok()) << nodes.error().text();
  EXPECT_EQ((*nodes)[1].shape.cpus, 16u);
  EXPECT_EQ((*nodes)[1].shape.sockets, 2u);
  EXPECT_EQ((*nodes)[1].shape.mem_mib, 4000u);
  EXPECT_EQ((*nodes)[1].address, "a2");
  nodes = parse_emulation("2:Memory=1G", "", conf);
  ASSERT_TRUE(nodes.ok()) << nodes.error().text();
  EXPECT_EQ((*nodes)[0].shape.cpus, 16u);
  EXPECT_EQ((*nodes)[0].shape.mem_mib, 1024u);
  nodes = parse_emulation("1", "n3", conf);  // its memory is this machine's
  ASSERT_TRUE(nodes.ok()) << nodes.error().text();
  EXPECT_EQ((*nodes)[0].shape.cpus, 5u);
  EXPECT_GT((*nodes)[0].shape.mem_mib, 1u);
}

TEST(Emulation, RefusesWhatItCannotMean) {
  for (const char* text :
       {"", "0", "-1", "many", "65537", "4:cpus", "4:cpus=0", "4:cpus=x", "4:Colour=red", "4:Features=big",
        "4:NodeName=x", "4:cpus=4\nInclude=/etc/passwd", "4:CPUs=3,Sockets=2,CoresPerSocket=2"})
    EXPECT_EQ(refusal(text).substr(0, 11), "bad_option ") << text;
  EXPECT_NE(refusal("4:Colour=red").find("Colour"), std::string::npos);
  EXPECT_NE(refusal("4:Features=big").find("bai.conf"), std::string::npos);
  EXPECT_NE(refusal("3", "n[1-4]").find("4 names"), std::string::npos);
  EXPECT_NE(refusal("2", "n1,n1").find("twice"), std::string::npos);
}

}  // namespace
}  // namespace bai::agent
