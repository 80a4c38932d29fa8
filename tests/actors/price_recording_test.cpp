#include "actors/spot/price_recording.h"

#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/spot/csv_feed.h"
#include "gtest/gtest.h"

namespace supercloud {
namespace {

constexpr int first_second = 1'440'201'600;

// Two zones, a price of each every minute; each tenth row is damaged.
std::string csv() {
  std::string text = "epoch_s,az,usd_per_h\n";
  for (int minute = 0; minute < 60; ++minute)
    absl::StrAppend(&text, first_second + 60 * minute, ",", minute % 2 == 0 ? "a" : "b", ",",
                    minute % 10 == 9 ? "much" : absl::StrCat("0.", 100 + minute), "\n");
  return text;
}

std::unique_ptr<PriceFeed> feed(absl::Time from = absl::InfinitePast()) {
  CsvFeedOptions options;
  options.instance_type = "r3.large";
  options.from = from;
  auto read = CsvFeed::read(std::make_unique<std::istringstream>(csv()), "prices.csv", options);
  EXPECT_TRUE(read.ok()) << read.status();
  return *std::move(read);
}

std::vector<std::string> all_of(PriceFeed& feed) {
  std::vector<std::string> told;
  while (told.empty() || !told.back().starts_with("OUT_OF_RANGE"))
    feed.next(Reply<Price>(far_future, [&told](const absl::StatusOr<Price>& price) {
      told.push_back(price.ok() ? absl::StrCat(price->place.id(), " ", price->usd_per_hour.nano_usd,
                                               " ", absl::FormatTime(price->since))
                                : price.status().ToString());
    }));
  return told;
}

TEST(PriceRecording, IsToldAsTheFeedToldItDamageAndEndToo) {
  const auto source = feed();
  auto recording = std::make_shared<PriceRecording>();
  RecordingFeed recorder(*source, *recording);
  const std::vector<std::string> told = all_of(recorder);
  EXPECT_EQ(told, all_of(*feed()));
  EXPECT_EQ(told.size(), 61U);
  EXPECT_TRUE(recording->whole());
  for (int i = 0; i < 2; ++i) {
    RecordedFeed again(recording);
    EXPECT_EQ(again.source(), "prices.csv");
    EXPECT_EQ(all_of(again), told);
  }
}

TEST(PriceRecording, BeginsLaterAsAFeedDoesThatIsReadFromThere) {
  const auto source = feed();
  auto recording = std::make_shared<PriceRecording>();
  RecordingFeed(*source, *recording).listen_until(absl::InfiniteFuture());
  for (const int minute : {-5, 0, 17, 30, 59, 70}) {
    const absl::Time from = absl::FromUnixSeconds(first_second + 60 * minute);
    RecordedFeed later(recording, from);
    EXPECT_EQ(all_of(later), all_of(*feed(from))) << minute;
  }
}

TEST(PriceRecording, ListensNoLongerThanIsAskedFor) {
  const auto source = feed();
  auto recording = std::make_shared<PriceRecording>();
  RecordingFeed(*source, *recording).listen_until(absl::FromUnixSeconds(first_second + 60 * 20));
  RecordedFeed short_one(recording);
  const std::vector<std::string> told = all_of(short_one);
  const std::vector<std::string> whole = all_of(*feed());
  ASSERT_EQ(told.size(), 23U) << "one price after that, too, and the end";
  EXPECT_TRUE(std::equal(told.begin(), told.end() - 1, whole.begin()));
}

TEST(PriceRecording, OfTooMuchIsNone) {
  for (const PriceRecording::Limits limits :
       {PriceRecording::Limits{.prices_max = 20}, PriceRecording::Limits{.damages_max = 2}}) {
    const auto source = feed();
    PriceRecording recording(limits);
    RecordingFeed recorder(*source, recording);
    EXPECT_EQ(all_of(recorder).size(), 61U) << "what is said passes through all the same";
    EXPECT_FALSE(recording.whole());
  }
}

}  // namespace
}  // namespace supercloud
