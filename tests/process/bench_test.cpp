// `supercloud bench bus`, between nodes of a cluster and between processes of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/process/program.h"

namespace supercloud {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Json = nlohmann::json;

class BenchProgram : public ProgramTest {
 protected:
  void start_node(const std::string& name, const std::string& seeds, const std::string& more) {
    start({"node", "--config", write(name + ".toml", node_toml(name, "pair", name, seeds) + more)},
          name + ".out", name + ".err");
    ASSERT_TRUE(eventually([&] { return says(name + ".out", " runs"); }, absl::Minutes(1)))
        << output(name + ".err");
  }
  // The site "a" without a machine, "b" and "c" with one each.
  void start_cluster() {
    start_node("a", "", "");
    const std::string seed = "\"ipc://" + (folder_ / "run" / "a.req").string() + "\"";
    for (const std::string name : {"b", "c"})
      start_node(name, seed,
                 "[links]\nlisten = \"unix:" + (folder_ / "run" / (name + ".link")).string() +
                     "\"\n[host]\ncloud = \"home\"\nregion = \"cellar\"\nzone = \"rack-" + name +
                     "\"\ntype = \"desktop\"\n");
  }
  // In the cluster of this test.
  Said bench(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"bench", "bus", "--cluster", (folder_ / "pair").string()});
    return run(arguments);
  }
  static Json parsed(const Said& said) {
    EXPECT_EQ(said.code, 0) << said.out << said.err;
    const Json json = Json::parse(said.out, nullptr, false);
    EXPECT_TRUE(json.is_object()) << said.out << said.err;
    return json;
  }
  // Durations in order and rates above nothing.
  static void check(const Json& result) {
    EXPECT_TRUE(result.value("complete", false)) << result.dump(2);
    for (const Json& measure : result["measures"]) {
      SCOPED_TRACE(measure.dump(2));
      EXPECT_GT(measure.value("count", 0), 100);
      EXPECT_GT(measure.value("warm_up", 0), 0);
      if (measure["kind"] == "rate") {
        EXPECT_GT(measure.value("per_second", 0.0), 100);
        EXPECT_GE(measure["parts_per_second"].size(), 5U);
        continue;
      }
      EXPECT_GT(measure.value("min_us", 0.0), 0);
      EXPECT_LE(measure.value("min_us", 0.0), measure.value("p50_us", 0.0));
      EXPECT_LE(measure.value("p50_us", 0.0), measure.value("p90_us", 0.0));
      EXPECT_LE(measure.value("p90_us", 0.0), measure.value("p99_us", 0.0));
      EXPECT_LE(measure.value("p99_us", 0.0), measure.value("max_us", 0.0));
      EXPECT_GE(measure["parts_p50_us"].size(), 5U);
    }
  }
};

TEST_F(BenchProgram, AnswersBetweenNodesWithinHalfAMinuteAndComparesWithItself) {
  start_cluster();
  const absl::Time began = absl::Now();
  const Said first = bench({"--quick", "--json"});
  EXPECT_LT(absl::Now() - began, absl::Seconds(30));
  const Json result = parsed(first);
  check(result);
  EXPECT_EQ(result["between"]["from"], "b") << "the site has no machine";
  EXPECT_EQ(result["between"]["to"], "c");
  EXPECT_EQ(result["measures"].size(), 2U);
  EXPECT_EQ(first.err.find('%'), std::string::npos) << "no bar where there is no terminal";

  const std::string before = write("before.json", first.out);
  const Said again =
      bench({"--from", "c", "--to", "b", "--seconds", "0.5", "--compare", before, "--json"});
  const Json compared = parsed(again);
  EXPECT_EQ(compared["between"]["from"], "c");
  EXPECT_EQ(compared["comparison"]["between"]["from"], "b");
  EXPECT_GE(compared["comparison"]["changes"].size(), 2U);
  EXPECT_THAT(bench({"--seconds", "0.5", "--compare", before}).out,
              AllOf(HasSubstr("round trip"), HasSubstr("p99.9"), HasSubstr("beside ")));

  // What is wrong is said before anything is measured.
  const Said other_size = bench({"--size", "1024", "--compare", before});
  EXPECT_EQ(other_size.code, 2);
  EXPECT_THAT(other_size.err, HasSubstr("--size 256"));
  const Said no_result = bench({"--compare", write("no.json", "{}")});
  EXPECT_EQ(no_result.code, 2);
  EXPECT_THAT(no_result.err, HasSubstr("no.json: "));
  const Said unknown = bench({"--to", "cc"});
  EXPECT_EQ(unknown.code, 4);
  EXPECT_THAT(unknown.err, HasSubstr("c"));
  const Said site = bench({"--from", "a"});
  EXPECT_EQ(site.code, 1);
  EXPECT_THAT(site.err, HasSubstr("no machine"));
  EXPECT_EQ(bench({"--from", "b", "--to", "b"}).code, 1);

  // Ctrl-C, on a terminal, with what there is by then.
  Terminal terminal;
  const pid_t long_one = start(
      {"bench", "bus", "--cluster", (folder_ / "pair").string(), "--seconds", "600", "--json"},
      terminal);
  EXPECT_TRUE(eventually([&] { return terminal.shown().find("round trip") != std::string::npos; },
                         absl::Minutes(1)))
      << terminal.shown();
  EXPECT_THAT(terminal.shown(), HasSubstr("[-------"));
  terminal.type("\x03");
  EXPECT_EQ(ended(long_one, absl::Seconds(30), &terminal), 130) << terminal.shown();
  EXPECT_THAT(terminal.shown(), HasSubstr("\"complete\": false"));
}

TEST_F(BenchProgram, MeasuresThisMachineWithoutAClusterAndLeavesNothing) {
  const absl::Time began = absl::Now();
  const Said said = run({"bench", "bus", "--local", "--quick", "--json"});
  EXPECT_LT(absl::Now() - began, absl::Seconds(30));
  const Json result = parsed(said);
  check(result);
  EXPECT_EQ(result["between"]["transport"], "ipc");
  EXPECT_EQ(result["measures"].size(), 3U);
  EXPECT_TRUE(files::is_empty(folder_ / "supercloud")) << "where clusters keep their logs";

  const Json secured = parsed(run({"bench", "bus", "--local", "--tcp", "--seconds", "0.5", "--size",
                                   "4096", "--folder", (folder_ / "disk").string(), "--json"}));
  EXPECT_EQ(secured["between"]["transport"], "tcp with CURVE");
  EXPECT_TRUE(files::is_empty(folder_ / "disk"));

  Terminal terminal;
  const pid_t long_one = start({"bench", "bus", "--local", "--seconds", "600"}, terminal);
  EXPECT_TRUE(eventually([&] { return terminal.shown().find("round trip") != std::string::npos; },
                         absl::Minutes(1)))
      << terminal.shown();
  terminal.type("\x03");
  EXPECT_EQ(ended(long_one, absl::Seconds(30), &terminal), 130) << terminal.shown();
  EXPECT_THAT(terminal.shown(), HasSubstr("stopped"));
}

TEST_F(BenchProgram, WithoutAClusterSaysHowToGetOne) {
  const Said none = run({"bench", "bus"});
  EXPECT_EQ(none.code, 3);
  EXPECT_THAT(none.err, AllOf(HasSubstr("supercloud demo"), HasSubstr("--local")));
  EXPECT_EQ(run({"bench", "bus", "--local", "--from", "a"}).code, 2);
  EXPECT_EQ(run({"bench", "bus", "--tcp"}).code, 2);
  EXPECT_EQ(run({"bench", "bus", "--quick", "--seconds", "1"}).code, 2);
  EXPECT_EQ(run({"bench", "bus", "--size", "0"}).code, 2);
  EXPECT_EQ(run({"bench"}).code, 2);
}

}  // namespace
}  // namespace supercloud
