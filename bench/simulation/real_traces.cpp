#include "bench/simulation/real_traces.h"

#include <cstdlib>
#include <functional>

#include "absl/strings/str_cat.h"
#include "actors/spot/price_files.h"
#include "simulation/replay/vm.h"

namespace supercloud {
namespace {

constexpr const char* file_2016 = "2016_m4.xlarge_us-east-1_4zones_5min.csv";
constexpr const char* file_week = "2016_week_m4.xlarge_r3.large_4zones_5min.csv";
constexpr const char* file_r3 = "2015_r3.large_us-east-1_3zones_events.csv";
constexpr const char* file_m3 = "2015_m3.medium_us-east-1_3zones_events.csv";
constexpr const char* file_2021 = "2021_us-east-1_6zones_events.csv";
constexpr std::int64_t spring = 1'614'729'600, summer = 1'622'332'800;  // of 2021

// Calls `use` with the model of the trace's prices.
absl::Status with_model(const RealTrace& trace, schema::Billing billing,
                        const std::function<absl::Status(const ScheduleModel&)>& use) {
  const ReplayOptions options = replay_options(trace, "stay", billing);
  auto feed = options.feed();
  if (!feed.ok()) return feed.status();
  PriceGridOptions bounds;
  bounds.from = options.from;
  bounds.to = options.to;
  bounds.bid = [&](const PlaceName&) { return std::optional(options.on_demand.usd_per_hour); };
  auto grid = PriceGrid::read(**feed, bounds);
  if (!grid.ok()) return grid.status();
  grid->add_constant(options.on_demand.place, options.on_demand.usd_per_hour);
  ScheduleCosts costs;
  costs.billing = billing;
  costs.launch = options.model.launch_delay;
  costs.migration = options.model.migration;
  costs.transfer_bytes = static_cast<std::int64_t>(options.model.transfer_bytes());
  costs.egress_per_gib = [&](const PlaceName&, const PlaceName&) {
    return options.model.egress_per_gib;
  };
  costs.start = grid->places() - 1;
  const auto model = ScheduleModel::create(*grid, costs);
  return model.ok() ? use(*model) : model.status();
}

}  // namespace

const std::vector<RealTrace>& real_traces() {
  static const std::vector<RealTrace> traces = {
      {"2016 m4.xlarge",
       file_2016,
       "m4.xlarge",
       {239'000'000},
       1'466'582'400,
       1'474'329'600,
       {107'395'100'000}},
      {"2016 m4.xlarge, a week",
       file_week,
       "m4.xlarge",
       {239'000'000},
       1'471'046'400,
       1'471'651'200,
       {10'973'800'000}},
      {"2016 r3.large, a week",
       file_week,
       "r3.large",
       {166'000'000},
       1'471'046'400,
       1'471'651'200,
       {10'326'000'000},
       3},
      {"2015 r3.large",
       file_r3,
       "r3.large",
       {175'000'000},
       1'426'093'200,
       1'441'062'000,
       {107'247'600'000}},
      {"2015 m3.medium",
       file_m3,
       "m3.medium",
       {70'000'000},
       1'426'158'000,
       1'440'745'200,
       {38'626'500'000}},
      {"2021 m4.xlarge",
       file_2021,
       "m4.xlarge",
       {200'000'000},
       spring,
       summer,
       {156'660'000'000},
       3},
      {"2021 m5.xlarge", file_2021, "m5.xlarge", {192'000'000}, spring, summer, {150'175'600'000}},
      {"2021 c5.xlarge", file_2021, "c5.xlarge", {170'000'000}, spring, summer, {142'735'000'000}},
      {"2021 c4.2xlarge",
       file_2021,
       "c4.2xlarge",
       {398'000'000},
       spring,
       summer,
       {320'434'900'000}},
      {"2021 r4.2xlarge",
       file_2021,
       "r4.2xlarge",
       {532'000'000},
       spring,
       summer,
       {397'146'700'000}},
  };
  return traces;
}

std::string path_of(const RealTrace& trace) {
  const char* folder = std::getenv("SUPERCLOUD_DATA");
  return absl::StrCat(folder != nullptr ? folder : SUPERCLOUD_SOURCE_ROOT "/../shared/data",
                      "/spot/", trace.file);
}

ReplayOptions replay_options(const RealTrace& trace, const std::string& policy,
                             schema::Billing billing) {
  ReplayOptions options;
  options.model.billing = billing;
  options.from = absl::FromUnixSeconds(trace.from);
  options.to = absl::FromUnixSeconds(trace.to);
  options.on_demand = {{"aws", "us-east-1", "us-east-1a", trace.instance_type, false},
                       trace.on_demand,
                       options.from};
  options.start = options.on_demand.place;
  options.policies = built_in_policies();
  PriceFileOptions files;
  files.instance_types = {trace.instance_type};
  files.from = options.from;
  options.feed = [path = path_of(trace), files] { return open_price_files({path}, files); };
  options.vms = {replay_vm(options.model, 1, policy)};
  return options;
}

absl::StatusOr<Possible> possible(const RealTrace& trace, schema::Billing billing) {
  Possible result;
  const absl::Status status =
      with_model(trace, billing, [&](const ScheduleModel& model) -> absl::Status {
        const auto best = clairvoyant(model);
        if (!best.ok()) return best.status();
        result.least = best->cost;
        result.moves = best->schedule.moves();
        result.moves_allowed = result.moves * 12 / 10;
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return result;
}

absl::StatusOr<Money> possible_with(const RealTrace& trace, int moves) {
  Money least;
  const absl::Status status =
      with_model(trace, schema::Billing::HOURLY, [&](const ScheduleModel& model) -> absl::Status {
        const auto best = clairvoyant_with_moves(model, moves);
        if (!best.ok()) return best.status();
        least = best->cost;
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return least;
}

}  // namespace supercloud
