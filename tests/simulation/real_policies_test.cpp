// The policy smart-spot on real prices, with the whole choreography, beside the least that was possible.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "actors/spot/price_files.h"
#include "simulation/replay/clairvoyant.h"
#include "simulation/replay/replay.h"
#include "simulation/replay/vm.h"

namespace supercloud {
namespace {

struct Trace {
  const char* file;
  const char* instance_type;
  Money on_demand;
  std::int64_t from, to;  // seconds since 1970
};

void PrintTo(const Trace& trace, std::ostream* out) {
  *out << trace.instance_type << " of " << trace.file;
}

std::string path_of(const Trace& trace) {
  const char* folder = std::getenv("SUPERCLOUD_DATA");
  return absl::StrCat(folder != nullptr ? folder : SUPERCLOUD_SOURCE_ROOT "/../shared/data",
                      "/spot/", trace.file);
}

class RealPolicies : public testing::TestWithParam<Trace> {
 protected:
  ReplayOptions options() const {
    const Trace& trace = GetParam();
    ReplayOptions options;
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
    options.vms = {replay_vm(options.model, 1, "smart-spot")};
    return options;
  }

  // Without a look at refunds.
  static Money least(const ReplayOptions& options) {
    auto feed = options.feed();
    PriceGridOptions bounds;
    bounds.from = options.from;
    bounds.to = options.to;
    bounds.bid = [&](const PlaceName&) { return std::optional(options.on_demand.usd_per_hour); };
    auto grid = PriceGrid::read(**feed, bounds);
    EXPECT_TRUE(grid.ok()) << grid.status();
    grid->add_constant(options.on_demand.place, options.on_demand.usd_per_hour);
    ScheduleCosts costs;
    costs.launch = options.model.launch_delay;
    costs.migration = options.model.migration;
    costs.transfer_bytes = static_cast<std::int64_t>(options.model.transfer_bytes());
    costs.egress_per_gib = [&](const PlaceName&, const PlaceName&) {
      return options.model.egress_per_gib;
    };
    costs.start = grid->places() - 1;
    return clairvoyant(ScheduleModel::create(*grid, costs).value())->cost;
  }
};

TEST_P(RealPolicies, smart_spot_saves_nearly_what_was_possible_and_is_never_caught) {
  if (!std::filesystem::exists(path_of(GetParam())))
    GTEST_SKIP() << "no real prices here; set SUPERCLOUD_DATA to the folder that holds them";
  const ReplayOptions asked = options();
  const auto strategy = replay(asked, "smart-spot");
  ASSERT_TRUE(strategy.ok()) << strategy.status();
  EXPECT_EQ(strategy->caught, 0);
  EXPECT_EQ(strategy->failures, 0);
  const double on_demand = static_cast<double>(GetParam().on_demand.nano_usd) / 3600 *
                           static_cast<double>(GetParam().to - GetParam().from);
  const double reached = (on_demand - static_cast<double>(strategy->cost.nano_usd)) /
                         (on_demand - static_cast<double>(least(asked).nano_usd));
  EXPECT_GE(reached, 0.95);
  EXPECT_LE(reached, 1);
  std::cout << GetParam().instance_type << ": " << absl::StrFormat("%.2f %%", 100 * reached)
            << " of what was possible, " << strategy->moves << " moves, " << strategy->revocations
            << " revocations, " << to_string(strategy->cost) << "\n";
}

INSTANTIATE_TEST_SUITE_P(Traces, RealPolicies,
                         testing::Values(Trace{"2016_m4.xlarge_us-east-1_4zones_5min.csv",
                                               "m4.xlarge",
                                               {239'000'000},
                                               1'466'582'400,
                                               1'474'329'600},
                                         Trace{"2016_week_m4.xlarge_r3.large_4zones_5min.csv",
                                               "m4.xlarge",
                                               {239'000'000},
                                               1'471'046'400,
                                               1'471'651'200},
                                         Trace{"2016_week_m4.xlarge_r3.large_4zones_5min.csv",
                                               "r3.large",
                                               {166'000'000},
                                               1'471'046'400,
                                               1'471'651'200},
                                         Trace{"2015_r3.large_us-east-1_3zones_events.csv",
                                               "r3.large",
                                               {175'000'000},
                                               1'426'093'200,
                                               1'441'062'000},
                                         Trace{"2015_m3.medium_us-east-1_3zones_events.csv",
                                               "m3.medium",
                                               {70'000'000},
                                               1'426'158'000,
                                               1'440'745'200},
                                         Trace{"2021_us-east-1_6zones_events.csv",
                                               "m4.xlarge",
                                               {200'000'000},
                                               1'614'729'600,
                                               1'622'332'800},
                                         Trace{"2021_us-east-1_6zones_events.csv",
                                               "m5.xlarge",
                                               {192'000'000},
                                               1'614'729'600,
                                               1'622'332'800},
                                         Trace{"2021_us-east-1_6zones_events.csv",
                                               "c5.xlarge",
                                               {170'000'000},
                                               1'614'729'600,
                                               1'622'332'800},
                                         Trace{"2021_us-east-1_6zones_events.csv",
                                               "c4.2xlarge",
                                               {398'000'000},
                                               1'614'729'600,
                                               1'622'332'800},
                                         Trace{"2021_us-east-1_6zones_events.csv",
                                               "r4.2xlarge",
                                               {532'000'000},
                                               1'614'729'600,
                                               1'622'332'800}));

}  // namespace
}  // namespace supercloud
