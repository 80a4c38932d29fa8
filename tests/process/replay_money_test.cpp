// What a replay says of money: shares of what was possible, odd ends, on-demand prices that were not given.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/process/replay.h"

namespace supercloud {
namespace {

using testing::HasSubstr;
using testing::Not;

class ReplayMoneyTest : public ReplayTest {
 protected:
  // Of one zone: {minute, USD} each.
  std::string zone_prices(const std::vector<std::pair<int, double>>& changes) const {
    std::string rows = "epoch_s,az,usd_per_h\n";
    for (const auto& [minute, price] : changes)
      absl::StrAppend(&rows, begin_s + minute * 60, ",a,", price, "\n");
    return write("r3.large.csv", rows);
  }

  // The clairvoyant's own cost, not the least of all strategies, which bounds them by its making. `free`: the cloud gave hours away, with
  // which the clairvoyant does not reckon.
  static void expect_possible(const Json& answer, const std::string& what, bool free = false) {
    ASSERT_TRUE(answer["saving_reached"].is_number()) << what;
    EXPECT_LE(answer["saving_reached"].get<double>(), 1) << what;
    const double least = answer["strategies"].back()["cost_usd"].get<double>();
    for (const Json& strategy : answer["strategies"]) {
      expect_sum(strategy);
      EXPECT_GE(strategy["cost_usd"], answer["clairvoyant_usd"]) << what << ": " << strategy;
      if (!free) {
        EXPECT_GE(strategy["cost_usd"].get<double>(), least - 1e-6) << what << ": " << strategy;
      }
    }
    if (!free) {
      EXPECT_EQ(answer["clairvoyant_usd"].get<double>(), least) << what;
    }
  }
  // To the last nano-dollar.
  static void expect_sum(const Json& strategy) {
    const auto nano = [&strategy](const char* part) {
      return std::llround(strategy[part].get<double>() * 1e9);
    };
    EXPECT_EQ(nano("cost_usd"), nano("instances_usd") + nano("transfer_usd") + nano("downtime_usd"))
        << strategy;
  }
};

TEST_F(ReplayMoneyTest, NobodySavesMoreThanWasPossible) {
  const Json flat = replayed({zone_prices({{0, 0.047}, {90, 0.047}}), "--policy", "stay"});
  expect_possible(flat, "flat");
  EXPECT_NEAR(flat["clairvoyant_usd"].get<double>(), 1.5 * 0.047, 1e-9);
  EXPECT_NEAR(flat["saving_reached"].get<double>(), 1, 1e-9);

  for (const int minutes : {5, 60, 65, 125, 355}) {
    std::string rows = "epoch_s,az,usd_per_h\n";
    for (int minute = 0; minute <= minutes; minute += 5)
      for (int zone = 0; zone < 3; ++zone)
        absl::StrAppend(&rows, begin_s + minute * 60, ",", std::string(1, "abc"[zone]), ",",
                        (minute / 20 + zone) % 3 * 0.01 + 0.03, "\n");
    const std::string path = write("r3.large.csv", rows);
    for (const char* policy : {"stay", "cheapest", "smart-spot"})
      for (const char* billing : {"hourly", "per-second"})
        expect_possible(replayed({path, "--policy", policy, "--billing", billing}),
                        absl::StrCat(minutes, " minutes, ", policy, ", ", billing));
  }

  // The cloud ends each instance within its hour: every hour is free for who is on it.
  std::string rows = "epoch_s,az,usd_per_h\n";
  for (int period = 0; period < 29; ++period) {
    const std::int64_t begins = begin_s + period * 50 * 60;
    const bool even = period % 2 == 0;
    absl::StrAppend(&rows, begins, ",", even ? "a" : "b", ",0.15\n", begins + (period > 0 ? 60 : 0),
                    ",", even ? "b" : "a", ",0.9\n");
  }
  const Json refunds = replayed({write("r3.large.csv", rows), "--policy", "cheapest"});
  EXPECT_GE(refunds["strategies"][0]["revocations"], 10);
  expect_possible(refunds, "refunds", /*free=*/true);
  EXPECT_LT(refunds["clairvoyant_usd"], refunds["strategies"].back()["cost_usd"])
      << "the clairvoyant does not reckon with them";
  EXPECT_EQ(refunds["saving_reached"], 1.0);
}

// Downtime is no bill of the cloud's: it is told beside what is.
TEST_F(ReplayMoneyTest, EveryCentIsOfAMachineATransferOrADowntime) {
  for (const char* billing : {"hourly", "per-second"}) {
    const Json answer =
        replayed({prices(), "--policy", "cheapest", "--vms", "3", "--start", "on-demand",
                  "--billing", billing, "--downtime-price", "100", "--memory", "1000MiB",
                  "--egress", "0.0123", "--disk-delta", "10MiB", "--clairvoyant-moves", "2"});
    ASSERT_EQ(answer["strategies"].size(), 3U);
    for (const Json& strategy : answer["strategies"]) {
      expect_sum(strategy);
      ASSERT_GT(strategy["moves"], 0) << strategy;
      EXPECT_GT(strategy["downtime_usd"], 0) << strategy;
      // 1000 MiB x 1.3 + 10 MiB, a move
      EXPECT_NEAR(strategy["transfer_usd"].get<double>(),
                  strategy["moves"].get<double>() * 1310 / 1024 * 0.0123, 1e-6)
          << strategy;
      EXPECT_NEAR(strategy["downtime_usd"].get<double>(),
                  strategy["down_s"].get<double>() * 100 / 3600, 1e-6);
    }
  }
  const Json plain = Json::parse(
      run({"replay", "--json", "--model", "plain", "--prices", prices(), "--no-log"}).out);
  for (const Json& strategy : plain["strategies"]) {
    expect_sum(strategy);
    EXPECT_EQ(strategy["cost_usd"], strategy["instances_usd"]);
  }
}

TEST_F(ReplayMoneyTest, TheLastHourCostsThePriceAtItsStart) {
  const std::string path = zone_prices({{0, 0.01}, {90, 0.15}, {175, 0.15}});
  const Json hourly = replayed({path, "--policy", "stay"});
  EXPECT_NEAR(hourly["strategies"][0]["cost_usd"].get<double>(), 0.1575, 1e-9);
  expect_possible(hourly, "hourly");
  const Json seconds = replayed({path, "--policy", "stay", "--billing", "per-second"});
  EXPECT_NEAR(seconds["strategies"][0]["cost_usd"].get<double>(), 0.015 + 0.15 * 85 / 60, 1e-9);
  expect_possible(seconds, "per second");
}

// ---- what is refused, or told, for it would look like a figure

class ReplayRefusedTest : public ReplayMoneyTest {
 protected:
  std::string refused(const std::string& path, std::vector<std::string> more) {
    std::vector<std::string> arguments = {"replay", "--no-log", "--prices", path};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Said said = run(arguments);
    EXPECT_EQ(said.code, 2) << said.out << said.err;
    EXPECT_EQ(said.out, "");
    return said.err;
  }
};

TEST_F(ReplayRefusedTest, AMoveThatTakesLongerThanAnyLeadIsRefusedAndALongOneCompletes) {
  const std::vector<std::string> much = {"--launch-delay", "20m", "--migration-time", "10m"};
  EXPECT_THAT(refused(prices(), much),
              HasSubstr("--launch-delay 20m and --migration-time 10m are too long together"));
  EXPECT_THAT(refused(prices(), {"--lead", "59m"}), HasSubstr("59m is no time from 1s to 30m"));
  for (const std::vector<std::string>& slow : std::vector<std::vector<std::string>>{
           {"--migration-time", "12m"},
           {"--launch-delay", "12m"},
           {"--launch-delay", "14m", "--migration-time", "14m"}}) {
    std::vector<std::string> arguments = {prices(), "--policy", "cheapest", "--start", "on-demand"};
    arguments.insert(arguments.end(), slow.begin(), slow.end());
    const Json answer = replayed(arguments);
    EXPECT_GE(answer["strategies"][0]["moves"], 5) << answer["model"];
    EXPECT_GT(answer["saving_reached"], 0.5) << answer["model"];
  }
}

TEST_F(ReplayRefusedTest, WhatAVmDemandsOfItsHostIsNotThereAndDoesNotHoldItBack) {
  const std::string described = write("gpu.toml",
                                      "name = \"x\"\nmemory = \"1GiB\"\naddress = \"10.0.0.1\"\n"
                                      "devices = [\"gpu\"]\n");
  const Json with = replayed({prices(), "--vm", described}), without = replayed({prices()});
  EXPECT_EQ(with["strategies"], without["strategies"]);
}

TEST_F(ReplayRefusedTest, APriceOnDemandThatWasNotSaidIsToldAndOnlyTakenWhereItIsKnown) {
  const Json answer = replayed({prices()});
  EXPECT_THAT(told_, HasSubstr("r3.large is taken to cost 0.1750 USD per hour on demand, as Linux "
                               "in us-east-1 when the type was new; --on-demand r3.large=USD"));
  EXPECT_EQ(answer["model"]["on demand"],
            "0.1750 USD per hour, not said, but known of Linux in us-east-1");
  EXPECT_EQ(answer["model"]["product"], "the files do not tell");
  EXPECT_EQ(answer["model"]["the VMs begin at"], "aws/us-east-1/us-east-1a/r3.large/spot");
  const Json said = replayed({prices(), "--on-demand", "r3.large=0.2"});
  EXPECT_THAT(told_, Not(HasSubstr("is taken to cost")));
  EXPECT_EQ(said["model"]["on demand"], "0.2000 USD per hour, as --on-demand says");
  const Json asked = replayed({prices(), "--on-demand", "r3.large=0.2", "--product", "Windows"});
  EXPECT_EQ(asked["model"]["product"], "the files do not tell; Windows was asked for");

  const std::string elsewhere =
      write("r3.large_eu.csv",
            "epoch_s,az,usd_per_h\n1440201600,eu-west-1a,0.03\n1440288000,eu-west-1a,0.05\n");
  EXPECT_THAT(refused(elsewhere, {}),
              HasSubstr("what r3.large costs on demand in aws eu-west-1 is not known here; say "
                        "--on-demand r3.large=USD per hour"));
  std::string windows = "{\"SpotPriceHistory\":[";
  for (const char* day : {"24", "23", "22"})
    absl::StrAppend(&windows, windows.back() == '[' ? "" : ",",
                    R"({"AvailabilityZone":"us-east-1a","InstanceType":"r3.large",)",
                    R"("ProductDescription":"Windows","SpotPrice":"0.3","Timestamp":"2015-08-)",
                    day, "T00:00:00Z\"}");
  const std::string of_windows = write("windows.json", windows + "]}");
  EXPECT_EQ(replayed({of_windows, "--on-demand", "r3.large=0.5"})["model"]["product"], "Windows");
  EXPECT_THAT(refused(of_windows, {}),
              HasSubstr("what r3.large with Windows costs on demand in aws us-east-1"));
  EXPECT_THAT(refused(prices(), {"--on-demand", "r3.large=0.2", "--on-demand", "r3.large=0.3"}),
              HasSubstr("--on-demand r3.large=0.3: the price of that type was said before"));
}

TEST_F(ReplayRefusedTest, TwoRegionsAreRefusedWithTheirZones) {
  const std::string both = write("r3.large.csv",
                                 "epoch_s,az,usd_per_h\n1440201600,us-east-1a,0.03\n"
                                 "1440201600,us-west-2a,0.04\n1440288000,us-east-1a,0.05\n");
  EXPECT_THAT(refused(both, {"--on-demand", "r3.large=0.2"}),
              HasSubstr("a replay is of one region, and there are us-east-1 (us-east-1a: 2 prices) "
                        "and us-west-2 (us-west-2a: 1 price); choose one with --region"));
  EXPECT_THAT(
      refused(both, {"--on-demand", "r3.large=0.2", "--region", "eu-west-1"}),
      HasSubstr("--region eu-west-1: there are no prices of it, but of us-east-1, us-west-2"));
  const Json one = replayed({both, "--on-demand", "r3.large=0.2", "--region", "us-east-1"});
  EXPECT_TRUE(one.is_object());
}

// ... of a cloud whose zones are its regions, too.
TEST_F(ReplayRefusedTest, TwoRegionsWithoutZonesAreTwoRegions) {
  const std::string both = write("D2.csv",
                                 "instance_type,epoch_s,az,usd_per_h\n"
                                 "D2,1440201600,westeurope,0.03\nD2,1440201600,northeurope,0.04\n"
                                 "D2,1440288000,westeurope,0.05\n");
  EXPECT_THAT(refused(both, {"--cloud", "azure", "--on-demand", "D2=0.2"}),
              HasSubstr("a replay is of one region, and there are northeurope (northeurope: 1 "
                        "price) and westeurope (westeurope: 2 prices); choose one with --region"));
  const Json one =
      replayed({both, "--cloud", "azure", "--on-demand", "D2=0.2", "--region", "westeurope"});
  EXPECT_EQ(one["title"], "D2 in azure westeurope");
  EXPECT_EQ(one["model"]["the VMs begin at"], "azure/westeurope/westeurope/D2/spot");
  EXPECT_THAT(refused(both, {"--cloud", "azure", "--on-demand", "D2=0.2", "--region", "eastus"}),
              HasSubstr("--region eastus: there are no prices of it, but of northeurope, "
                        "westeurope"));
}

TEST_F(ReplayRefusedTest, AZoneThatRisesAboveTheBidAtOnceIsNoPlaceToBeginAt) {
  const std::string path =
      write("r3.large.csv",
            absl::StrCat("epoch_s,az,usd_per_h\n", begin_s, ",a,0.05\n", begin_s, ",b,0.06\n",
                         begin_s + 180, ",a,0.5\n", begin_s + 86400, ",b,0.06\n"));
  const Json answer = replayed({path});
  EXPECT_EQ(answer["model"]["the VMs begin at"], "aws/us-east-1/us-east-1b/r3.large/spot");
  expect_possible(answer, "begins at b");
  EXPECT_THAT(
      refused(path, {"--start", "us-east-1a"}),
      HasSubstr("--start us-east-1a: its price exceeds the bid within 5m of the beginning"));
}

TEST_F(ReplayRefusedTest, NothingIsSaidOfTimesWithoutPrices) {
  const Json answer = replayed({prices(), "--to", "2015-10-22"});
  EXPECT_EQ(answer["to"], "2015-08-23T23:00:00+00:00");
  EXPECT_THAT(told_, HasSubstr("There is no price after 2015-08-23 23:00: the replay ends there, "
                               "not at --to."));
  EXPECT_EQ(replayed({prices(), "--to", "2015-08-23"})["to"], "2015-08-23T00:00:00+00:00");
  EXPECT_THAT(told_, Not(HasSubstr("not at --to")));
}

TEST_F(ReplayRefusedTest, ALogThatCannotBeKeptIsToldBeforeAnythingRuns) {
  environment_["XDG_STATE_HOME"] = "/proc";
  const Said said = run({"replay", "--prices", prices()});
  EXPECT_EQ(said.code, 2);
  EXPECT_EQ(said.out, "");
  EXPECT_THAT(said.err, HasSubstr("the log: making /proc/supercloud/replay-"));
  EXPECT_THAT(said.err, HasSubstr("or replay with --no-log"));
  EXPECT_EQ(run({"replay", "--no-log", "--prices", prices()}).code, 0);
}

}  // namespace
}  // namespace supercloud
