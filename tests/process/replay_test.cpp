// Replays as a person runs them: policies that are files, good and bad, many VMs, and prices as they should not be.
#include "tests/process/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

using testing::HasSubstr;
using testing::Not;

// ---- policies that are files

class ExamplePolicy : public ReplayTest, public testing::WithParamInterface<const char*> {};

TEST_P(ExamplePolicy, DecidesInAReplayWithReasonsAndTheSameTwice) {
  if (GetParam() == std::string("policy.py") && !has_pyzmq())
    GTEST_SKIP() << "there is no pyzmq; apt-get install python3-zmq";
  const std::vector<std::string> arguments = {prices(), "--policy", example(GetParam())};
  const Json once = replayed(arguments);
  EXPECT_GE(once["strategies"][0]["moves"], 3);
  EXPECT_LT(once["strategies"][0]["cost_usd"], once["on_demand_usd"]);
  const std::string story = explained();
  EXPECT_THAT(story, HasSubstr("because the paid hour ends"));
  EXPECT_THAT(story, HasSubstr("would cost"));
  EXPECT_THAT(
      story, HasSubstr(absl::StrCat("(policy ", once["strategies"][0]["name"].get<std::string>())));
  EXPECT_THAT(story, Not(HasSubstr("failed")));
  const std::string events = log();
  EXPECT_EQ(replayed(arguments), once);
  EXPECT_EQ(log(), events);
}

INSTANTIATE_TEST_SUITE_P(Both, ExamplePolicy, testing::Values("policy.py", "preferred_zones.so"),
                         [](const auto& param) {
                           return param.param == std::string("policy.py") ? "program"
                                                                          : "shared_object";
                         });

struct BadPolicy {
  const char* name;
  const char* does;       // with a question, in Python
  const char* first;      // that is told of it
  const char* explained;  // among what is
  bool recovers = false;
  int code = 1;  // nothing was ever answered that could be followed
};

void PrintTo(const BadPolicy& policy, std::ostream* out) { *out << policy.name; }

class BadPolicyTest : public ReplayTest, public testing::WithParamInterface<BadPolicy> {};

TEST_P(BadPolicyTest, MovesNothingAndIsNamedWithItsFault) {
  if (!has_pyzmq()) GTEST_SKIP() << "there is no pyzmq; apt-get install python3-zmq";
  const std::string path = write(
      "bad.py",
      absl::StrCat("#!/usr/bin/python3\nimport json, os, sys, time, zmq\n"
                   "def say(*frames): node.send_multipart(frames)\n"
                   "node = zmq.Context().socket(zmq.DEALER)\nnode.connect(sys.argv[1])\n"
                   "say(b'hello', b'{\"protocol\": 1, \"name\": \"bad\", \"version\": \"1\"}')\n"
                   "while True:\n  _, question, world = node.recv_multipart()\n  ",
                   GetParam().does,
                   "\n  say(b'decision', question, b'{\"reason\": \"it is fine\"}')\n"));
  ::chmod(path.c_str(), 0755);
  const std::vector<std::string> arguments = {prices(), "--policy", path, "--answer-within", "1s"};
  const Json answer = replayed(arguments, GetParam().code);
  EXPECT_EQ(answer["strategies"][0]["moves"], 0);
  EXPECT_THAT(told_, HasSubstr("policy bad failed "));
  EXPECT_THAT(told_, HasSubstr(GetParam().first));
  const Json& bad = answer["strategies"][0];
  const auto failures = bad["failures"].get<int>();
  EXPECT_GT(failures, 0);
  const std::string never =
      "times that it was asked, so that it decided nothing and its VMs "
      "stayed; the first time: ";
  EXPECT_THAT(told_, GetParam().recovers ? HasSubstr("policy bad failed 1 of ")
                                         : HasSubstr(absl::StrCat("policy bad failed ", failures,
                                                                  " of ", failures, " ", never)));
  // Wherever it is asked.
  for (const std::vector<std::string>& verb :
       {std::vector<std::string>{"policy", "test", path}, {"policy", "compare", path, "stay"}}) {
    std::vector<std::string> words = verb;
    words.insert(words.end(), {"--prices", prices(), "--answer-within", "1s"});
    ::unlink((path + ".late").c_str());
    const Said said = run(words);
    const bool sometimes_is_fine = verb[1] == "compare" && GetParam().recovers;
    EXPECT_EQ(said.code, sometimes_is_fine ? 0 : 1) << verb[1] << said.err;
    EXPECT_THAT(said.err, HasSubstr("policy bad failed ")) << verb[1];
    EXPECT_THAT(said.err, HasSubstr(GetParam().first)) << verb[1];
  }
  const std::string story = explained();
  EXPECT_THAT(story, HasSubstr("policy bad failed for vm1"));
  EXPECT_THAT(story, HasSubstr(GetParam().explained));
  if (GetParam().recovers) {
    EXPECT_THAT(story, HasSubstr("It stayed because it is fine"));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Each, BadPolicyTest,
    testing::Values(
        BadPolicy{"late",
                  "if not os.path.exists(sys.argv[0] + '.late'):\n"
                  "    open(sys.argv[0] + '.late', 'w').close()\n    time.sleep(60)",
                  "bad.py did not answer within 1s", "bad.py did not answer within 1s", true, 0},
        BadPolicy{"never", "continue", "bad.py did not answer within 1s",
                  "bad.py was killed: it left a question without an answer; it failed 3 times in a "
                  "row and is not started again"},
        BadPolicy{"nonsense", "say(b'decision', question, b'{{{'); continue",
                  "bad.py: not the JSON of Decision", "bad.py: not the JSON of Decision"},
        BadPolicy{"no_utf8", "say(b'decision', question, b'{\"reason\": \"\\xff\"}'); continue",
                  "its reason is no UTF-8: \"\\xff\"", "its reason is no UTF-8"},
        BadPolicy{"nowhere",
                  "say(b'decision', question, b'{\"choice\": "
                  "\"aws/us-east-1/us-east-1x/r3.large/spot\", \"reason\": \"x\"}'); continue",
                  "which is no place that is known",
                  "it chose \"us-east-1x/spot\", which is no place that is known"},
        BadPolicy{"crashes", "print('no luck', file=sys.stderr, flush=True); os.abort()",
                  "bad.py ended with signal 6 (ABRT); it wrote last: no luck",
                  "no luck; it failed 3 times in a row and is not started again"}),
    [](const auto& param) { return param.param.name; });

TEST_F(ReplayTest, AFileThatCannotRunIsRefusedBeforeAnythingRuns) {
  const std::string exits = write("exits.sh", "#!/bin/sh\nexit 3\n");
  const std::string cut = write("cut.so",
                                "\x7f"
                                "ELF");
  const std::string words = write("words.py", "these are no instructions\n");
  for (const std::string& path : {exits, words}) ::chmod(path.c_str(), 0755);
  for (const auto& arguments : {std::vector<std::string>{"policy", "test", exits},
                                {"replay", "--policy", exits},
                                {"replay", "--policy", cut},
                                {"replay", "--baselines", words}}) {
    std::vector<std::string> all = arguments;
    all.insert(all.end(), {"--prices", prices()});
    const Said said = run(all);
    EXPECT_EQ(said.code, 2) << arguments.back();
    EXPECT_EQ(said.out, "");
    EXPECT_THAT(said.err, HasSubstr("policy " + arguments.back() + " cannot run: "));
  }
  EXPECT_THAT(run({"replay", "--policy", exits, "--prices", prices()}).err,
              HasSubstr("exits.sh ended with exit code 3, before its hello"));
  EXPECT_EQ(run({"policy", "test", "smart-spot", "--prices", prices()}).code, 0);
}

TEST_F(ReplayTest, EachPolicyRunsOnceAndNoneIsComparedWithItself) {
  const Said tested = run({"policy", "test", "cheapest", "--prices", prices(), "--json"});
  const Json strategies = Json::parse(tested.out)["strategies"];
  ASSERT_EQ(strategies.size(), 3U);
  EXPECT_EQ(strategies[0]["name"], "cheapest");
  EXPECT_EQ(strategies[1]["name"], "stay");
  const Said compared =
      run({"policy", "compare", "smart-spot", "smart-spot", "--prices", prices()});
  EXPECT_EQ(compared.code, 2);
  EXPECT_THAT(compared.err, HasSubstr("smart-spot cannot be compared with itself"));
}

// ---- many VMs

TEST_F(ReplayTest, VmsOfSeveralKindsKeepTheirConstraintsAndShareABudget) {
  const std::string head = "name = \"x\"\nmemory = \"1GiB\"\naddress = \"10.0.0.1\"\n";
  std::vector<std::string> arguments = {
      prices(),
      "--vms",
      "6",
      "--start",
      "on-demand",
      "--vm",
      write("any.toml", head),
      write("safe.toml", head + "[requires]\nmarket = \"on-demand\"\n"),
      write("not_b.toml", head + "[refuses]\nzone = [\"us-east-1b\"]\n")};
  const Json without = replayed(arguments);
  EXPECT_EQ(without["vms"], 6);
  std::map<std::string, int> at;
  for (int vm = 1; vm <= 6; ++vm) {
    const std::string place = place_at_end(absl::StrCat("vm", vm));
    ++at[place];
    if (vm % 3 == 2) {
      EXPECT_EQ(place, "us-east-1a/on-demand");
    } else {
      EXPECT_THAT(place, HasSubstr("/spot")) << "vm" << vm;
    }
    if (vm % 3 == 0) {
      EXPECT_NE(place, "us-east-1b/spot") << "vm" << vm;
    }
  }

  for (const auto& [place, vms] : at)
    EXPECT_LE(vms, 3) << place << " has more than half of the VMs";

  for (const char* more : {"--moves-per-day", "1"}) arguments.emplace_back(more);
  const Json with = replayed(arguments);
  EXPECT_GE(with["strategies"][0]["moves"], 1);
  EXPECT_LE(with["strategies"][0]["moves"], 2) << "in two days";
  EXPECT_LT(with["strategies"][0]["moves"], without["strategies"][0]["moves"]);
}

TEST_F(ReplayTest, AVmThatMayNotBeWhereItBeginsIsRefusedBeforeAnythingRuns) {
  const std::string vm = write("vm.toml",
                               "name = \"x\"\nmemory = \"1GiB\"\naddress = \"10.0.0.1\"\n"
                               "[requires]\ntrust = \"high\"\n");
  const Said said = run({"replay", "--prices", prices(), "--vm", vm});
  EXPECT_EQ(said.code, 2);
  EXPECT_THAT(
      said.err,
      HasSubstr("vm.toml: it may not begin at aws/us-east-1/us-east-1a/r3.large/spot: the VM "
                "requires trust=high; choose another place with --start"));
}

// ---- prices as they should not be

struct BadPrices {
  const char* name;
  std::string content;  // of r3.large.csv, whatever its form
  const char* said;
  int code = 2;
  std::vector<std::string> more = {};
};

void PrintTo(const BadPrices& prices, std::ostream* out) { *out << prices.name; }

std::string events(const std::string& rows) { return "epoch_s,az,usd_per_h\n" + rows; }

// Two good prices, a day from each other, and what stands between them.
std::string good_events_and(const std::string& rows) {
  return events("1440201600,a,0.03\n1440201600,b,0.04\n" + rows + "1440288000,a,0.05\n");
}

std::string row(const std::string& zone, const std::string& time,
                const std::string& price = "0.03") {
  return absl::StrCat(R"({"AvailabilityZone":")", zone,
                      R"(","InstanceType":"r3.large","ProductDescription":"Linux/UNIX",)",
                      R"("SpotPrice":")", price, R"(","Timestamp":"2015-08-)", time,
                      "T00:00:00Z\"}");
}

std::string answer(const std::string& rows) { return "{\"SpotPriceHistory\":[" + rows + "]}"; }

class BadPricesTest : public ReplayTest, public testing::WithParamInterface<BadPrices> {};

TEST_P(BadPricesTest, AreToldByTheCommand) {
  std::vector<std::string> arguments = {"replay",
                                        "--baselines",
                                        "none",
                                        "--policy",
                                        "stay",
                                        "--prices",
                                        write("r3.large.csv", GetParam().content)};
  for (const std::string& word : GetParam().more) arguments.push_back(word);
  const Said said = run(arguments);
  EXPECT_EQ(said.code, GetParam().code) << said.err;
  if (GetParam().code == 0) {
    // The others count, and the log has the reason.
    EXPECT_THAT(said.out, HasSubstr("on-demand"));
    EXPECT_THAT(said.out, testing::ContainsRegex("rows? of the price files (is|are) damaged"));
    EXPECT_THAT(said.out, HasSubstr("events 'bus.rejected.>' --since start --cluster replay-"));
    EXPECT_THAT(said.err, HasSubstr(GetParam().said));
    EXPECT_THAT(run({"events", "--since", "start", "bus.rejected.>"}).out,
                HasSubstr(GetParam().said));
  } else {
    EXPECT_THAT(said.err, HasSubstr(GetParam().said));
    EXPECT_EQ(said.out, "");
  }
}

INSTANTIATE_TEST_SUITE_P(
    Each, BadPricesTest,
    testing::Values(
        BadPrices{"empty", "", "the file is empty. Known are: "},
        BadPrices{"no_prices", events(""), "a header and no prices"},
        BadPrices{"one_moment", events("1440201600,a,0.03\n"), "one moment only"},
        BadPrices{"another_form", "Hello.\n", "in no known form; it begins with \"Hello.\""},
        BadPrices{"another_json", "{\"Reservations\": []}",
                  "neither an answer with SpotPriceHistory"},
        BadPrices{"a_column_missing", "epoch_s,usd_per_h\n1440201600,0.03\n",
                  "r3.large.csv:1: the header \"epoch_s,usd_per_h\" has no column az; the first "
                  "line has to name epoch_s, az and usd_per_h"},
        BadPrices{"backwards", events("1440288000,a,0.05\n1440284400,a,0.04\n1440280800,a,0.03\n"),
                  "not in the order of time, the oldest first; sort the file by epoch_s"},
        BadPrices{"a_missing_type",
                  events("1440201600,a,0.03\n"),
                  "--type m4.xlarge: there are no prices of it, but of r3.large (1 row)",
                  2,
                  {"--type", "m4.xlarge"}},
        BadPrices{"a_cloud_without_a_name",
                  good_events_and(""),
                  "--cloud \"\": no cloud's name",
                  2,
                  {"--cloud", ""}},
        BadPrices{"a_cloud_that_names_no_node",
                  good_events_and(""),
                  "--cloud \"a.b\": no cloud's name",
                  2,
                  {"--cloud", "a.b"}},
        BadPrices{"no_zone_of_csv", good_events_and("1440205200,!!,0.03\n"),
                  "\"!!\" is no zone, such as us-east-1a", 0},
        BadPrices{"a_negative_price", good_events_and("1440205200,a,-0.03\n"), "is negative", 0},
        BadPrices{"an_absurd_price", good_events_and("1440205200,a,30000\n"), "30000", 0},
        BadPrices{"one_row_back", good_events_and("1440201000,a,0.03\n"),
                  "is before the row above it", 0},
        BadPrices{"a_contradiction", good_events_and("1440201600,a,0.07\n"),
                  "another price for the same time and zone as line 2", 0},
        BadPrices{"no_end", events("1440201600,a,0.03\n1440288000,a,0.05"),
                  "r3.large.csv:3: this last line has no end: the file may have been cut off", 0},
        BadPrices{"no_zone",
                  answer(row("us-east-1a", "22") + "," + row("mars", "22") + "," +
                         row("us-east-1a", "24", "0.04")),
                  "mars", 0},
        BadPrices{"cut_off",
                  "{\"SpotPriceHistory\":[" + row("us-east-1a", "24", "0.04") + "," +
                      row("us-east-1a", "22") + ",{\"AvailabilityZone\":\"us-ea",
                  "cut off", 0},
        BadPrices{"broken_json",
                  answer(row("us-east-1a", "24", "0.04") + ",{\"AvailabilityZone\":,}," +
                         row("us-east-1a", "22")),
                  "r3.large.csv: byte 189: a text in quotes, a number, true, false or null is "
                  "expected; the row from byte 169 on is left out",
                  0}),
    [](const auto& param) { return param.param.name; });

// ---- prices of nodes

TEST_F(ReplayTest, ANodesAccountTakesPriceFilesOfEveryFormTogether) {
  write("a.json", answer(row("us-east-1a", "22") + "," + row("us-east-1a", "21", "0.02")));
  write("table.csv", "instance_type,time_utc,us-east-1b\nr3.large,2015-08-21T00:00Z,0.04\n");
  write("r3.large_events.csv", events("1440201600,c,0.05\n"));
  environment_["SUPERCLOUD_CLUSTER"] = (folder_ / "own").string();
  const std::string market =
      "[market]\norigin = \"2015-08-23T00:00:00Z\"\nstart = \"2026-01-01T00:00:00Z\"\n[account]\n"
      "types = \"r3.large\"\n";
  start({"node", "--config",
         write("a.toml", node_toml("a", "own", "a", "") + market +
                             "prices = [\"a.json\", \"table.csv\", \"r3.large_events.csv\"]\n")},
        "a.out", "a.err");
  Said told;
  EXPECT_TRUE(eventually(
      [&] {
        told = run({"events", "--since", "start", "spot.price_changed.>"});
        return told.out.find("us-east-1c") != std::string::npos;
      },
      absl::Minutes(1)))
      << told.out << told.err << output("a.err");
  for (const char* price : {"us-east-1a/spot costs 0.0300", "us-east-1b/spot costs 0.0400",
                            "us-east-1c/spot costs 0.0500"})
    EXPECT_THAT(told.out, HasSubstr(price));

  const Said refused =
      run({"node", "--config",
           write("b.toml", node_toml("a", "other", "b", "") + market + "prices = \"b.json\"\n")});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("account.prices: " + (folder_ / "b.json").string()));
}

}  // namespace
}  // namespace supercloud
