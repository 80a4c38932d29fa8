// A policy over twelve days of four zones' prices, with the whole choreography and its log on disk, beside reading those prices.
#include <benchmark/benchmark.h>

#include <chrono>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "actors/policy/policies.h"
#include "bench/cli/cluster.h"
#include "cli/replay/run.h"
#include "cli/replay/setup.h"
#include "core/random.h"
#include "storage/rocks_event_log.h"

namespace supercloud {
namespace {

constexpr int replayed_days = 12;
const absl::Time first_minute = absl::FromUnixSeconds(1'466'553'600);

// Every five minutes a row; a zone's price changes with most of them, and now and then stands above the on-demand price for hours.
std::string write_prices(const std::filesystem::path& folder) {
  const std::string path = (folder / "m4.xlarge.csv").string();
  std::ofstream file(path);
  file << "time_utc,us-east-1a,us-east-1c,us-east-1d,us-east-1e\n";
  Random random(1);
  int spike[4] = {};
  for (int row = 0; row < replayed_days * 288; ++row) {
    file << absl::FormatTime("%Y-%m-%dT%H:%MZ", first_minute + row * absl::Minutes(5),
                             absl::UTCTimeZone());
    for (int& left : spike) {
      if (left > 0)
        --left;
      else if (random.chance(1'000))
        left = static_cast<int>(random.between(10, 60));
      file << absl::StrFormat(
          ",0.%04d", left > 0 ? 2'400 + random.between(0, 99) : 300 + random.between(0, 99));
    }
    file << "\n";
  }
  return path;
}

void replay_of_prices(benchmark::State& state) {
  using SteadyClock = std::chrono::steady_clock;
  const TemporaryFolder folder;
  ReplaySetup setup;
  setup.files = {write_prices(folder.path())};
  setup.type = "m4.xlarge";
  setup.on_demand = {"m4.xlarge=0.239"};
  SteadyClock::duration reading{}, all{};
  std::size_t prices = 0, logged = 0, rounds = 0;
  absl::StatusOr<ReplayResult> result = absl::UnknownError("not yet");
  for (auto unused : state) {
    (void)unused;
    const auto began = SteadyClock::now();
    auto prepared = prepare(setup);
    if (!prepared.ok()) return state.SkipWithError(prepared.status().ToString().c_str());
    reading += SteadyClock::now() - began;
    const std::string log = (folder.path() / absl::StrCat("log-", ++rounds)).string();
    prepared->options.policies = built_in_policies();
    prepared->options.keep = [&](const LogImage& image) {
      logged = image.events.size();
      return RocksEventLog::make({.path = log, .node = "replay"}, image);
    };
    result = run_strategies(*prepared, {"smart-spot"}, {});
    all += SteadyClock::now() - began;
    prices = prepared->grid->prices_read();
  }
  if (!result.ok()) return state.SkipWithError(result.status().ToString().c_str());
  const ReplayStrategy& strategy = result->strategies.front();
  if (strategy.caught != 0 || strategy.moves == 0 || logged != strategy.events)
    return state.SkipWithError(absl::StrCat("after ", strategy.moves, " moves, ", strategy.caught,
                                            " caught: ", logged, " of ", strategy.events,
                                            " events logged")
                                   .c_str());
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(prices));
  state.counters["times_reading"] =
      std::chrono::duration<double>(all) / std::chrono::duration<double>(reading);
}
BENCHMARK(replay_of_prices)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace supercloud
