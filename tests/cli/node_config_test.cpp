#include "cli/node_config.h"

#include <gtest/gtest.h>

#include "cli/near_names.h"

namespace supercloud {
namespace {

constexpr const char* good = R"(name = "b"
cluster = "home"
site = "a"
seeds = ["ipc:///run/a.req"]
[bus]
publish = "ipc:///run/b.pub"
request = "ipc:///run/b.req"
[links]
listen = "unix:/run/b.link"
[host]
cloud = "aws"
region = "us-east-1"
zone = "us-east-1a"
type = "r3.large"
spot = true
disk_mib = 512
devices = ["gpu/t4", "tpm"]
[host.labels]
trust = "high"
)";

std::string mistake_in(const std::string& toml) {
  const auto config = parse_node_config(toml, "node.toml");
  return config.ok() ? "none" : std::string(config.status().message());
}

TEST(NodeConfig, WhatIsWrittenReadsAsTheSame) {
  const auto config = parse_node_config(good, "node.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  const auto again = parse_node_config(to_toml(*config), "again.toml");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(to_toml(*again), to_toml(*config));
  EXPECT_EQ(again->host->place, config->host->place);
  EXPECT_EQ(again->host->labels.at("trust"), "high");
  EXPECT_EQ(again->host->disk_bytes, 512U << 20U);
  EXPECT_EQ(again->host->devices, (std::vector<std::string>{"gpu/t4", "tpm"}));
}

TEST(NodeConfig, AnUnknownKeyIsAMistakeAndTheNearOneIsNamed) {
  EXPECT_EQ(mistake_in(std::string("nme = \"x\"\n") + good),
            "node.toml:1: nme is not known here: did you mean name?");
}

TEST(NodeConfig, AMissingKeyIsNamed) {
  EXPECT_NE(mistake_in("cluster = \"c\"\n").find("name is missing"), std::string::npos);
}

TEST(NodeConfig, WhatIsNoTomlIsToldWithItsLine) {
  EXPECT_EQ(mistake_in("name = \"a\"\ncluster = = 3\n").rfind("node.toml:2: not TOML", 0), 0U);
}

TEST(NodeConfig, AFenceThatWouldComeTooLateIsRefused) {
  EXPECT_NE(
      mistake_in(std::string(good) + "[lease]\nttl = \"2s\"\nfence_after = \"3s\"\n").find("lease"),
      std::string::npos);
}

TEST(NearNames, AreThoseWithFewLettersChanged) {
  EXPECT_EQ(near_names("wbe1", {"web1", "database", "web2"}), (std::vector<std::string>{"web1"}));
  EXPECT_TRUE(near_names("zzzz", {"web1"}).empty());
}

TEST(NodeConfig, ANameThatWouldMakeItsEventsUnreadableIsRefusedWithItsLine) {
  for (const char* key : {"name", "site"}) {
    std::string toml = good;
    const std::string line = std::string(key) + " = \"";
    toml.insert(toml.find(line) + line.size(), "host1.example.com.");
    const std::string told = mistake_in(toml);
    EXPECT_EQ(told.rfind(std::string("node.toml:") + (line[0] == 'n' ? "1" : "3") + ": " + key, 0),
              0U)
        << told;
    EXPECT_NE(told.find("A-Z a-z 0-9 _ -"), std::string::npos) << told;
  }
}

}  // namespace
}  // namespace supercloud
