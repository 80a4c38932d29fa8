#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/bench/cluster_bench.h"
#include "cli/bench/result.h"
#include "cli/bench/run.h"
#include "cli/bench/told.h"
#include "cli/measure/paired.h"

namespace supercloud {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::json;

// Plans that take a set time each, by a clock that moves only with them.
class BenchRunTest : public testing::Test {
 protected:
  BenchPlan plan(const std::string& name, bool rate, double seconds, std::uint64_t count = 1) {
    return {.name = name, .what = name + " in words", .rate = rate, .once = [=, this] {
              now_ += absl::Seconds(seconds);
              ++samples_;
              return absl::StatusOr<BenchSample>(BenchSample{seconds, count});
            }};
  }
  absl::Status run(const std::vector<BenchPlan>& plans, double seconds = 1) {
    result_ = {};
    return run_bench(plans,
                     {.seconds = seconds,
                      .stop = [this] { return samples_ >= stop_after_; },
                      .now = [this] { return now_; },
                      .told = [this](const std::string&, double done) { told_.push_back(done); }},
                     result_);
  }

  absl::Time now_ = absl::UnixEpoch();
  int samples_ = 0, stop_after_ = 1'000'000'000;
  std::vector<double> told_;
  BenchResult result_;
};

TEST_F(BenchRunTest, MeasuresEachForItsTimeAfterGettingWarm) {
  ASSERT_TRUE(run({plan("round_trip", false, 1e-3), plan("throughput", true, 0.01, 500)}).ok());
  EXPECT_TRUE(result_.complete);
  ASSERT_EQ(result_.measures.size(), 2U);
  const BenchMeasure& round_trip = result_.measures[0];
  EXPECT_NEAR(static_cast<double>(round_trip.warm_up), 200, 2);
  EXPECT_NEAR(static_cast<double>(round_trip.count), 1000, 2);
  EXPECT_NEAR(*round_trip.took.p50, 1e-3, 1e-5);
  EXPECT_NEAR(*round_trip.took.p99, 1e-3, 1e-5);
  EXPECT_NEAR(static_cast<double>(round_trip.parts.size()), bench_parts, 1);
  for (const double part : round_trip.parts) EXPECT_NEAR(part, 1e-3, 1e-5);
  const BenchMeasure* throughput = result_.find("throughput");
  ASSERT_NE(throughput, nullptr);
  EXPECT_TRUE(throughput->rate);
  EXPECT_NEAR(static_cast<double>(throughput->count), 50'000, 1000);
  for (const double part : throughput->parts) EXPECT_NEAR(part, 50'000, 1);
  EXPECT_TRUE(std::is_sorted(told_.begin(), told_.end())) << "the bar never goes back";
  EXPECT_DOUBLE_EQ(told_.back(), 1);
}

TEST_F(BenchRunTest, TakesOneSampleAtLeastOfAWayThatIsLongerThanTheTime) {
  ASSERT_TRUE(run({plan("round_trip", false, 30)}).ok());
  ASSERT_EQ(result_.measures.size(), 1U);
  EXPECT_EQ(result_.measures[0].count, 1U);
  EXPECT_THAT(result_.measures[0].parts, ElementsAre(30));
  EXPECT_FALSE(result_.measures[0].took.p50) << "one is too few to tell";
  EXPECT_EQ(result_.measures[0].took.max, 30);
}

TEST_F(BenchRunTest, StoppedKeepsWhatWasMeasured) {
  stop_after_ = 1300;  // 1200 of the first, and its successor is not warm yet
  ASSERT_TRUE(run({plan("round_trip", false, 1e-3), plan("throughput", true, 1e-3, 10)}).ok());
  EXPECT_FALSE(result_.complete);
  ASSERT_EQ(result_.measures.size(), 1U);
  EXPECT_NEAR(static_cast<double>(result_.measures[0].count), 1000, 2);
  EXPECT_THAT(bench_text(result_, nullptr), HasSubstr("stopped"));
}

TEST_F(BenchRunTest, SaysWhatAPlanSays) {
  BenchPlan broken{.name = "round_trip", .what = "", .once = [] {
                     return absl::StatusOr<BenchSample>(absl::UnavailableError("node b is gone"));
                   }};
  EXPECT_TRUE(absl::IsUnavailable(run({plan("throughput", true, 0.1), broken})));
}

BenchResult some_result(double slower = 1, std::uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> about(1, 0.02);
  BenchResult result;
  result.started = "2026-03-02T08:30:00+00:00";
  result.subject = {.cluster = "demo-1", .from = "node-a", .to = "node-b", .bytes = 256};
  result.seconds = 2;
  result.complete = true;
  BenchMeasure round_trip{
      .name = "round_trip", .what = "there and back", .warm_up = 7, .count = 5000};
  round_trip.took = {
      .p50 = 1e-4 * slower, .p90 = 2e-4, .p99 = 3e-4, .min = 5e-5, .max = 1e-3, .mean = 1.2e-4};
  BenchMeasure throughput{.name = "throughput", .what = "events", .rate = true, .count = 900'000};
  for (int i = 0; i < bench_parts; ++i) {
    round_trip.parts.push_back(1e-4 * slower * about(random));
    round_trip.parts_p99.push_back(3e-4 * slower * about(random));
    throughput.parts.push_back(450'000 / slower * about(random));
  }
  result.measures = {round_trip, throughput};
  return result;
}

void expect_same(const std::vector<double>& read, const std::vector<double>& written) {
  ASSERT_EQ(read.size(), written.size());
  for (std::size_t i = 0; i < read.size(); ++i) EXPECT_DOUBLE_EQ(read[i], written[i]);
}

TEST(BenchResult, ReadsAsItWasWritten) {
  BenchResult written = some_result();
  for (const bool processes : {false, true}) {
    if (processes) written.subject = {.processes = true, .transport = "ipc", .bytes = 4096};
    const auto read = parse_bench_result(bench_json(written, nullptr), "before.json");
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->started, written.started);
    EXPECT_EQ(read->seconds, written.seconds);
    EXPECT_TRUE(read->complete);
    EXPECT_EQ(read->subject.sentence(), written.subject.sentence());
    ASSERT_EQ(read->measures.size(), written.measures.size());
    for (std::size_t i = 0; i < written.measures.size(); ++i) {
      const BenchMeasure &is = read->measures[i], &was = written.measures[i];
      EXPECT_EQ(is.name, was.name);
      EXPECT_EQ(is.what, was.what);
      EXPECT_EQ(is.rate, was.rate);
      EXPECT_EQ(is.warm_up, was.warm_up);
      EXPECT_EQ(is.count, was.count);
      expect_same(is.parts, was.parts);
      expect_same(is.parts_p99, was.parts_p99);
    }
    const BenchFigures &is = read->measures[0].took, &was = written.measures[0].took;
    expect_same({*is.p50, *is.p90, *is.p99, is.min, is.max, is.mean},
                {*was.p50, *was.p90, *was.p99, was.min, was.max, was.mean});
    EXPECT_FALSE(is.p999) << "too few to tell";
  }
}

TEST(BenchResult, AFileThatIsNoneIsToldWithPlaceAndCure) {
  const Json good = Json::parse(bench_json(some_result(), nullptr));
  const auto mistake = [&](const std::function<void(Json&)>& spoil) {
    Json json = good;
    spoil(json);
    const auto read = parse_bench_result(json.dump(), "before.json");
    EXPECT_TRUE(absl::IsInvalidArgument(read.status())) << json.dump();
    return std::string(read.status().message());
  };
  EXPECT_THAT(mistake([](Json& json) { json = Json::array(); }), HasSubstr("no JSON object"));
  EXPECT_THAT(mistake([](Json& json) { json["format"] = "perf 3"; }), HasSubstr("format"));
  EXPECT_THAT(mistake([](Json& json) { json.erase("between"); }), HasSubstr("between"));
  EXPECT_THAT(mistake([](Json& json) { json["measures"] = 7; }), HasSubstr("measures: is no list"));
  EXPECT_THAT(mistake([](Json& json) { json["measures"][1]["count"] = -1; }),
              HasSubstr("measures[1].count: is no whole number"));
  EXPECT_THAT(mistake([](Json& json) { json["measures"][1]["kind"] = "guess"; }),
              HasSubstr("measures[1].kind"));
  EXPECT_THAT(mistake([](Json& json) { json["measures"][0]["parts_p50_us"][3] = "fast"; }),
              HasSubstr("measures[0].parts_p50_us"));
  EXPECT_THAT(mistake([](Json& json) { json["measures"][0] = "fast"; }),
              HasSubstr("measures[0]: is no object"));
  EXPECT_THAT(std::string(parse_bench_result("not JSON", "before.json").status().message()),
              testing::AllOf(HasSubstr("before.json: "), HasSubstr("--json > FILE")));
}

TEST(BenchComparison, TellsBetterWorseAndWhatItCannotTell) {
  const auto verdicts = [](const BenchResult& now, const BenchResult& earlier) {
    std::vector<std::string> told;
    for (const BenchChange& change : compare_bench(now, earlier, "before.json").changes)
      told.push_back(change.measure + " " + change.figure + " " + change.verdict);
    return told;
  };
  EXPECT_THAT(
      verdicts(some_result(1.5, 1), some_result(1, 2)),
      ElementsAre("round_trip p50 worse", "round_trip p99 worse", "throughput per_second worse"));
  EXPECT_THAT(verdicts(some_result(1, 1), some_result(1.5, 2)),
              ElementsAre("round_trip p50 better", "round_trip p99 better",
                          "throughput per_second better"));
  EXPECT_THAT(verdicts(some_result(1.03, 1), some_result(1, 2)),
              ElementsAre("round_trip p50 not resolved", "round_trip p99 not resolved",
                          "throughput per_second not resolved"))
      << "two runs of the same may differ by that";
  // What only one of them has is not compared, nor what was nothing.
  BenchResult half = some_result();
  half.measures.pop_back();
  half.measures[0].parts[3] = 0;
  EXPECT_THAT(verdicts(some_result(), half), ElementsAre("round_trip p99 not resolved"));
}

TEST(BenchComparison, HasRatioAndIntervalAroundIt) {
  const BenchComparison comparison = compare_bench(some_result(1.5, 1), some_result(1, 2), "then");
  ASSERT_EQ(comparison.changes.size(), 3U);
  const BenchChange& p50 = comparison.changes[0];
  EXPECT_NEAR(p50.ratio, 1.5, 0.05);
  EXPECT_LT(p50.low, p50.ratio);
  EXPECT_GT(p50.high, p50.ratio);
  EXPECT_NEAR(comparison.changes[2].ratio, 1 / 1.5, 0.05);
  const Json json = Json::parse(bench_json(some_result(), &comparison));
  EXPECT_EQ(json["comparison"]["changes"][0]["verdict"], "worse");
  EXPECT_EQ(json["comparison"]["with"], "then");
  EXPECT_THAT(bench_text(some_result(), &comparison), HasSubstr("beside then"));
}

TEST(BenchComparison, OfDifferentThingsIsRefusedWithTheCure) {
  const BenchSubject nodes{.cluster = "c", .from = "a", .to = "b", .bytes = 256};
  const BenchSubject ipc{.processes = true, .transport = "ipc", .bytes = 256};
  BenchSubject tcp = ipc, large = nodes, others = nodes;
  tcp.transport = "tcp with CURVE";
  large.bytes = 4096;
  others.cluster = "d";
  others.to = "e";
  EXPECT_TRUE(check_comparable(nodes, others, "f").ok()) << "two ways may be compared";
  const auto cure = [](const BenchSubject& now, const BenchSubject& earlier) {
    return std::string(check_comparable(now, earlier, "f").message());
  };
  EXPECT_THAT(cure(nodes, large), HasSubstr("--size 4096"));
  EXPECT_THAT(cure(nodes, ipc), HasSubstr("--local"));
  EXPECT_THAT(cure(ipc, tcp), HasSubstr("--tcp"));
  EXPECT_THAT(cure(tcp, ipc), HasSubstr("leave out --tcp"));
}

TEST(BenchProgress, IsALineOnATerminalAndNothingElsewhere) {
  std::ostringstream terminal, file;
  const absl::Time start = absl::UnixEpoch();
  {
    BenchProgress shown(terminal, true, start), silent(file, false, start);
    for (BenchProgress* progress : {&shown, &silent})
      for (const int ms : {0, 1, 2, 500})
        progress->show(start + absl::Milliseconds(ms), "round trip", ms / 1000.0);
  }
  EXPECT_EQ(file.str(), "");
  EXPECT_THAT(terminal.str(), HasSubstr("[##########----------]  50 %  round trip, 1 s left"));
  EXPECT_TRUE(terminal.str().ends_with("\r\x1b[K")) << "it is gone at the end";
  EXPECT_THAT(terminal.str(), Not(HasSubstr("0.2"))) << "no more than some times a second";
  EXPECT_EQ(bench_bar("a long story", 1, absl::ZeroDuration(), 30).size(), 30U);
}

TEST(BenchText, SpellsDurations) {
  EXPECT_EQ(spell_seconds(std::nullopt), "-");
  EXPECT_EQ(spell_seconds(5e-8), "50 ns");
  EXPECT_EQ(spell_seconds(1.234e-5), "12.3 us");
  EXPECT_EQ(spell_seconds(0.0456), "45.6 ms");
  EXPECT_EQ(spell_seconds(2), "2 s");
}

TEST(ProbeAnswer, IsUnderstoodOrRefused) {
  const auto sample = parse_probe_answer(R"({"messages":64,"nanoseconds":2000})");
  ASSERT_TRUE(sample.ok());
  EXPECT_EQ(sample->count, 64U);
  EXPECT_DOUBLE_EQ(sample->seconds, 2e-6);
  for (const char* wrong : {"", "[]", "{}", R"({"messages":0,"nanoseconds":1})",
                            R"({"messages":1})", R"({"messages":1,"nanoseconds":-5})"})
    EXPECT_TRUE(absl::IsInvalidArgument(parse_probe_answer(wrong).status())) << wrong;
}

}  // namespace
}  // namespace supercloud
