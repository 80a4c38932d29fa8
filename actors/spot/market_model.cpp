#include "actors/spot/market_model.h"

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

// Standard normal quantiles: at so much of its standard deviation demand is in 0.1, 5, 25 ... % of the time.
constexpr std::int64_t percent_0_1 = -3'090'000;
constexpr std::int64_t percent_5 = -1'645'000;
constexpr std::int64_t percent_25 = -674'000;
constexpr std::int64_t percent_50 = 0;
constexpr std::int64_t percent_75 = 674'000;
constexpr std::int64_t percent_85 = 1'036'000;
constexpr std::int64_t percent_90 = 1'282'000;
constexpr std::int64_t percent_95 = 1'645'000;
constexpr std::int64_t percent_99 = 2'326'000;
constexpr std::int64_t percent_99_9 = 3'090'000;

}  // namespace

// The levels are the quantiles of all prices, taken every 15 minutes, of us-east-1: r3.large from March to August 2015 in 3 zones,
// m4.xlarge from June to September 2016 in 4. Waves and quotes: the search that docs/prices.md describes, rounded.
MarketModel spiky_market() {
  MarketModel model;
  model.name = "spiky";
  model.levels = {{percent_5, 93'000},     {percent_25, 104'000},   {percent_50, 147'000},
                  {percent_75, 200'000},   {percent_85, 362'000},   {percent_90, 1'046'000},
                  {percent_95, 8'571'000}, {percent_99, 10'544'000}};
  model.waves = {{.time = absl::InfiniteDuration(), .share = 50'000},
                 {.time = absl::Hours(120), .share = 780'000, .common = 580'000},
                 {.time = absl::Hours(3), .share = 170'000, .common = 350'000, .jumps = true}};
  model.quotes_per_day = 240;
  return model;
}

// Likewise: c4.2xlarge, c5.xlarge, m4.xlarge, m5.xlarge and r4.2xlarge from March to May 2021, in 5 or 6 zones.
MarketModel calm_market() {
  MarketModel model;
  model.name = "calm";
  model.levels = {{percent_0_1, 327'000}, {percent_5, 344'000},  {percent_25, 376'000},
                  {percent_50, 399'000},  {percent_75, 439'000}, {percent_85, 529'000},
                  {percent_90, 572'000},  {percent_95, 595'000}, {percent_99, 687'000},
                  {percent_99_9, 710'000}};
  model.waves = {{.time = absl::InfiniteDuration(), .share = 750'000},
                 {.time = absl::Hours(24 * 30), .share = 250'000, .common = 400'000}};
  model.quotes_per_day = 4;
  model.follow = 150'000;
  return model;
}

absl::StatusOr<MarketModel> market_model(std::string_view name) {
  for (MarketModel (*const known)() : {&spiky_market, &calm_market})
    if (MarketModel model = known(); model.name == name) return model;
  return absl::NotFoundError(
      absl::StrCat("\"", std::string(name), "\" is no generated market; there are spiky, calm"));
}

}  // namespace supercloud
