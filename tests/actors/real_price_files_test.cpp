// Real prices, as AWS says them and as others have kept them.
#include <cstdlib>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "actors/spot/price_files.h"
#include "gtest/gtest.h"
#include "tests/actors/price_lines.h"

namespace supercloud {
namespace {

std::string real_file(const std::string& name) {
  const char* folder = std::getenv("SUPERCLOUD_DATA");
  return absl::StrCat(folder != nullptr ? folder : SUPERCLOUD_SOURCE_ROOT "/../shared/data",
                      "/spot/", name);
}

constexpr const char* no_real_prices =
    "no real prices here; set SUPERCLOUD_DATA to the folder that holds them";

// One week of 2015, as AWS answers it and as rows of CSV. What AWS says begins with the prices in force.
TEST(RealPriceFiles, SayTheSameAsAwsJsonAndAsCsv) {
  const std::string json =
      real_file("aws_describe_spot_price_history_r3.large_2015-08-05_week.json");
  const std::string csv = real_file("2015_r3.large_us-east-1_3zones_events.csv");
  if (!std::filesystem::exists(json) || !std::filesystem::exists(csv))
    GTEST_SKIP() << no_real_prices;
  PriceFileOptions options;
  const auto contents = look_into_price_files({json}, options);
  ASSERT_TRUE(contents.ok()) << contents.status();
  EXPECT_EQ(contents->total().rows, 3930U);
  EXPECT_EQ(contents->damaged, 0U);
  options.from = absl::FromCivil(absl::CivilDay(2015, 8, 5), absl::UTCTimeZone());
  const absl::Time end = options.from + absl::Hours(24 * 7);
  for (const absl::Time from : {options.from, options.from + absl::Hours(100)}) {
    options.from = from;
    const auto from_json = open_price_files({json}, options);
    const auto from_csv = open_price_files({csv}, options);
    const auto from_both = open_price_files({csv, json}, options);
    ASSERT_TRUE(from_json.ok() && from_csv.ok() && from_both.ok());
    std::size_t prices = 0;
    for (auto price = next_price(**from_json); price.ok(); price = next_price(**from_json)) {
      for (PriceFeed* other : {from_csv->get(), from_both->get()}) {
        const auto expected = next_price(*other);
        ASSERT_TRUE(expected.ok()) << expected.status();
        ASSERT_EQ(price->place, expected->place) << price->since;
        ASSERT_EQ(price->since, expected->since);
        ASSERT_EQ(price->usd_per_hour, expected->usd_per_hour) << price->since;
      }
      ++prices;
    }
    EXPECT_TRUE(absl::IsOutOfRange(next_price(**from_json).status()));
    EXPECT_GE(next_price(**from_csv).value().since, end);
    EXPECT_GT(prices, 1000U);
  }
}

TEST(RealPriceFiles, OfSixTypesOneAfterTheOtherAreReadTogether) {
  const std::string path = real_file("2021_us-east-1_6zones_events.csv");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << no_real_prices;
  const auto feed = open_price_files({path}, {});
  ASSERT_TRUE(feed.ok()) << feed.status();
  absl::Time last = absl::InfinitePast();
  std::size_t prices = 0;
  for (auto price = next_price(**feed); !absl::IsOutOfRange(price.status());
       price = next_price(**feed), ++prices) {
    ASSERT_TRUE(price.ok()) << price.status();
    ASSERT_GE(price->since, last);
    last = price->since;
  }
  EXPECT_EQ(prices, 7929U);
}

}  // namespace
}  // namespace supercloud
