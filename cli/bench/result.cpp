#include "cli/bench/result.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/measure/paired.h"
#include "core/text.h"

namespace supercloud {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* format = "supercloud bench bus 1";
constexpr double us = 1e6;

Json micros(const std::optional<double>& seconds) {
  return seconds ? Json(*seconds * us) : Json(nullptr);
}

Json measure_json(const BenchMeasure& measure) {
  Json json = {{"name", measure.name},
               {"what", measure.what},
               {"kind", measure.rate ? "rate" : "duration"},
               {"warm_up", measure.warm_up},
               {"count", measure.count}};
  if (measure.rate) {
    json["per_second"] = measure.parts.empty() ? Json(nullptr) : Json(median(measure.parts));
    json["parts_per_second"] = measure.parts;
    return json;
  }
  const BenchFigures& took = measure.took;
  json["p50_us"] = micros(took.p50);
  json["p90_us"] = micros(took.p90);
  json["p99_us"] = micros(took.p99);
  json["p999_us"] = micros(took.p999);
  json["min_us"] = took.min * us;
  json["max_us"] = took.max * us;
  json["mean_us"] = took.mean * us;
  const auto parts = [&json](const char* name, const std::vector<double>& seconds) {
    Json& list = json[name] = Json::array();
    for (const double value : seconds) list.push_back(value * us);
  };
  parts("parts_p50_us", measure.parts);
  parts("parts_p99_us", measure.parts_p99);
  return json;
}

Json subject_json(const BenchSubject& subject) {
  if (subject.processes)
    return {{"kind", "processes"}, {"transport", subject.transport}, {"bytes", subject.bytes}};
  return {{"kind", "nodes"},
          {"cluster", subject.cluster},
          {"from", subject.from},
          {"to", subject.to},
          {"bytes", subject.bytes}};
}

// Reads fields and keeps what was wrong first.
class Reader {
 public:
  Reader(const Json& json, std::string where, absl::Status& wrong)
      : json_(json), where_(std::move(where)), wrong_(wrong) {
    if (!json.is_object()) say("", "is no object");
  }

  std::string text(const char* name) {
    const Json& value = field(name);
    if (!value.is_string()) return say(name, "is no text"), "";
    return value.get<std::string>();
  }
  std::uint64_t number(const char* name) {
    const Json& value = field(name);
    if (!value.is_number_unsigned()) return say(name, "is no whole number"), 0;
    return value.get<std::uint64_t>();
  }
  double real(const char* name) {
    const Json& value = field(name);
    if (!good(value)) return say(name, "is no number from 0 on"), 0;
    return value.get<double>();
  }
  std::optional<double> maybe(const char* name, double scale) {
    if (field(name).is_null()) return std::nullopt;
    return real(name) / scale;
  }
  bool yes(const char* name) {
    const Json& value = field(name);
    if (!value.is_boolean()) return say(name, "is neither true nor false"), false;
    return value.get<bool>();
  }
  std::vector<double> reals(const char* name, double scale) {
    std::vector<double> values;
    for (const Json& value : list(name)) {
      if (!good(value)) return say(name, "has something else than numbers from 0 on"), values;
      values.push_back(value.get<double>() / scale);
    }
    return values;
  }
  const Json& list(const char* name) {
    static const Json none = Json::array();
    const Json& value = field(name);
    if (!value.is_array()) return say(name, "is no list"), none;
    return value;
  }
  const Json& field(const char* name) const {
    static const Json none;
    if (!json_.is_object()) return none;
    const auto found = json_.find(name);
    return found == json_.end() ? none : *found;
  }
  void say(const std::string& name, const char* what) {
    wrong_.Update(absl::InvalidArgumentError(
        absl::StrCat(where_, where_.empty() || name.empty() ? "" : ".", name, ": ", what)));
  }

 private:
  static bool good(const Json& value) { return value.is_number() && value.get<double>() >= 0; }

  const Json& json_;
  const std::string where_;
  absl::Status& wrong_;
};

BenchMeasure measure_of(const Json& json, const std::string& where, absl::Status& wrong) {
  Reader reader(json, where, wrong);
  BenchMeasure measure;
  measure.name = reader.text("name");
  measure.what = reader.text("what");
  const std::string kind = reader.text("kind");
  if (kind != "rate" && kind != "duration") reader.say("kind", "is neither rate nor duration");
  measure.rate = kind == "rate";
  measure.warm_up = reader.number("warm_up");
  measure.count = reader.number("count");
  if (measure.rate) {
    measure.parts = reader.reals("parts_per_second", 1);
    return measure;
  }
  measure.took = {.p50 = reader.maybe("p50_us", us),
                  .p90 = reader.maybe("p90_us", us),
                  .p99 = reader.maybe("p99_us", us),
                  .p999 = reader.maybe("p999_us", us),
                  .min = reader.real("min_us") / us,
                  .max = reader.real("max_us") / us,
                  .mean = reader.real("mean_us") / us};
  measure.parts = reader.reals("parts_p50_us", us);
  measure.parts_p99 = reader.reals("parts_p99_us", us);
  return measure;
}

BenchSubject subject_of(const Json& json, absl::Status& wrong) {
  Reader reader(json, "between", wrong);
  BenchSubject subject;
  const std::string kind = reader.text("kind");
  if (kind != "processes" && kind != "nodes") reader.say("kind", "is neither nodes nor processes");
  subject.processes = kind == "processes";
  if (subject.processes) {
    subject.transport = reader.text("transport");
  } else {
    subject.cluster = reader.text("cluster");
    subject.from = reader.text("from");
    subject.to = reader.text("to");
  }
  subject.bytes = reader.number("bytes");
  return subject;
}

void add_change(BenchComparison& comparison, const BenchMeasure& measure, const char* figure,
                const std::vector<double>& now, const std::vector<double>& earlier) {
  const Change change = measure_change(now, earlier);
  if (change.ratio <= 0) return;
  comparison.changes.push_back({.measure = measure.name,
                                .figure = figure,
                                .now = change.now,
                                .earlier = change.earlier,
                                .ratio = change.ratio,
                                .low = change.low,
                                .high = change.high,
                                .verdict = std::string(verdict(change, !measure.rate))});
}

}  // namespace

std::string BenchSubject::sentence() const {
  if (processes)
    return absl::StrCat("two processes of this machine over ", transport, ", messages of ", bytes,
                        " bytes");
  return absl::StrCat("nodes ", from, " and ", to, " of cluster ", cluster, ", messages of ", bytes,
                      " bytes");
}

BenchFigures BenchFigures::of(const Percentiles& percentiles) {
  return {.p50 = percentiles.at(0.5),
          .p90 = percentiles.at(0.9),
          .p99 = percentiles.at(0.99),
          .p999 = percentiles.at(0.999),
          .min = percentiles.min(),
          .max = percentiles.max(),
          .mean = percentiles.mean()};
}

const BenchMeasure* BenchResult::find(std::string_view name) const {
  for (const BenchMeasure& measure : measures)
    if (measure.name == name) return &measure;
  return nullptr;
}

std::string bench_json(const BenchResult& result, const BenchComparison* comparison) {
  Json json = {{"format", format},
               {"started", result.started},
               {"between", subject_json(result.subject)},
               {"seconds", result.seconds},
               {"complete", result.complete},
               {"measures", Json::array()}};
  for (const BenchMeasure& measure : result.measures)
    json["measures"].push_back(measure_json(measure));
  if (comparison != nullptr) {
    Json changes = Json::array();
    for (const BenchChange& change : comparison->changes)
      changes.push_back({{"measure", change.measure},
                         {"figure", change.figure},
                         {"ratio", change.ratio},
                         {"low", change.low},
                         {"high", change.high},
                         {"verdict", change.verdict}});
    json["comparison"] = {{"with", comparison->with},
                          {"between", subject_json(comparison->earlier)},
                          {"changes", std::move(changes)}};
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<BenchResult> parse_bench_result(std::string_view json, const std::string& file) {
  const auto mistake = [&file](std::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(
        file, ": ", absl_view(what),
        "; `supercloud bench bus --json > FILE` writes one that can be compared with"));
  };
  const Json parsed = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded() || !parsed.is_object()) return mistake("it is no JSON object");
  absl::Status wrong;
  Reader reader(parsed, "", wrong);
  if (reader.text("format") != format)
    return mistake(absl::StrCat("its format is not \"", format, "\""));
  BenchResult result;
  result.started = reader.text("started");
  result.seconds = reader.real("seconds");
  result.complete = reader.yes("complete");
  result.subject = subject_of(reader.field("between"), wrong);
  int index = 0;
  for (const Json& measure : reader.list("measures"))
    result.measures.push_back(measure_of(measure, absl::StrCat("measures[", index++, "]"), wrong));
  if (!wrong.ok()) return mistake(std_view(wrong.message()));
  return result;
}

absl::Status check_comparable(const BenchSubject& now, const BenchSubject& earlier,
                              const std::string& file) {
  std::string cure;
  if (earlier.bytes != now.bytes) cure = absl::StrCat("--size ", earlier.bytes);
  if (earlier.processes != now.processes)
    cure = earlier.processes ? "--local" : "leave out --local";
  else if (earlier.transport != now.transport)
    cure = earlier.transport == "ipc" ? "leave out --tcp" : "--tcp";
  if (cure.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(file, " has measured ", earlier.sentence(),
                                                    "; this would be ", now.sentence(),
                                                    ": to compare, ", cure));
}

BenchComparison compare_bench(const BenchResult& now, const BenchResult& earlier,
                              const std::string& file) {
  BenchComparison comparison{.with = file, .earlier = earlier.subject, .changes = {}};
  for (const BenchMeasure& measure : now.measures) {
    const BenchMeasure* before = earlier.find(measure.name);
    if (before == nullptr || before->rate != measure.rate) continue;
    add_change(comparison, measure, measure.rate ? "per_second" : "p50", measure.parts,
               before->parts);
    if (!measure.rate) add_change(comparison, measure, "p99", measure.parts_p99, before->parts_p99);
  }
  return comparison;
}

}  // namespace supercloud
