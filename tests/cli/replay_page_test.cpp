// The page of a replay's report: complete in itself, safe against names, small, and written as a whole or not at all.
#include "cli/report/replay_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/report/place_labels.h"
#include "cli/report/replay_data.h"
#include "cli/report/thinning.h"
#include "core/text.h"

namespace supercloud {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using Json = nlohmann::json;

const absl::Time start = absl::FromUnixSeconds(1'471'046'400);  // 2016-08-13

Money usd(double amount) { return {static_cast<std::int64_t>(std::llround(amount * 1e9))}; }

PlaceName zone(std::string name, bool spot = true) {
  return {.cloud = "aws",
          .region = "us-east-1",
          .zone = std::move(name),
          .instance_type = "m4.xlarge",
          .spot = spot};
}

// Two zones and on-demand for a day; one VM that moves once for a price and once flees.
ReplayResult one_day() {
  ReplayResult result{.title = "m4.xlarge in us-east-1",
                      .model = {{"Billing", "by the hour"}},
                      .from = start,
                      .to = start + absl::Hours(24)};
  result.prices = {{zone("us-east-1a"), {{start, usd(0.03)}, {start + absl::Hours(5), usd(0.06)}}},
                   {zone("us-east-1c"), {{start, usd(0.04)}, {start + absl::Hours(9), usd(0.5)}}},
                   {zone("us-east-1a", false), {{start, usd(0.239)}}}};
  const std::string a = result.prices[0].place.id(), c = result.prices[1].place.id();
  ReplayStrategy greedy{.name = "greedy",
                        .cost = usd(0.9),
                        .instances = usd(0.7),
                        .transfer = usd(0.15),
                        .downtime = usd(0.05),
                        .moves = 2,
                        .revocations = 1,
                        .down = absl::Milliseconds(680),
                        .events = 100};
  greedy.stays = {
      {.vm = "web1", .from = start, .to = start + absl::Hours(5), .place = a},
      {.vm = "web1",
       .from = start + absl::Hours(5),
       .to = start + absl::Hours(9),
       .place = c,
       .reason = "cheaper there",
       .candidates = {{a, usd(0.06), usd(0), ""}, {c, usd(0.04), usd(0.02), ""}},
       .decision = "node-a/policy/1/7"},
      {.vm = "web1",
       .from = start + absl::Hours(9),
       .to = absl::InfiniteFuture(),
       .place = a,
       .reason = "the cloud takes it",
       .flight = true,
       .candidates = {{c, usd(0.5), usd(0), "the cloud is about to take the instance there"}},
       .decision = "node-c/policy/1/9"}};
  greedy.cumulative = {{start, usd(0.03)}, {start + absl::Hours(12), usd(0.9)}};
  result.strategies = {greedy};
  result.on_demand = usd(5.736);
  result.clairvoyant = usd(0.85);
  result.saving_reached = 0.99;
  result.prices_read = 5;
  return result;
}

// Prices as noisy as real ones: 90 days, a price each five minutes in four zones.
ReplayResult ninety_days() {
  ReplayResult result = one_day();
  result.to = start + absl::Hours(24 * 90);
  result.prices.clear();
  std::uint32_t state = 1;
  for (const char* name : {"us-east-1a", "us-east-1c", "us-east-1d", "us-east-1e"}) {
    ReplayPrices prices{.place = zone(name)};
    for (absl::Time time = start; time < result.to; time += absl::Minutes(5)) {
      state = state * 1'664'525 + 1'013'904'223;
      prices.changes.emplace_back(time, Money{300'000 * std::int64_t{state >> 24}});
    }
    result.prices.push_back(std::move(prices));
  }
  const ReplayStay moved = result.strategies[0].stays[1];
  for (int hour = 9; hour < 24 * 90; hour += 2) {
    result.strategies[0].stays.push_back(moved);
    result.strategies[0].stays.back().from = start + absl::Hours(hour);
  }
  result.strategies.resize(6, result.strategies[0]);
  return result;
}

// What the page's scripts read.
Json data_of(const std::string& page) {
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const std::size_t begin = page.find(open) + open.size();
  return Json::parse(page.substr(begin, page.find("</script>", begin) - begin));
}

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

std::vector<std::int64_t> values_of(const Json& steps) {
  std::vector<std::int64_t> values = {steps["v0"]};
  for (const std::int64_t delta : steps["v"])
    values.push_back(values.back() + delta * steps["dv"].get<std::int64_t>());
  return values;
}

TEST(ReplayPage, has_title_data_styles_and_scripts) {
  const std::string page = replay_page(one_day());
  EXPECT_TRUE(page.starts_with("<!DOCTYPE html>"));
  EXPECT_THAT(page, HasSubstr("<title>m4.xlarge in us-east-1 · Supercloud replay</title>"));
  EXPECT_EQ(count(page, "</script>"), 3);  // data, dygraphs, ours
  EXPECT_EQ(count(page, "</style>"), 1);
  EXPECT_THAT(page, HasSubstr("The above copyright notice and this permission notice"));
  for (const char* hole : {"{{title}}", "{{data}}", "{{style}}", "{{script}}", "{{policy}}"})
    EXPECT_THAT(page, Not(HasSubstr(hole)));
  const Json data = data_of(page);
  EXPECT_EQ(data["strategies"][0]["name"], "greedy");
  EXPECT_EQ(data["on_demand"], 5'736'000'000);
  EXPECT_EQ(data["strategies"][0]["cost"], 900'000'000);
  EXPECT_EQ(data["strategies"][0]["instances"], 700'000'000);
  EXPECT_EQ(data["strategies"][0]["transfer"], 150'000'000);
  EXPECT_EQ(data["strategies"][0]["downtime"], 50'000'000);
  for (const char* title : {"#Machines, USD", "#Transfer, USD", "#Downtime, USD"})
    EXPECT_THAT(page, HasSubstr(title));
  EXPECT_EQ(data["saving_reached"], 0.99);
}

TEST(ReplayPage, needs_nothing_from_elsewhere) {
  const std::string page = replay_page(one_day());
  EXPECT_THAT(page, HasSubstr("content=\"default-src 'none';"));
  for (const char* load :
       {" src=", " href=", "url(", "@import", "sourceMappingURL", "XMLHttpRequest(\"http"})
    EXPECT_THAT(page, Not(HasSubstr(load))) << load;
  // The one address is that of dygraphs' license, in a comment.
  EXPECT_EQ(count(page, "http://"), 0);
  EXPECT_EQ(count(page, "https://"), count(page, "/*! @license https://"));
}

TEST(ReplayPage, lets_no_name_become_markup) {
  const std::string evil = "</script><script>alert('1')</script><!--\"&";
  ReplayResult result = one_day();
  result.title = evil;
  result.model.emplace_back(evil, evil);
  result.prices[0].place.zone = evil;
  result.strategies[0].name = evil;
  for (ReplayStay& stay : result.strategies[0].stays) stay.vm = stay.reason = stay.decision = evil;
  const std::string page = replay_page(result);
  EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(page, HasSubstr("<title>&lt;/script&gt;&lt;script&gt;alert(&#39;1&#39;)"));
  EXPECT_EQ(count(page, "</script>"), 3);
  const Json data = data_of(page);
  EXPECT_EQ(data["title"], evil);
  EXPECT_EQ(data["strategies"][0]["name"], evil);
}

TEST(ReplayPage, replaces_bytes_that_are_no_text) {
  ReplayResult result = one_day();
  result.strategies[0].name =
      "gr\xff"
      "edy";
  EXPECT_EQ(data_of(replay_page(result))["strategies"][0]["name"],
            "gr\xEF\xBF\xBD"
            "edy");
}

TEST(ReplayPage, is_the_same_for_the_same_result) {
  EXPECT_EQ(replay_page(one_day()), replay_page(one_day()));
}

TEST(ReplayPage, can_be_made_of_nothing) {
  const Json data = data_of(replay_page(ReplayResult{}));
  EXPECT_THAT(data["strategies"], IsEmpty());
  EXPECT_THAT(data["places"], IsEmpty());
  EXPECT_TRUE(data["saving_reached"].is_null());
}

TEST(ReplayPage, can_be_made_of_one_price_and_no_move) {
  ReplayResult result = one_day();
  result.to = result.from;
  result.prices.resize(1);
  result.prices[0].changes.resize(1);
  result.strategies[0].stays.resize(1);
  const Json data = data_of(replay_page(result));
  EXPECT_THAT(values_of(data["places"][0]["steps"]), ElementsAre(30'000'000));
  EXPECT_THAT(data["strategies"][0]["stays"], SizeIs(1));
}

TEST(ReplayPage, of_ninety_days_is_small) {
  const std::string page = replay_page(ninety_days());
  EXPECT_LT(page.size(), 4'000'000);
  EXPECT_EQ(values_of(data_of(page)["places"][3]["steps"]).size(), 90 * 24 * 12);
}

TEST(ReplayData, keeps_stays_within_the_period) {
  const Json data = Json::parse(replay_data(one_day()));
  const Json& stays = data["strategies"][0]["stays"];
  EXPECT_EQ(stays[2][3], data["to"]);  // it had no end
  EXPECT_EQ(stays[2][5], 1);           // a flight
  EXPECT_EQ(data["strings"][stays[1][4].get<std::size_t>()], "cheaper there");
  EXPECT_EQ(stays[1][7], Json::parse("[0,60000,0,1,1,40000,20000,1]"));
}

TEST(ReplayData, tells_why_a_vm_stayed) {
  ReplayResult result = one_day();
  result.strategies[0].stays[1].looks = {{start + absl::Hours(6), "cheap enough"},
                                         {start + absl::Hours(8), "no place is cheaper"}};
  const Json data = Json::parse(replay_data(result));
  const Json& looks = data["strategies"][0]["stays"][1][8];
  const std::int64_t hour_ms = 3'600'000;
  EXPECT_EQ(looks[0], hour_ms);  // after its arrival
  EXPECT_EQ(looks[2], 2 * hour_ms);
  EXPECT_EQ(data["strings"][looks[3].get<std::size_t>()], "no place is cheaper");
}

TEST(ReplayData, names_places_that_have_no_prices) {
  ReplayResult result = one_day();
  result.strategies[0].stays[2].place = "a machine at home";
  const Json data = Json::parse(replay_data(result));
  EXPECT_EQ(data["places"][3]["label"], "a machine at home");
  EXPECT_THAT(data["places"][3]["steps"], IsEmpty());
}

TEST(ReplayData, restores_every_value) {
  const ReplayResult result = ninety_days();
  const Json data = Json::parse(replay_data(result));
  for (std::size_t i = 0; i < result.prices.size(); ++i) {
    std::vector<std::int64_t> expected;
    for (const auto& [time, price] : result.prices[i].changes) expected.push_back(price.nano_usd);
    EXPECT_EQ(values_of(data["places"][i]["steps"]), expected);
  }
}

TEST(Thinning, leaves_short_lines_alone) {
  const MoneySteps steps = {{start, usd(1)}, {start + absl::Hours(1), usd(2)}};
  EXPECT_EQ(thinned(steps, 2), steps);
}

TEST(Thinning, keeps_every_extreme_and_the_ends) {
  MoneySteps steps;
  for (int i = 0; i < 100'000; ++i)
    steps.emplace_back(start + absl::Seconds(i), usd(1 + 0.001 * (i % 7)));
  steps[54'321].second = usd(40);
  steps[77'777].second = usd(0.001);
  const MoneySteps kept = thinned(steps, 4'000);
  EXPECT_LE(kept.size(), 4'000);
  EXPECT_EQ(kept.front(), steps.front());
  EXPECT_EQ(kept.back(), steps.back());
  EXPECT_THAT(kept, ::testing::Contains(steps[54'321]));
  EXPECT_THAT(kept, ::testing::Contains(steps[77'777]));
  EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end(),
                             [](const auto& a, const auto& b) { return a.first < b.first; }));
}

TEST(Thinning, copes_with_many_values_at_one_moment) {
  const MoneySteps steps(100, {start, usd(1)});
  EXPECT_LE(thinned(steps, 8).size(), 8);
}

TEST(Thinning, holds_the_price_that_was_in_force_before_the_period) {
  const MoneySteps steps = {{start, usd(1)},
                            {start + absl::Hours(1), usd(2)},
                            {start + absl::Hours(3), usd(3)},
                            {start + absl::Hours(9), usd(4)}};
  EXPECT_THAT(within(steps, start + absl::Hours(2), start + absl::Hours(4)),
              ElementsAre(std::pair(start + absl::Hours(2), usd(2)),
                          std::pair(start + absl::Hours(3), usd(3))));
}

TEST(PlaceLabels, say_what_tells_places_apart) {
  EXPECT_THAT(place_labels({"aws/us-east-1/us-east-1a/m4.xlarge/spot",
                            "aws/us-east-1/us-east-1c/m4.xlarge/spot",
                            "aws/us-east-1/us-east-1a/m4.xlarge/on-demand"}),
              ElementsAre("us-east-1a", "us-east-1c", "us-east-1a on-demand"));
  EXPECT_THAT(place_labels({"aws/us-east-1/us-east-1a/m4.xlarge/spot",
                            "azure/westeurope/1/D4s/spot", "home"}),
              ElementsAre("aws us-east-1a m4.xlarge", "azure westeurope 1 D4s", "home"));
}

}  // namespace
}  // namespace supercloud
