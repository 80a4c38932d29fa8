// What `replay` is asked for, and what it says of it: bids, periods, damage, constraints, stories, and the table of plain models.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/process/replay.h"

namespace supercloud {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(ReplayTest, ABidBelowEverySpotPriceBeginsOnDemand) {
  const Json answer = replayed({prices(), "--bid", "0.001"});
  EXPECT_EQ(answer["strategies"][0]["cost_usd"], answer["on_demand_usd"]);
  EXPECT_EQ(answer["strategies"][0]["moves"], 0);
  EXPECT_TRUE(answer["saving_reached"].is_null());
  EXPECT_THAT(run({"replay", "--prices", prices(), "--bid", "0.001"}).out,
              HasSubstr("Nothing could be saved"));
  const Said nothing = run({"replay", "--prices", prices(), "--bid", "0"});
  EXPECT_EQ(nothing.code, 2);
  EXPECT_THAT(nothing.err, HasSubstr("nothing can be rented for 0; bid more"));
}

TEST_F(ReplayTest, AZoneWhosePricesBeginLateShortensNothing) {
  std::string rows = "epoch_s,az,usd_per_h\n";
  for (int hour = 0; hour < 240; ++hour)
    absl::StrAppend(&rows, begin_s + hour * 3600, ",a,", 0.03 + hour % 7 * 0.001, "\n");
  absl::StrAppend(&rows, begin_s + 239 * 3600, ",b,0.02\n");
  const std::string late = write("r3.large.csv", rows);
  const Json answer = replayed({late});
  EXPECT_EQ(answer["from"], "2015-08-22T00:00:00+00:00");
  EXPECT_EQ(answer["to"], "2015-08-31T23:00:00+00:00");
  EXPECT_THAT(told_,
              HasSubstr("us-east-1b has no price before the end: until then no VM can be there."));
  EXPECT_EQ(replayed({late, "--from", "2015-08-25"})["from"], "2015-08-25T00:00:00+00:00");

  // The prices in force, with which an answer of AWS begins, may be old; --from is what it says.
  std::string young = "epoch_s,az,usd_per_h\n";
  absl::StrAppend(&young, begin_s - 20 * 3600, ",a,0.03\n");
  for (int hour = 0; hour < 240; ++hour)
    absl::StrAppend(&young, begin_s + hour * 3600, ",b,", 0.03 + hour % 7 * 0.001, "\n");
  const std::string forced = write("r3.large.csv", young);
  EXPECT_EQ(replayed({forced})["from"], "2015-08-22T00:00:00+00:00");
  EXPECT_THAT(told_,
              HasSubstr("The replay begins at 2015-08-22 00:00, when every zone has a price, "
                        "not at the first one, 2015-08-21 04:00; --from begins elsewhere."));
  EXPECT_EQ(replayed({forced, "--from", "2015-08-21T12:00:00Z"})["from"],
            "2015-08-21T12:00:00+00:00");
}

// One row of JSON that is dated months late makes days months: that is told, with what comes before and after, and how to go on.
TEST_F(ReplayTest, ATimeWithoutAPriceThatIsTooLongToBeTrueIsTold) {
  const auto row = [](const char* time, const char* price) {
    return absl::StrCat(R"({"AvailabilityZone":"us-east-1a","InstanceType":"r3.large",)",
                        R"("ProductDescription":"Linux/UNIX","SpotPrice":")", price,
                        R"(","Timestamp":")", time, R"("})", "\n");
  };
  const std::string week = row("2015-08-22T00:00:00Z", "0.03") +
                           row("2015-08-24T00:00:00Z", "0.04") +
                           row("2015-08-25T12:00:00Z", "0.05");
  const std::string good = write("good.json", week);
  replayed({good});
  EXPECT_THAT(told_, Not(HasSubstr("no price changes")));
  const std::string late = write("late.json", week + row("2015-10-25T12:00:00Z", "0.06"));
  const std::string told = late +
                           ": no price changes from 2015-08-25T12:00:00Z to "
                           "2015-10-25T12:00:00Z, of which ";
  EXPECT_EQ(replayed({late})["to"], "2015-10-25T12:00:00+00:00");
  EXPECT_THAT(told_, HasSubstr(told + "61 days are replayed; correct the time of the price before "
                                      "or after, if it is wrong, or replay one side with --to "
                                      "2015-08-25T12:00:00Z.\n"));
  // What is not replayed is not told.
  EXPECT_EQ(replayed({late, "--to", "2015-08-25T12:00:00Z"})["to"], "2015-08-25T12:00:00+00:00");
  EXPECT_THAT(told_, Not(HasSubstr("no price changes")));
  replayed({late, "--to", "2015-09-20"});
  EXPECT_THAT(told_, Not(HasSubstr("no price changes")));
  replayed({late, "--to", "2015-10-15"});
  EXPECT_THAT(told_, HasSubstr(told + "50 days are replayed"));
  replayed({late, "--from", "2015-10-01"});
  EXPECT_THAT(told_, Not(HasSubstr("no price changes")));
  const std::string both = write("both.json", week + row("2015-10-25T12:00:00Z", "0.06") +
                                                  row("2015-10-26T12:00:00Z", "0.03"));
  replayed({both});
  EXPECT_THAT(told_, HasSubstr("or replay one side with --to 2015-08-25T12:00:00Z or --from "
                               "2015-10-25T12:00:00Z.\n"));
}

TEST_F(ReplayTest, WhatAsksForNothingIsToldSo) {
  const auto said = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"replay", "--no-log", "--prices", prices()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Said told = run(arguments);
    EXPECT_EQ(told.code, 2) << told.out;
    EXPECT_EQ(told.out, "");
    return told.err;
  };
  EXPECT_THAT(said({"--on-demand", "m4.xlarge=0.2"}),
              HasSubstr("there are no prices of that type, but of r3.large (144 rows)"));
  EXPECT_THAT(said({"--from", "2015-08-23", "--to", "2015-08-22"}),
              HasSubstr("--to 2015-08-22 is not after --from 2015-08-23"));
  EXPECT_THAT(said({"--from", "2020-01-01"}), HasSubstr("the prices end at 2015-08-23 23:00"));
  EXPECT_THAT(said({"--to", "2010-01-01"}), HasSubstr("the prices begin at 2015-08-22 00:00"));
  EXPECT_THAT(said({"--report", "/nonexistent/x.html"}),
              HasSubstr("--report /nonexistent/x.html: there is no folder /nonexistent"));
  for (const std::vector<std::string>& option : std::vector<std::vector<std::string>>{
           {"--policy", "stay"}, {"--vms", "2"}, {"--bid", "0.1"}, {"--baselines", "stay"}}) {
    std::vector<std::string> plain = {"--model", "plain"};
    plain.insert(plain.end(), option.begin(), option.end());
    EXPECT_THAT(said(plain), HasSubstr(option[0] + " has no effect with --model plain"));
  }
  EXPECT_THAT(said({"--leave-out", "2015-08-22/2015-08-23"}),
              HasSubstr("--leave-out goes with --model plain or plain-hours only"));
  EXPECT_THAT(said({"--model", "plain", "--leave-out", "2015-08-22"}), HasSubstr("FROM/TO"));
}

TEST_F(ReplayTest, DamageIsToldAndEveryRowOfItIsInTheLog) {
  const std::string path = write("r3.large.csv",
                                 "epoch_s,az,usd_per_h\n1440201600,a,0.03\n1440201600,b,0."
                                 "04\n1440202000,a,-1\n1440202001,a,-2\n"
                                 "1440202002,a,-3\n1440288000,a,0.05\n");
  const Json answer = replayed({path});
  EXPECT_EQ(answer["rejected_rows"], 3);
  ASSERT_EQ(answer["damage"].size(), 3U);
  EXPECT_THAT(answer["damage"][2].get<std::string>(), HasSubstr("r3.large.csv:6: usd_per_h: "));
  EXPECT_THAT(told_, HasSubstr("r3.large.csv:4: usd_per_h: "));
  const std::string events = run({"events", "--since", "start", "bus.rejected.>"}).out;
  EXPECT_THAT(events, HasSubstr("1 message of "));
  EXPECT_THAT(events, HasSubstr("2 messages of "));
  const Said without = run({"replay", "--no-log", "--prices", path});
  EXPECT_THAT(without.out, HasSubstr("3 rows of the price files are damaged"));
  EXPECT_THAT(without.out, Not(HasSubstr("bus.rejected")));
  EXPECT_THAT(without.err, HasSubstr("r3.large.csv:5: usd_per_h: "));
}

TEST_F(ReplayTest, TheLeastThatWasPossibleKeepsTheConstraintsOfEachVm) {
  const std::string safe = write("safe.toml",
                                 "name = \"x\"\nmemory = \"1GiB\"\naddress = \"10.0.0.1\"\n"
                                 "[requires]\nmarket = \"on-demand\"\n");
  const Json answer = replayed({prices(), "--start", "on-demand", "--vm", safe});
  EXPECT_EQ(answer["clairvoyant_usd"], answer["on_demand_usd"]);
  EXPECT_TRUE(answer["saving_reached"].is_null());
  // Where its labels leave it nowhere to be, it is on demand, as what is started anew.
  const std::string spot = write("spot.toml",
                                 "name = \"x\"\nmemory = \"1GiB\"\naddress = \"10.0.0.1\"\n"
                                 "[requires]\nmarket = \"spot\"\n");
  const std::string spike = write("spike_r3.large.csv",
                                  "epoch_s,az,usd_per_h\n1440201600,a,0.03\n1440223200,a,0.9\n"
                                  "1440237600,a,0.03\n1440288000,a,0.03\n");
  EXPECT_EQ(replayed({spike, "--vm", spot})["strategies"][0]["caught"], 1);
  const Json one = replayed({prices(), "--start", "on-demand"});
  const Json three = replayed({prices(), "--start", "on-demand", "--vms", "3"});
  EXPECT_NEAR(three["clairvoyant_usd"].get<double>(), 3 * one["clairvoyant_usd"].get<double>(),
              1e-6);
  EXPECT_EQ(three["strategies"][1]["revocations"].get<int>(),
            3 * one["strategies"][1]["revocations"].get<int>());
}

TEST_F(ReplayTest, TheClairvoyantMayBeGivenABudgetOfMoves) {
  // By turns one zone is cheap for a day, then the other.
  std::string rows = "epoch_s,az,usd_per_h\n";
  for (int day = 0; day < 6; ++day)
    for (const char* zone : {"a", "b"})
      absl::StrAppend(&rows, 1440201600 + day * 86400, ",", zone, ",",
                      (*zone == 'a') == (day % 2 == 0) ? "0.03\n" : "0.09\n");
  const std::string path = write("turns_r3.large.csv", rows);
  const std::vector<std::string> stays = {path,   "--start",  "us-east-1a", "--baselines",
                                          "none", "--policy", "stay"};
  const Json without = replayed(stays);
  ASSERT_EQ(without["strategies"].size(), 2U);
  double before = 0;
  for (const std::string budget : {"0", "2", "1000"}) {
    std::vector<std::string> arguments = stays;
    arguments.insert(arguments.end(), {"--clairvoyant-moves", budget});
    const Json answer = replayed(arguments);
    // Beside the clairvoyant, who is the measure as ever.
    EXPECT_EQ(answer["strategies"].back(), without["strategies"].back());
    EXPECT_EQ(answer["clairvoyant_usd"], without["clairvoyant_usd"]);
    EXPECT_EQ(answer["saving_reached"], without["saving_reached"]);
    ASSERT_EQ(answer["strategies"].size(), 3U);
    const Json& best = answer["strategies"][1];
    const std::string name = absl::StrCat("clairvoyant-", budget, "-moves");
    ASSERT_EQ(best["name"], name);
    EXPECT_TRUE(answer["model"].contains(name));
    const double cost = best["cost_usd"].get<double>();
    if (budget == "0") {
      EXPECT_EQ(cost, answer["strategies"][0]["cost_usd"].get<double>());
    } else {
      EXPECT_LT(cost, before) << budget;
    }
    EXPECT_EQ(best["moves"].get<int>(), std::min(std::stoi(budget), 4));
    before = cost;
  }
  EXPECT_EQ(before, without["clairvoyant_usd"].get<double>());
}

// ... but none with which a VM would be taken by the cloud, nor one that is no number; before anything runs.
TEST_F(ReplayTest, ABudgetOfMovesThatCannotBeIsRefused) {
  const std::string spikes =
      write("spikes_r3.large.csv",
            "epoch_s,az,usd_per_h\n1440201600,a,0.03\n1440201600,b,0.03\n1440223200,a,0.9\n"
            "1440237600,a,0.03\n1440250000,b,0.9\n1440260000,b,0.03\n1440288000,a,0.03\n");
  const auto refused = [&](const std::string& budget, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {
        "replay", "--prices", spikes, "--start", "us-east-1a", "--clairvoyant-moves", budget};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Said said = run(arguments);
    EXPECT_EQ(said.code, 2) << said.out << said.err;
    EXPECT_EQ(said.out, "");
    return said.err;
  };
  EXPECT_THAT(refused("0"), HasSubstr("--clairvoyant-moves 0: with so few moves the cloud would "
                                      "take the instance of vm1, whatever is known beforehand; "
                                      "give it 1 or more"));
  const std::string spot = write("spot.toml",
                                 "name = \"x\"\nmemory = \"1GiB\"\naddress = \"10.0.0.1\"\n"
                                 "[requires]\nmarket = \"spot\"\n");
  EXPECT_THAT(refused("1", {"--vm", spot}), HasSubstr("give it 2 or more"));
  for (const char* none : {"-1", "many", "1001", "1.5", ""})
    EXPECT_THAT(refused(none), HasSubstr("--clairvoyant-moves")) << none;
  const Said enough = run({"replay", "--no-log", "--prices", spikes, "--start", "us-east-1a",
                           "--clairvoyant-moves", "1"});
  EXPECT_EQ(enough.code, 0) << enough.err;
  EXPECT_THAT(enough.out, HasSubstr("\nclairvoyant-1-move "));
}

TEST_F(ReplayTest, AStoryOfDaysHasDatesAndTellsWhatCaughtAVm) {
  const std::string path = write("r3.large.csv",
                                 "epoch_s,az,usd_per_h\n1440201600,a,0.03\n1440223200,a,0.9\n"
                                 "1440460800,a,0.9\n");
  const Json answer = replayed({path, "--policy", "stay"});
  EXPECT_EQ(answer["strategies"][0]["caught"], 1);
  const std::string story = run({"explain", "vm1"}).out;
  EXPECT_EQ(run({"policy", "test", "stay", "--prices", path}).code, 1);
  EXPECT_THAT(story, HasSubstr("vm1 was caught: the cloud took its machine, node-0 at "
                               "us-east-1a/spot, at 2015-08-22 06:02:"));
  EXPECT_THAT(story, HasSubstr("It was started anew as vm1-again1 on "));
  EXPECT_THAT(run({"events", "--since", "start", "instance.revoked.>"}).out,
              testing::StartsWith("2015-08-22 06:02:"));
}

// ---- the table of the real prices, by the command

struct PlainRow {
  const char* name;
  const char* file;
  std::vector<std::string> more;
  double on_demand, cheapest, clairvoyant, whole_hours;
};

void PrintTo(const PlainRow& row, std::ostream* out) { *out << row.name; }

class ReplayPlainTable : public ReplayTest, public testing::WithParamInterface<PlainRow> {};

TEST_P(ReplayPlainTable, IsReproducedToTheCent) {
  const char* data = ::getenv("SUPERCLOUD_DATA");
  const std::string path = absl::StrCat(
      data == nullptr ? SUPERCLOUD_SOURCE_ROOT "/../shared/data" : data, "/spot/", GetParam().file);
  if (!files::exists(path))
    GTEST_SKIP() << "no real prices here; set SUPERCLOUD_DATA to the folder that holds them";
  for (const char* model : {"plain", "plain-hours"}) {
    std::vector<std::string> arguments = {"replay", "--json", "--model", model, "--prices", path};
    arguments.insert(arguments.end(), GetParam().more.begin(), GetParam().more.end());
    const Said said = run(arguments);
    ASSERT_EQ(said.code, 0) << said.err;
    const Json answer = Json::parse(said.out);
    EXPECT_NEAR(answer["on_demand_usd"].get<double>(), GetParam().on_demand, 0.005);
    const bool whole = model == std::string("plain-hours");
    EXPECT_NEAR(answer["strategies"][0]["cost_usd"].get<double>(),
                whole ? GetParam().whole_hours : GetParam().cheapest, 0.00501);
    if (!whole) {
      EXPECT_NEAR(answer["clairvoyant_usd"].get<double>(), GetParam().clairvoyant, 0.00501);
    }
  }
}

const char* const gap_of_2015 = "2015-06-09T15:30:00Z/2015-06-12T00:21:00Z";

INSTANTIATE_TEST_SUITE_P(
    Series, ReplayPlainTable,
    testing::Values(PlainRow{"week_m4",
                             "2016_week_m4.xlarge_r3.large_4zones_5min.csv",
                             {"--type", "m4.xlarge", "--on-demand", "m4.xlarge=0.239"},
                             40.15,
                             11.53,
                             11.34,
                             10.26},
                    PlainRow{"week_r3",
                             "2016_week_m4.xlarge_r3.large_4zones_5min.csv",
                             {"--type", "r3.large", "--on-demand", "r3.large=0.166"},
                             27.89,
                             12.30,
                             7.56,
                             7.00},
                    PlainRow{"m4_of_2016",
                             "2016_m4.xlarge_us-east-1_4zones_5min.csv",
                             {"--on-demand", "m4.xlarge=0.239"},
                             514.33,
                             121.44,
                             113.94,
                             109.39},
                    PlainRow{"r3_of_2015",
                             "2015_r3.large_us-east-1_3zones_events.csv",
                             {"--on-demand", "r3.large=0.175", "--leave-out", gap_of_2015},
                             717.50,
                             140.49,
                             127.68,
                             126.39},
                    PlainRow{"m3_of_2015",
                             "2015_m3.medium_us-east-1_3zones_events.csv",
                             {"--to", "2015-08-28T07:35:00Z", "--on-demand", "m3.medium=0.07",
                              "--leave-out", gap_of_2015},
                             279.58,
                             36.46,
                             36.37,
                             36.34}),
    [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace supercloud
