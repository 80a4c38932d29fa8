#include "cli/node_config.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
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
  const auto config = parse_node_config(
      std::string(good) + "[xen]\nstore = \"/run/xenstored/socket\"\n", "node.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  const auto again = parse_node_config(to_toml(*config), "again.toml");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(to_toml(*again), to_toml(*config));
  EXPECT_EQ(again->host->place, config->host->place);
  EXPECT_EQ(again->host->labels.at("trust"), "high");
  EXPECT_EQ(again->host->disk_bytes, 512U << 20U);
  ASSERT_TRUE(again->xen);
  EXPECT_EQ(again->xen->store, "/run/xenstored/socket");
  EXPECT_EQ(again->host->devices, (std::vector<std::string>{"gpu/t4", "tpm"}));
}

TEST(NodeConfig, AnArchiveKeepsEverythingOrWhatItsPatternsSay) {
  const auto without = parse_node_config(good, "node.toml");
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_FALSE(without->archive);
  const auto all = parse_node_config(std::string(good) + "[archive]\n", "node.toml");
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_TRUE(all->archive);
  EXPECT_EQ(all->archive->patterns, std::vector<std::string>{">"});
  const auto some = parse_node_config(
      std::string(good) + "[archive]\npatterns = [\"migration.>\", \"ledger.>\"]\n", "node.toml");
  ASSERT_TRUE(some.ok()) << some.status();
  const auto again = parse_node_config(to_toml(*some), "again.toml");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->archive->patterns, (std::vector<std::string>{"migration.>", "ledger.>"}));
}

TEST(NodeConfig, LogAndArchiveKeepEverythingOrWhatTheirLimitsSay) {
  const auto all = parse_node_config(std::string(good) + "[archive]\n", "node.toml");
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_TRUE(all->retention.keeps_all());
  EXPECT_TRUE(all->archive->retention.keeps_all());
  const auto some = parse_node_config(std::string(good) +
                                          "[log]\nkeep = \"90d\"\nkeep_mib = 512\n"
                                          "[archive]\nkeep_events = 1000000\n",
                                      "node.toml");
  ASSERT_TRUE(some.ok()) << some.status();
  const auto again = parse_node_config(to_toml(*some), "again.toml");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->retention.age, absl::Hours(24 * 90));
  EXPECT_EQ(again->retention.bytes, std::uint64_t{512} << 20U);
  EXPECT_EQ(again->retention.events, Retention::no_limit);
  EXPECT_EQ(again->archive->retention.age, absl::InfiniteDuration());
  EXPECT_EQ(again->archive->retention.events, 1'000'000U);
}

TEST(NodeConfig, LimitsThatWouldTakeAwayWhatActorsReadWhenTheyStartAreMistakes) {
  const std::string age = mistake_in(std::string(good) + "[log]\nkeep = \"47h\"\n");
  EXPECT_NE(age.find("log.keep is too short: actors that start read what happened within a day"),
            std::string::npos)
      << age;
  EXPECT_NE(age.find("write \"2d\" or more"), std::string::npos) << age;
  for (const std::string wrong :
       {"[log]\nkeep = \"d\"\n", "[log]\nkeep = 90\n", "[archive]\nkeep = \"1.5d\"\n",
        "[log]\nkeep_mib = 63\n", "[log]\nkeep_events = 1000\n", "[log]\nfor = \"90d\"\n"})
    EXPECT_NE(mistake_in(std::string(good) + wrong).find("node.toml:21: "), std::string::npos)
        << mistake_in(std::string(good) + wrong);
}

TEST(NodeConfig, AnArchiveOfNothingAndAPatternThatIsNoneAreMistakes) {
  EXPECT_NE(mistake_in(std::string(good) + "[archive]\npatterns = []\n")
                .find("archive.patterns is empty: name what is to be kept"),
            std::string::npos);
  EXPECT_NE(mistake_in(std::string(good) + "[archive]\npatterns = [\"migration..x\"]\n")
                .find("archive.patterns has one that is none: "),
            std::string::npos)
      << mistake_in(std::string(good) + "[archive]\npatterns = [\"migration..x\"]\n");
}

TEST(NodeConfig, PublishersWaitForArchivesOfTheTypesThatAreNamed) {
  const auto config = parse_node_config(
      absl::StrCat(good, "[archived]\n\"instance.*\" = 1\n\"migration.completed\" = 2\n"),
      "node.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  const auto again = parse_node_config(to_toml(*config), "again.toml");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->archived, (ArchivedConfig{{"instance.*", 1}, {"migration.completed", 2}}));
}

TEST(NodeConfig, WhatCannotBeArchivedIsAMistakeWithLineKeyAndCure) {
  const std::map<std::string, std::string> mistakes = {
      {"\"instance.reqested\" = 1", "archived.instance.reqested is no type of event: write one"},
      {"\"vm.dirty_rate\" = 1", "archived.vm.dirty_rate is telemetry, which is in no log"},
      {"\"bus.*\" = 1", "archived.bus.* is what a node reports of itself"},
      {"\"lease.*\" = 1", "archived.lease.* is what a guest waits for while its lease changes"},
      {"\"instance.*\" = 0", "archived.instance.* has to be a whole number from 1 to 16"},
      {"\"instance.*\" = -1", "archived.instance.* has to be a whole number from 1 to 16"},
      {"\"instance.*\" = 1.5", "archived.instance.* has to be a whole number from 1 to 16"},
      {"\"instance.*\" = \"1\"", "archived.instance.* has to be a whole number from 1 to 16"},
      {"instance.requested = 1", "archived.instance has to be in quotes: write"}};
  for (const auto& [line, what] : mistakes) {
    const std::string mistake = mistake_in(absl::StrCat(good, "[archived]\n", line, "\n"));
    EXPECT_EQ(mistake.rfind(absl::StrCat("node.toml:21: ", what), 0), 0U)
        << line << ": " << mistake;
  }
}

TEST(NodeConfig, AnUnknownKeyIsAMistakeAndTheNearOneIsNamed) {
  EXPECT_EQ(mistake_in(std::string("nme = \"x\"\n") + good),
            "node.toml:1: nme is not known here: did you mean name?");
}

TEST(NodeConfig, OverTcpThereAreKeysAndOverIpcNone) {
  std::string toml = good;
  for (const char* kind : {"pub", "req"}) {
    const std::string ipc = std::string("ipc:///run/b.") + kind;
    toml.replace(toml.find(ipc), ipc.size(), "tcp://127.0.0.1:7000");
  }
  EXPECT_EQ(mistake_in(toml).rfind("node.toml:6: bus.publish is refused: tcp://127.0.0.1:7000", 0),
            0U)
      << mistake_in(toml);
  EXPECT_NE(mistake_in(toml).find("docs/security.md"), std::string::npos);
  const std::string key = "[bus]\nkey = \"b.key\"\n";
  toml.replace(toml.find("[bus]\n"), 6, key);
  EXPECT_NE(mistake_in(toml).find("write trust ="), std::string::npos) << mistake_in(toml);
  toml.replace(toml.find(key), key.size(), key + "trust = \"trust.toml\"\n");
  EXPECT_EQ(mistake_in(toml).rfind("node.toml:4: seeds has one that is refused", 0), 0U)
      << mistake_in(toml);
  const std::string seed = "ipc:///run/a.req";
  toml.replace(toml.find(seed), seed.size(), "a@tcp://10.0.0.2:7000");
  const auto config = parse_node_config(toml, "/etc/supercloud/node.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->key, "/etc/supercloud/b.key");
  EXPECT_EQ(config->trust, "/etc/supercloud/trust.toml");
  const auto again = parse_node_config(to_toml(*config), "again.toml");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->key, config->key);
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

TEST(NodeConfig, BudgetsOfMovesAndTheWayOfBillingAreReadAndWritten) {
  const std::string market =
      "[market]\norigin = \"2026-01-01T00:00:00Z\"\nstart = \"2026-01-01T00:00:00Z\"\n";
  const auto config = parse_node_config(std::string(good) + "[moves]\nper_day = 5\nat_once = 2\n" +
                                            market + "[account]\nbilling = \"per-second\"\n",
                                        "node.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  const auto again = parse_node_config(to_toml(*config), "again.toml");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->moves.per_day, 5U);
  EXPECT_EQ(again->moves.at_once, 2U);
  EXPECT_EQ(again->account->billing, schema::Billing::PER_SECOND);
  EXPECT_NE(mistake_in(std::string(good) + market + "[account]\nbilling = \"daily\"\n")
                .find("account.billing \"daily\" is neither"),
            std::string::npos);
  EXPECT_NE(mistake_in(std::string(good) + "[moves]\nper_day = -1\n").find("moves.per_day"),
            std::string::npos);
}

TEST(NodeConfig, WhatMovesSendHasAPrice) {
  const auto said = [](const std::string& price) {
    return std::string(good) + "[moves]\negress_per_gib = " + price + "\n";
  };
  EXPECT_EQ(parse_node_config(good, "node.toml")->moves.egress_per_gib, Money{10'000'000});
  for (const auto& [written, nano_usd] :
       {std::pair("\"0.02\"", 20'000'000), std::pair("\"0\"", 0)}) {
    const auto config = parse_node_config(said(written), "node.toml");
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->moves.egress_per_gib, Money{nano_usd});
    EXPECT_EQ(parse_node_config(to_toml(*config), "again.toml")->moves.egress_per_gib,
              Money{nano_usd});
  }
  for (const char* wrong : {"\"-0.01\"", "\"free\"", "\"1001\"", "\"\""})
    EXPECT_EQ(mistake_in(said(wrong)),
              std::string("node.toml:21: moves.egress_per_gib has to be USD for each GiB that a "
                          "move sends, as a text from \"0\" to \"1000\", such as \"0.01\": ") +
                  wrong + " is none");
  EXPECT_NE(mistake_in(said("0.01")).find("node.toml:21: moves.egress_per_gib"), std::string::npos);
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

const std::string hosts = std::string(good) + R"([market]
origin = "2026-01-01T00:00:00Z"
start = "2026-01-01T00:00:00Z"
[account]
name = "home"
[[account.host]]
node = "h1"
place = "home/cellar/rack/desktop/on-demand"
price = "0.02"
[[account.host]]
node = "h2"
place = "home/cellar/rack/desktop/on-demand"
price = "0.02"
in_use = false
)";

TEST(NodeConfig, AnAccountMayBeAListOfOnesOwnHosts) {
  const auto config = parse_node_config(hosts, "node.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->account->hosts.size(), 2U);
  const FixedHost& second = config->account->hosts[1];
  EXPECT_EQ(second.node, "h2");
  EXPECT_EQ(second.place.id(), "home/cellar/rack/desktop/on-demand");
  EXPECT_EQ(second.price_per_hour, Money{20'000'000});
  EXPECT_TRUE(config->account->hosts[0].in_use);
  EXPECT_FALSE(second.in_use);
  const auto again = parse_node_config(to_toml(*config), "again.toml");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(to_toml(*again), to_toml(*config));
  EXPECT_EQ(again->account->hosts.size(), 2U);
}

TEST(NodeConfig, AMistakeInAListOfHostsIsToldWithLineKeyAndCure) {
  const auto with = [](const std::string& old, const std::string& replacement) {
    std::string toml = hosts;
    toml.replace(toml.rfind(old), old.size(), replacement);
    return mistake_in(toml);
  };
  const auto line_of = [](const std::string& words) {
    return "node.toml:" +
           std::to_string(
               1 + std::count(hosts.begin(),
                              hosts.begin() + static_cast<std::ptrdiff_t>(hosts.rfind(words)),
                              '\n')) +
           ": account.";
  };
  const std::string node = line_of("node = \"h2\"") + "host.node ";
  const std::string place = line_of("place = ") + "host.place ";
  const std::string price = line_of("price = ") + "host.price ";
  EXPECT_EQ(with("node = \"h2\"", "node = \"h1\"").rfind(node + "is in the list already", 0), 0U);
  EXPECT_EQ(with("node = \"h2\"", "node = \"h.2\"").rfind(node + "has to be", 0), 0U);
  EXPECT_EQ(with("home/cellar/rack", "aws/cellar/rack").rfind(place + "is not of this account", 0),
            0U);
  EXPECT_EQ(with("on-demand", "spot").rfind(place + "has to end in /on-demand", 0), 0U);
  EXPECT_EQ(
      with("home/cellar/rack/desktop/on-demand", "rack").rfind(place + "has to be a place", 0), 0U);
  EXPECT_EQ(with("\"0.02\"", "\"0.03\"").rfind(price + "differs from that of h1", 0), 0U);
  EXPECT_EQ(with("\"0.02\"", "\"cheap\"").rfind(price + "has to be USD per hour", 0), 0U);
  EXPECT_EQ(with("name = \"home\"", "name = \"home\"\nprices = \"p.csv\"")
                .find("account.prices is of a simulated cloud"),
            std::string("node.toml:24: ").size());
  EXPECT_NE(
      with("in_use = false", "in_use = 0").find("account.host.in_use has to be true or false"),
      std::string::npos);
  EXPECT_NE(with("in_use", "used").find("account.host.used is not known here"), std::string::npos);
}

TEST(NodeConfig, AMistakeInASimulatedCloudIsToldWithLineKeyAndCure) {
  const std::string cloud = std::string(good) + R"([market]
origin = "2026-01-01T00:00:00Z"
start = "2026-01-01T00:00:00Z"
[account]
[[account.zone]]
place = "aws/us-east-1/us-east-1a/r3.large/spot"
on_demand = "0.175"
[[account.instance]]
node = "n1"
place = "aws/us-east-1/us-east-1a/r3.large/spot"
bid = "0.175"
[[account.instance]]
node = "n2"
place = "aws/us-east-1/us-east-1a/r3.large/spot"
bid = "0.175"
)";
  const auto with = [&cloud](const std::string& old, const std::string& replacement) {
    std::string toml = cloud;
    toml.replace(toml.rfind(old), old.size(), replacement);
    return mistake_in(toml);
  };
  EXPECT_EQ(mistake_in(cloud), "none");
  EXPECT_NE(with("\"n2\"", "\"n1\"").find("account.instance.node has an instance already"),
            std::string::npos);
  EXPECT_NE(with("\"n2\"", "\"n.2\"").find("account.instance.node has to be"), std::string::npos);
  EXPECT_NE(with("\"aws/us", "\"gcp/us").find("account.instance.place is not of this account"),
            std::string::npos);
  EXPECT_NE(
      with("[account]", "[account]\nname = \"gcp\"").find("zone.place is not of this account"),
      std::string::npos);
  EXPECT_NE(with("[account]", "[account]\nname = \"a.b\"").find("account.name is no cloud's name"),
            std::string::npos);
  EXPECT_EQ(with("[account]", "[account]\nmarket = \"calm\""), "none");
  EXPECT_NE(with("[account]", "[account]\nmarket = \"wild\"")
                .find("account.market \"wild\" is no generated market; there are spiky, calm"),
            std::string::npos);
  EXPECT_NE(with("2026-01-01T00:00:00Z", "infinite-future").find("market.start has to be a time"),
            std::string::npos);
}

const std::string live = std::string(good) + R"([market]
origin = "2026-01-01T00:00:00Z"
start = "2026-01-01T00:00:00Z"
[account]
types = ["r3.large"]
[account.feed]
api = "aws"
region = "eu-central-1"
every = "2m"
)";

TEST(NodeConfig, AnAccountMayHaveLivePrices) {
  const auto config = parse_node_config(live, "node.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_TRUE(config->account->live);
  EXPECT_EQ(config->account->live->api, "aws");
  EXPECT_EQ(config->account->live->product, "Linux/UNIX");
  EXPECT_EQ(config->account->live->every, absl::Minutes(2));
  EXPECT_EQ(config->account->live->silence(), absl::Minutes(6));
  const auto again = parse_node_config(to_toml(*config), "again.toml");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(to_toml(*again), to_toml(*config));
  std::string azure = live;
  azure.replace(azure.rfind("\"aws\"\nregion"), 5, "\"azure\"");
  azure += "windows = true\nproxy = \"http://proxy.example.com:3128\"\n";
  const auto other = parse_node_config(azure, "node.toml");
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->account->account, "azure");
  EXPECT_TRUE(other->account->live->windows);
  const auto other_again = parse_node_config(to_toml(*other), "again.toml");
  ASSERT_TRUE(other_again.ok()) << other_again.status();
  EXPECT_EQ(to_toml(*other_again), to_toml(*other));
}

TEST(NodeConfig, AMistakeInLivePricesIsToldWithLineKeyAndCure) {
  const auto with = [](const std::string& old, const std::string& replacement) {
    std::string toml = live;
    toml.replace(toml.rfind(old), old.size(), replacement);
    return mistake_in(toml);
  };
  EXPECT_EQ(mistake_in(live), "none");
  EXPECT_EQ(with("\"aws\"", "\"gcp\""),
            "node.toml:26: account.feed.api has to be \"aws\" or \"azure\"");
  EXPECT_NE(
      with("every = \"2m\"", "every = \"1s\"").find("28: account.feed.every has to be 30s or more"),
      std::string::npos);
  EXPECT_NE(with("region = \"eu-central-1\"\n", "").find("account.feed.region is missing"),
            std::string::npos);
  EXPECT_NE(with("types = [\"r3.large\"]", "").find("account.feed needs the instance types"),
            std::string::npos);
  EXPECT_NE(
      with("types = ", "prices = \"p.csv\"\ntypes = ").find("account.prices is of another source"),
      std::string::npos);
  EXPECT_NE(with("types = ", "name = \"gcp\"\ntypes = ")
                .find("account.name has to be that of the feed's cloud: \"aws\""),
            std::string::npos);
  EXPECT_NE(with("[account]", "speed = 2\n[account]")
                .find("23: market.speed has to be 1 with live prices"),
            std::string::npos);
  EXPECT_NE(with("start = \"2026-01-01", "start = \"2026-01-02")
                .find("market.origin has to be the same as start"),
            std::string::npos);
  EXPECT_NE(with("every = ", "endpoint = \"ec2\\n\"\nevery = ")
                .find("account.feed.endpoint has to be a URL"),
            std::string::npos);
  EXPECT_NE(
      with("every = ", "secret = \"x\"\nevery = ").find("account.feed.secret is not known here"),
      std::string::npos);
}

TEST(NodeConfig, PriceFilesAreOneOrSeveralAndStandBesideIt) {
  const auto with = [](const std::string& prices) {
    const auto config = parse_node_config(
        std::string(good) +
            "[market]\norigin = \"2026-01-01T00:00:00Z\"\nstart = \"2026-01-01T00:00:00Z\"\n"
            "[account]\nproduct = \"Windows\"\nprices = " +
            prices + "\n",
        "/etc/supercloud/node.toml");
    EXPECT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(to_toml(*parse_node_config(to_toml(*config), "elsewhere.toml")), to_toml(*config));
    EXPECT_EQ(config->account->product, "Windows");
    return config->account->price_files;
  };
  using Paths = std::vector<std::string>;
  EXPECT_EQ(with("\"a.csv\""), Paths{"/etc/supercloud/a.csv"});
  EXPECT_EQ(with("[\"a.csv\", \"/b.json\"]"), (Paths{"/etc/supercloud/a.csv", "/b.json"}));
  EXPECT_EQ(with("[]"), Paths{});
}

TEST(NodeConfig, PoliciesOfItsUserAreFilesBesideItThatCanBeRun) {
  std::string folder = "/tmp/scn-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  std::ofstream(folder + "/mine.py") << "#!/usr/bin/python3\n";
  std::ofstream(folder + "/plain.py") << "";
  std::filesystem::permissions(folder + "/mine.py", std::filesystem::perms::owner_all);
  const auto with = [&](const std::string& line) {
    return parse_node_config(std::string(good) + "[policies]\n" + line + "\n",
                             folder + "/node.toml");
  };
  const auto config = with("mine = \"mine.py\"");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->policies.at("mine"), folder + "/mine.py");
  EXPECT_EQ(parse_node_config(to_toml(*config), "elsewhere/node.toml")->policies, config->policies);
  for (const auto& [line, told] : std::map<std::string, std::string>{
           {"mine = \"nothing.py\"",
            "policies.mine cannot be used: " + folder +
                "/nothing.py: no such file; give the path of a program or of a shared object"},
           {"mine = \"plain.py\"", "policies.mine cannot be used: " + folder +
                                       "/plain.py may not be executed; chmod +x it"},
           {"cheapest = \"mine.py\"",
            "policies.cheapest is the name of a policy that comes with the program: choose "
            "another"},
           {"\"my own\" = \"mine.py\"", "policies.my own is no name for a policy: write 1 to 64"},
           {"mine = 7", "policies.mine has to be a text"}}) {
    const std::string why(with(line).status().message());
    EXPECT_EQ(why.find(folder + "/node.toml:21: " + told), 0U) << why;
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace supercloud
