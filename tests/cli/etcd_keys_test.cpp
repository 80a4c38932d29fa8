// Where a node's file says that its leases are on etcd.
#include "cli/etcd_keys.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "cli/node_config.h"

namespace supercloud {
namespace {

std::string mistake_in_etcd(const std::string& toml) {
  const auto config = parse_node_config(toml, "node.toml");
  return config.ok() ? "none" : std::string(config.status().message());
}

TEST(EtcdKeys, LeasesMayBeOnEtcdAndThenNoNodeIsTheSite) {
  const std::string node = "name = \"b\"\ncluster = \"home\"\n";
  const std::string bus = "[bus]\npublish = \"ipc:///run/b.pub\"\nrequest = \"ipc:///run/b.req\"\n";
  const std::string etcd =
      "[lease.etcd]\nendpoints = [\"https://10.0.0.1:2379\", \"http://127.0.0.1:2379\"]\n";
  const auto config = parse_node_config(
      node + bus + etcd + "ca = \"ca.crt\"\ncertificate = \"b.crt\"\nkey = \"b.key\"\n",
      "nodes/node.toml");
  ASSERT_TRUE(config.ok()) << config.status()
                           << " (it needs no seeds: others may be started later)";
  ASSERT_TRUE(config->etcd);
  EXPECT_FALSE(config->hosts_leases());
  EXPECT_EQ(config->etcd->endpoints.size(), 2U);
  EXPECT_EQ(config->etcd->prefix, "/supercloud/home/");
  EXPECT_TRUE(config->etcd->ca.ends_with("/nodes/ca.crt")) << config->etcd->ca;
  const auto again = parse_node_config(to_toml(*config), "again.toml");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->etcd->endpoints, config->etcd->endpoints);
  EXPECT_EQ(again->etcd->prefix, config->etcd->prefix);

  EXPECT_NE(mistake_in_etcd(node + "site = \"a\"\n" + bus + etcd).find("site"), std::string::npos);
  for (const auto& [wrong, told] : std::map<std::string, std::string>{
           {"[lease.etcd]\nendpoints = []\n", "lease.etcd.endpoints"},
           {"[lease.etcd]\nendpoints = [\"etcd:2379\"]\n", "no URL"},
           {"[lease.etcd]\nendpoints = [\"https://etcd:2379/v3\"]\n", "behind the port"},
           {"[lease.etcd]\nendpoints = [\"http://10.0.0.1:2379\"]\n", "not encrypted"},
           {etcd + "certificate = \"b.crt\"\n", "needs its key"},
           {etcd + "key = \"b.key\"\n", "needs its certificate"},
           {etcd + "prefix = \"x\"\n", "end with a slash"},
           {etcd + "user = \"root\"\n", "user"}})
    EXPECT_NE(mistake_in_etcd(node + bus + wrong).find(told), std::string::npos)
        << mistake_in_etcd(node + bus + wrong);
}

TEST(EtcdKeys, AFileThatCannotBeReadIsNamedAtTheStart) {
  EtcdConfig config;
  EXPECT_TRUE(check_readable(config).ok());
  config.ca = "/no/such/ca.crt";
  const absl::Status missing = check_readable(config);
  EXPECT_NE(missing.message().find("lease.etcd.ca: /no/such/ca.crt"), std::string::npos) << missing;
}

}  // namespace
}  // namespace supercloud
