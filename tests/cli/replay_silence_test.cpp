#include <utility>
#include <vector>

#include "actors/spot/vector_feed.h"
#include "cli/replay/silence.h"
#include "gtest/gtest.h"
#include "tests/actors/price_lines.h"

namespace supercloud {
namespace {

absl::Time day(int number) { return absl::UnixEpoch() + number * absl::Hours(24); }

// Prices on these days of 1970, in the order of time, as they are heard to the end.
std::string note_of(const std::vector<int>& days, int from, int to,
                    std::vector<MarketSpan> left_out = {}) {
  std::vector<Price> prices;
  for (const int number : days)
    prices.push_back(
        {{"aws", "us-east-1", "us-east-1a", "r3.large", true}, Money{1 + number}, day(number)});
  VectorFeed feed("a.csv", prices);
  SilenceListener silences(feed);
  EXPECT_EQ(price_lines(silences).size(), days.size()) << "it passes on what it hears";
  return silences.note(day(from), day(to), std::move(left_out));
}

TEST(ReplaySilence, IsToldWhereItIsLongerThanThirtyDaysOfTheReplay) {
  EXPECT_EQ(note_of({0, 30, 60}, 0, 60), "");
  EXPECT_EQ(note_of({0, 31, 40}, 0, 40),
            "a.csv: no price changes from 1970-01-01T00:00:00Z to 1970-02-01T00:00:00Z, of which "
            "31 days are replayed; correct the time of the price before or after, if it is wrong, "
            "or replay one side with --from 1970-02-01T00:00:00Z.\n");
  EXPECT_EQ(note_of({0, 31, 40}, 1, 40), "");
  EXPECT_EQ(note_of({0, 31, 40}, 0, 30), "");
  EXPECT_EQ(note_of({}, 0, 100), "");
}

TEST(ReplaySilence, IsTheLongestOneAndCountsTheOthers) {
  const std::string note = note_of({0, 1, 41, 101, 141}, 0, 141);
  EXPECT_NE(note.find("from 1970-02-11T00:00:00Z to 1970-04-12T00:00:00Z, of which 60 days"),
            std::string::npos)
      << note;
  EXPECT_NE(note.find("with --to 1970-02-11T00:00:00Z or --from 1970-04-12T00:00:00Z; and 2 more "
                      "such times.\n"),
            std::string::npos)
      << note;
}

// A table whose last row holds for months changes nothing either.
TEST(ReplaySilence, LastsToTheEndWhereNoPriceComesAnyMore) {
  const std::string note = note_of({0, 1}, 0, 41);
  EXPECT_NE(note.find("from 1970-01-02T00:00:00Z to 1970-02-11T00:00:00Z, of which 40 days"),
            std::string::npos)
      << note;
  EXPECT_NE(note.find("with --to 1970-01-02T00:00:00Z.\n"), std::string::npos) << note;
}

TEST(ReplaySilence, IsNoneWhereItIsLeftOut) {
  EXPECT_EQ(note_of({0, 50, 51}, 0, 51, {{day(30), day(45)}, {day(5), day(20)}}), "");
  EXPECT_EQ(note_of({0, 50, 51}, 0, 51, {{day(-9), day(99)}}), "");
  EXPECT_NE(note_of({0, 50, 51}, 0, 51, {{day(5), day(20)}, {day(6), day(19)}})
                .find("of which 35 days are replayed"),
            std::string::npos)
      << "what is left out twice counts once";
}

}  // namespace
}  // namespace supercloud
