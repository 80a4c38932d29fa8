// The feeds: CSV files, good and bad, and the generated market.
#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "actors/spot/csv_feed.h"
#include "actors/spot/generated_feed.h"
#include "actors/spot/vector_feed.h"
#include "gtest/gtest.h"
#include "tests/actors/price_lines.h"

namespace supercloud {
namespace {

absl::StatusOr<std::unique_ptr<CsvFeed>> read(const std::string& content,
                                              CsvFeedOptions options = {}) {
  if (options.instance_type.empty()) options.instance_type = "r3.large";
  return CsvFeed::read(std::make_unique<std::istringstream>(content), "prices.csv",
                       std::move(options));
}

std::vector<std::string> lines_of(const std::string& content, CsvFeedOptions options = {}) {
  auto feed = read(content, std::move(options));
  if (!feed.ok()) return {std::string(feed.status().message())};
  return price_lines(**feed);
}

TEST(CsvFeed, ReadsEventRowsInTheirOrder) {
  EXPECT_EQ(lines_of("epoch_s,az,usd_per_h\n100,a,0.0168\n100,e,0.02\n160,a,0.0219\n"),
            (std::vector<std::string>{"100 us-east-1a 16800000", "100 us-east-1e 20000000",
                                      "160 us-east-1a 21900000"}));
}

TEST(CsvFeed, TakesColumnsInAnyOrderAndIgnoresUnknownOnesCommentsAndLineEnds) {
  EXPECT_EQ(lines_of("\xef\xbb\xbf# from a friend\r\n\r\nnote,usd_per_h, az "
                     ",epoch_s\r\nx,0.5,us-east-1b,7\r\n#\n,0.6,b,8\r\n"),
            (std::vector<std::string>{"7 us-east-1b 500000000", "8 us-east-1b 600000000"}));
}

TEST(CsvFeed, LeavesOutWhatIsNoZone) {
  const std::string file =
      "epoch_s,az,usd_per_h\n1,!!,0.1\n2,mars,0.1\n3,A,0.1\n4,a,0.1\n5,1-2,0.1\n";
  EXPECT_EQ(
      lines_of(file),
      (std::vector<std::string>{
          "prices.csv:2: az: \"!!\" is no zone, such as us-east-1a, or a; the row is left out",
          "prices.csv:3: az: \"mars\" is no zone, such as us-east-1a, or a; the row is left out",
          "prices.csv:4: az: \"A\" is no zone, such as us-east-1a, or a; the row is left out",
          "4 us-east-1a 100000000",
          "prices.csv:6: az: \"1-2\" is no zone, such as us-east-1a, or a; the row is left out"}));
  CsvFeedOptions elsewhere;
  elsewhere.cloud = "azure";
  EXPECT_EQ(
      lines_of("epoch_s,az,usd_per_h\n1,westeurope-2,0.1\n2,!!,0.1\n", elsewhere),
      (std::vector<std::string>{
          "1 westeurope-2 100000000",
          "prices.csv:3: az: \"!!\" is no zone, such as us-east-1a, or a; the row is left out"}));
}

TEST(CsvFeed, KeepsOnlyTheInstanceTypesThatAreWanted) {
  const std::string file =
      "instance_type,epoch_s,az,usd_per_h\nm4.xlarge,1,a,0.1\nr3.large,2,a,0.2\nm4.xlarge,3,a,0."
      "3\n";
  CsvFeedOptions options;
  options.instance_types = {"m4.xlarge"};
  EXPECT_EQ(lines_of(file, options),
            (std::vector<std::string>{"1 us-east-1a 100000000", "3 us-east-1a 300000000"}));
  options.instance_types = {"m5.xlarge"};
  EXPECT_EQ(lines_of(file, options),
            (std::vector<std::string>{
                "prices.csv: no prices of m5.xlarge; the file has m4.xlarge, r3.large"}));
}

TEST(CsvFeed, ReadsOneTypeOfAFileThatListsTypeAfterType) {
  CsvFeedOptions options;
  options.instance_types = {"r3.large"};
  EXPECT_EQ(lines_of("instance_type,epoch_s,az,usd_per_h\nm4.xlarge,100,a,0.1\nr3.large,5,a,0.2\n",
                     options),
            (std::vector<std::string>{"5 us-east-1a 200000000"}));
}

TEST(CsvFeed, DeliversThePricesInForceFirstWhenItBeginsLater) {
  CsvFeedOptions options;
  options.from = absl::FromUnixSeconds(50);
  EXPECT_EQ(
      lines_of("epoch_s,az,usd_per_h\n10,a,0.1\n20,b,0.2\n30,a,0.3\n50,c,0.4\n60,a,0.5\n70,b,0.6\n",
               options),
      (std::vector<std::string>{"20 us-east-1b 200000000", "30 us-east-1a 300000000",
                                "50 us-east-1c 400000000", "60 us-east-1a 500000000",
                                "70 us-east-1b 600000000"}));
  options.from = absl::FromUnixSeconds(1000);
  EXPECT_EQ(lines_of("epoch_s,az,usd_per_h\n10,a,0.1\n20,b,0.2\n30,a,0.3\n", options),
            (std::vector<std::string>{"20 us-east-1b 200000000", "30 us-east-1a 300000000"}));
  options.from = absl::FromUnixSeconds(5);
  EXPECT_EQ(lines_of("epoch_s,az,usd_per_h\n10,a,0.1\n", options),
            (std::vector<std::string>{"10 us-east-1a 100000000"}));
}

TEST(CsvFeed, TakesTheRegionFromTheZonesName) {
  CsvFeedOptions options;
  options.cloud = "own";
  const auto feed =
      read("epoch_s,az,usd_per_h\n1,eu-west-1b,0.1\n2,a,0.1\n3,us-central1-a,0.1\n4,cellar,0.1\n",
           options);
  std::vector<std::string> regions;
  for (int i = 0; i < 4; ++i) regions.push_back(next_price(**feed).value().place.region);
  EXPECT_EQ(regions, (std::vector<std::string>{"eu-west-1", "us-east-1", "us-central1", "cellar"}));
}

TEST(CsvFeed, ReadsATableWithAColumnForEachZoneAndDeliversWhatChanges) {
  EXPECT_EQ(lines_of("time_utc,us-east-1a,us-east-1c\n"
                     "1970-01-01T00:05Z,0.1,0.2\n"
                     "1970-01-01T00:10Z,0.1,0.3\n"
                     "1970-01-01T00:15:30Z,0.4,\n"),
            (std::vector<std::string>{"300 us-east-1a 100000000", "300 us-east-1c 200000000",
                                      "600 us-east-1c 300000000", "930 us-east-1a 400000000"}));
}

// A column that is none of a table's may be a zone misspelt, and a zone less is another market.
TEST(CsvFeed, ATableWithAColumnThatIsNoZoneIsRefusedAndTheColumnNamed) {
  const auto refused = [](const std::string& column) {
    const absl::Status status =
        read(absl::StrCat("time_utc,us-east-1a,", column, "\n1970-01-01T00:05Z,0.1,0.2\n"))
            .status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << column << status;
    return std::vector<std::string>{std::string(status.message())};
  };
  for (const char* column : {"foo", "mars-9", "us_east_1c", "us-east-1C", "c"})
    expect_said(refused(column),
                absl::StrCat("prices.csv:1: column 3, \"", column,
                             "\", is no zone, such as us-east-1a, and a table has no columns but "
                             "zones, epoch_s or time_utc, and instance_type; correct its name, or "
                             "take it out"));
  expect_said(refused("us-east-1a"), "prices.csv:1: the column us-east-1a occurs twice");
  // Of other clouds any word may be a zone, but not every column of words.
  CsvFeedOptions azure;
  azure.cloud = "azure";
  for (const char* header : {"time_utc,westeurope,note\n", "epoch_s,region,price\n"})
    expect_said(lines_of(header, azure), " has no column ");
  // Nobody has misspelt what is not there.
  for (const char* table : {",time_utc,us-east-1a\n0,1970-01-01T00:05Z,0.1\n",
                            "time_utc,us-east-1a,\n1970-01-01T00:05Z,0.1,\n"})
    EXPECT_EQ(lines_of(table), std::vector<std::string>{"300 us-east-1a 100000000"}) << table;
}

TEST(CsvFeed, ATableBeginsWithThePricesInForceToo) {
  CsvFeedOptions options;
  options.from = absl::FromUnixSeconds(700);
  options.instance_types = {"r3.large"};
  EXPECT_EQ(lines_of("instance_type,time_utc,us-east-1a,us-east-1c\n"
                     "m4.xlarge,1970-01-01T01:00Z,1,2\n"
                     "r3.large,1970-01-01T00:05Z,0.1,0.2\n"
                     "r3.large,1970-01-01T00:10Z,0.3,0.2\n"
                     "r3.large,1970-01-01T00:15Z,0.4,0.5\n",
                     options),
            (std::vector<std::string>{"300 us-east-1c 200000000", "600 us-east-1a 300000000",
                                      "900 us-east-1a 400000000", "900 us-east-1c 500000000"}));
}

TEST(CsvFeed, OfATablesRowOnlyTheDamagedPriceIsLeftOut) {
  const std::vector<std::string> lines = lines_of(
      "time_utc,us-east-1a,us-east-1c\n"
      "1970-01-01T00:05Z,0.1,free\n"
      "1970-01-01 00:10,0.2,0.2\n"
      "2999-01-01T00:00Z,0.2,0.2\n"
      "infinite-future,0.2,0.2\n"
      "1970-01-01T00:01Z,0.3,0.3\n"
      "1970-01-01T00:05Z,0.4,0.6\n");
  EXPECT_EQ(lines.front(), "300 us-east-1a 100000000");
  expect_said(lines,
              "prices.csv:2: us-east-1c: \"free\" is no number; write USD per hour in decimal, as "
              "0.0331; that price is left out");
  expect_said(lines,
              "prices.csv:3: time_utc: \"1970-01-01 00:10\" is no time from 1970 to 2100 such as");
  expect_said(lines, "prices.csv:6: time_utc: 1970-01-01T00:01Z is before the row above it");
  expect_said(lines,
              "prices.csv:7: us-east-1a: another price for the same time and zone as line 2; that "
              "price is left out");
  expect_said(lines, "prices.csv:4: time_utc: \"2999-01-01T00:00Z\" is no time from 1970 to 2100");
  expect_said(lines, "prices.csv:5: time_utc: \"infinite-future\" is no time");
  EXPECT_EQ(lines.back(), "300 us-east-1c 600000000");
  EXPECT_EQ(lines.size(), 8U);
}

TEST(CsvFeed, NamesFileLineColumnAndCureOfABadHeader) {
  expect_said(lines_of(""), "prices.csv: the file is empty; its first line has to name");
  expect_said(lines_of("\n\n# nothing\n"), "the file is empty");
  expect_said(lines_of("epoch_s,usd_per_h\n1,2\n"),
              "prices.csv:1: the header \"epoch_s,usd_per_h\" has no column az");
  expect_said(lines_of("az,az,epoch_s,usd_per_h\n"), "the column az occurs twice");
  expect_said(lines_of(std::string(1000, ',')), "columns");
  expect_said(lines_of(std::string(200'000, 'x')), "a line of more than");
  CsvFeedOptions options;
  const auto of_no_type = [&options](const std::string& rows) {
    return CsvFeed::read(std::make_unique<std::istringstream>("epoch_s,az,usd_per_h\n" + rows),
                         "x.csv", options)
        .status();
  };
  EXPECT_EQ(of_no_type("\n# one\n1,a,0.1\n").message(),
            "x.csv:1: there is no column instance_type; say which instance type these prices are "
            "of");
  // Which type no prices are of, nobody needs to say.
  for (const char* nothing : {"", "\n# none yet\n"}) {
    EXPECT_TRUE(absl::IsNotFound(of_no_type(nothing)));
    EXPECT_EQ(of_no_type(nothing).message(), "x.csv: the file has a header and no prices");
  }
  EXPECT_TRUE(absl::IsNotFound(CsvFeed::open("/nonexistent/prices.csv", options).status()));
}

TEST(CsvFeed, LeavesOutDamagedRowsNamesThemAndGoesOn) {
  const std::vector<std::string> lines = lines_of(
      "epoch_s,az,usd_per_h\n"
      "100,a,0.1\n"
      "90,a,0.2\n"             // 3: back in time
      "110,a,-0.2\n"           // 4
      "111,a,nan\n"            // 5
      "112,a,123456\n"         // 6: absurd
      "113,a\n"                // 7: truncated
      "x,a,0.2\n"              // 8
      "114,,0.2\n"             // 9
      "1426070082000,a,0.2\n"  // 10: milliseconds
      "100,a,0.1\n"            // 11: duplicate, in silence
      "100,a,0.7\n"            // 12: contradiction
      "115,a,0\n"              // 13
      "120,a,0.3\n");
  expect_said(lines, "prices.csv:3: epoch_s: 90 is before the row above it (100); sort the file");
  expect_said(lines, "prices.csv:4: usd_per_h: \"-0.2\" is negative; the row is left out");
  expect_said(lines, "prices.csv:5: usd_per_h: \"nan\" is no number");
  expect_said(lines, "prices.csv:6: usd_per_h: \"123456\" is more than 1000 USD per hour");
  expect_said(lines, "prices.csv:7: row: 2 fields where the header has 3");
  expect_said(lines, "prices.csv:8: epoch_s: \"x\" is no whole number");
  expect_said(lines, "prices.csv:9: az: empty");
  expect_said(
      lines,
      "prices.csv:10: epoch_s: 1426070082000 is not between 1970 and 2100; is it in seconds?");
  expect_said(lines,
              "prices.csv:12: usd_per_h: another price for the same time and zone as line 2");
  expect_said(lines, "prices.csv:13: usd_per_h: \"0\" is not greater than 0");
  EXPECT_EQ(lines.front(), "100 us-east-1a 100000000");
  EXPECT_EQ(lines.back(), "120 us-east-1a 300000000");
  EXPECT_EQ(lines.size(), 12U);
}

// Where the next line goes on before it.
std::string told_ahead(int line, const std::string& time, int days, const std::string& at) {
  return absl::StrCat("prices.csv:", line, ": ", time, " is ", days,
                      " days after what stands above it, and line ", at,
                      "; correct one of the two. The row is left out");
}

// Else all that is good would be before it, and left out.
TEST(CsvFeed, ARowFarAheadOfThoseAfterItIsTheDamagedOne) {
  EXPECT_EQ(
      lines_of("epoch_s,az,usd_per_h\n100,a,0.1\n200,b,0.2\n3456200,a,0.3\n300,a,0.4\n"
               "300,b,0.5\n400,a,0.6\n"),
      (std::vector<std::string>{
          "100 us-east-1a 100000000", "200 us-east-1b 200000000",
          told_ahead(4, "epoch_s: 3456200", 40, "5 goes on before it, at 300"),
          "300 us-east-1a 400000000", "300 us-east-1b 500000000", "400 us-east-1a 600000000"}));
  EXPECT_EQ(lines_of("time_utc,us-east-1a\n1970-01-01T00:05Z,0.1\n2099-01-01T00:00Z,0.2\n"
                     "1970-01-01T00:15Z,0.3\n"),
            (std::vector<std::string>{"300 us-east-1a 100000000",
                                      told_ahead(3, "time_utc: 2099-01-01T00:00Z", 47116,
                                                 "4 goes on before it, at 1970-01-01T00:15Z"),
                                      "900 us-east-1a 300000000"}));
  // All that were asked for at a wrong time.
  EXPECT_EQ(lines_of("epoch_s,az,usd_per_h\n100,a,0.1\n3456200,a,0.2\n3456200,b,0.3\n200,a,0.4\n"),
            (std::vector<std::string>{
                "100 us-east-1a 100000000",
                told_ahead(3, "epoch_s: 3456200", 40, "5 goes on before it, at 200"),
                told_ahead(4, "epoch_s: 3456200", 40, "5 goes on before it, at 200"),
                "200 us-east-1a 400000000"}));
  // Other damage between them is told as ever, and so is a last line without its end.
  const std::vector<std::string> lines =
      lines_of("epoch_s,az,usd_per_h\n100,a,0.1\n3456200,a,0.2\nx,a,0.3\n300,a,-1\n300,b,0.5");
  ASSERT_EQ(lines.size(), 6U);
  EXPECT_EQ(lines.front(), "100 us-east-1a 100000000");
  expect_said(lines, "prices.csv:4: epoch_s: \"x\" is no whole number");
  expect_said(lines, "prices.csv:5: usd_per_h: \"-1\" is negative");
  expect_said(lines, "prices.csv:6: this last line has no end");
  expect_said(lines, "prices.csv:3: epoch_s: 3456200 is 40 days after");
  EXPECT_EQ(lines.back(), "300 us-east-1b 500000000");
}

// ... and where what comes after it does not go on from before, it was the market that was silent.
TEST(CsvFeed, ARowFarAheadCountsWhereNothingGoesOnBeforeIt) {
  const std::string head = "epoch_s,az,usd_per_h\n100,a,0.1\n";
  EXPECT_EQ(
      lines_of(head + "3456200,a,0.3\n3456200,b,0.4\n3456300,a,0.5\n"),
      (std::vector<std::string>{"100 us-east-1a 100000000", "3456200 us-east-1a 300000000",
                                "3456200 us-east-1b 400000000", "3456300 us-east-1a 500000000"}));
  EXPECT_EQ(lines_of(head + "3456200,a,0.3\n"),
            (std::vector<std::string>{"100 us-east-1a 100000000", "3456200 us-east-1a 300000000"}));
  // Twice 40 days, each row far ahead of the one before.
  EXPECT_EQ(lines_of(head + "3456200,a,0.3\n6912300,a,0.4\n"),
            (std::vector<std::string>{"100 us-east-1a 100000000", "3456200 us-east-1a 300000000",
                                      "6912300 us-east-1a 400000000"}));
  // A step of 30 days is none.
  EXPECT_EQ(lines_of(head + "2592100,a,0.2\n300,a,0.3\n").size(), 3U);
  expect_said(lines_of(head + "2592100,a,0.2\n300,a,0.3\n"),
              "prices.csv:4: epoch_s: 300 is before the row above it (2592100)");
}

// Each type is a series of its own, whether they stand among or after each other.
TEST(CsvFeed, ARowIsFarAheadOfItsOwnTypeOnly) {
  const std::string head = "instance_type,epoch_s,az,usd_per_h\n";
  EXPECT_EQ(
      lines_of(head + "r3.large,100,a,0.1\nm4.xlarge,3456200,a,0.2\nm4.xlarge,3456300,b,0.3\n")
          .size(),
      3U);
  const std::vector<std::string> among =
      lines_of(head +
               "r3.large,100,a,0.1\nm4.xlarge,100,a,0.2\nr3.large,3456200,a,0.3\n"
               "m4.xlarge,200,a,0.4\nr3.large,300,a,0.5\n");
  ASSERT_EQ(among.size(), 5U);
  EXPECT_EQ(among[2],
            "prices.csv:4: epoch_s: 3456200 is 40 days after what stands above it, and line 5 goes "
            "on before it, at 200; correct one of the two. The row is left out");
  EXPECT_EQ(among[4], "300 us-east-1a 500000000");
  CsvFeedOptions one;
  one.instance_types = {"r3.large"};
  EXPECT_EQ(
      lines_of(head + "r3.large,100,a,0.1\nr3.large,3456200,a,0.2\nm4.xlarge,200,a,0.3\n", one),
      (std::vector<std::string>{"100 us-east-1a 100000000", "3456200 us-east-1a 200000000"}));
}

// Of 1.75 the 1 may be what is left.
TEST(CsvFeed, ALastLineWithoutItsEndCountsAndIsTold) {
  const auto told = [](const std::string& column) {
    return absl::StrCat(": this last line has no end: the file may have been cut off within its ",
                        column,
                        ", which counts as it stands; fetch the file again, or end the line if it "
                        "is whole");
  };
  EXPECT_EQ(
      lines_of("epoch_s,az,usd_per_h\n100,b,0.1\n160,a,1"),
      (std::vector<std::string>{"100 us-east-1b 100000000", "prices.csv:3" + told("usd_per_h"),
                                "160 us-east-1a 1000000000"}));
  EXPECT_EQ(
      lines_of("time_utc,us-east-1a\n1970-01-01T00:05Z,0.1"),
      (std::vector<std::string>{"prices.csv:2" + told("us-east-1a"), "300 us-east-1a 100000000"}));
  EXPECT_EQ(
      lines_of("usd_per_h,az,epoch_s\n0.1,a,160"),
      (std::vector<std::string>{"prices.csv:2" + told("epoch_s"), "160 us-east-1a 100000000"}));
  EXPECT_EQ(lines_of("epoch_s,az,usd_per_h,note\n160,a,1,a no"),
            std::vector<std::string>{"160 us-east-1a 1000000000"});
  // Nothing is in doubt where the line says no price that counts.
  for (const char* end : {"160,a,1\n", "160,a,1\r\n", "160,a,1\n# done", "160,a,1\n  "})
    EXPECT_EQ(lines_of(absl::StrCat("epoch_s,az,usd_per_h\n", end)),
              std::vector<std::string>{"160 us-east-1a 1000000000"})
        << end;
  CsvFeedOptions one;
  one.instance_types = {"r3.large"};
  EXPECT_EQ(lines_of("instance_type,epoch_s,az,usd_per_h\nr3.large,1,a,1\nm4.xlarge,2,a,1", one),
            std::vector<std::string>{"1 us-east-1a 1000000000"});
  const std::vector<std::string> none = lines_of("epoch_s,az,usd_per_h\n1,a,");
  ASSERT_FALSE(none.empty());
  for (const std::string& line : none) EXPECT_EQ(line.find("no end"), std::string::npos) << line;
  EXPECT_EQ(lines_of("epoch_s,az,usd_per_h"), std::vector<std::string>{});
}

TEST(CsvFeed, EndsWhereALineNeverEnds) {
  const std::vector<std::string> lines =
      lines_of("epoch_s,az,usd_per_h\n1,a,0.1\n" + std::string(1 << 20, 'z'));
  EXPECT_EQ(lines.size(), 2U);
  expect_said(lines, "prices.csv:3: a line of more than");
}

GeneratedMarket four_zones(std::uint64_t seed) {
  GeneratedMarket market;
  market.seed = seed;
  market.start = absl::FromUnixSeconds(1'440'201'600);
  for (const char* zone : {"us-east-1d", "us-east-1a", "us-east-1c", "us-east-1b"}) {
    market.zones.push_back({{"aws", "us-east-1", zone, "r3.large", true}, Money{175'000'000}});
  }
  return market;
}

std::vector<Price> some(GeneratedFeed& feed, int count) {
  std::vector<Price> prices;
  for (int i = 0; i < count; ++i) prices.push_back(next_price(feed).value());
  return prices;
}

TEST(GeneratedMarket, IsTheSameForTheSameSeedAndAnotherForAnother) {
  const auto story = [](std::uint64_t seed) {
    GeneratedFeed feed(four_zones(seed));
    std::string text;
    for (const Price& price : some(feed, 2000)) {
      absl::StrAppend(&text, absl::ToUnixSeconds(price.since), price.place.zone,
                      price.usd_per_hour.nano_usd, "\n");
    }
    return text;
  };
  EXPECT_EQ(story(1), story(1));
  EXPECT_NE(story(1), story(2));
}

// What a compiler or library could change: the very prices, written down.
TEST(GeneratedMarket, HasThesePricesWithEveryCompiler) {
  GeneratedFeed feed(four_zones(42));
  std::uint64_t digest = 0xcbf29ce484222325U;
  for (const Price& price : some(feed, 5000)) {
    for (const std::int64_t value :
         {absl::ToUnixSeconds(price.since), price.usd_per_hour.nano_usd}) {
      digest = (digest ^ static_cast<std::uint64_t>(value)) * 0x100000001b3U;
    }
  }
  EXPECT_EQ(digest, 2346242129030016845U);
}

TEST(GeneratedMarket, ComesInTheOrderOfTimeAndWithinTheLevelsOfItsModel) {
  for (const MarketModel& model : {spiky_market(), calm_market()}) {
    GeneratedMarket market = four_zones(3);
    market.model = model;
    const std::int64_t on_demand = market.zones[0].on_demand_per_hour.nano_usd;
    const std::int64_t grain = 100'000;
    absl::Time last = absl::InfinitePast();
    GeneratedFeed feed(market);
    for (const Price& price : some(feed, 20'000)) {
      EXPECT_GE(price.since, last);
      last = price.since;
      EXPECT_GE(price.usd_per_hour.nano_usd,
                on_demand / 1'000'000 * model.levels.front().price - grain);
      EXPECT_LE(price.usd_per_hour.nano_usd,
                on_demand / 1'000'000 * model.levels.back().price + grain);
      EXPECT_EQ(price.usd_per_hour.nano_usd % grain, 0);
    }
  }
}

TEST(GeneratedMarket, HasTheModelOfANameOrSaysWhichThereAre) {
  EXPECT_EQ(market_model("calm")->levels.size(), calm_market().levels.size());
  EXPECT_EQ(market_model("spiky")->name, "spiky");
  const absl::Status unknown = market_model("wild").status();
  EXPECT_TRUE(absl::IsNotFound(unknown));
  EXPECT_EQ(unknown.message(), "\"wild\" is no generated market; there are spiky, calm");
}

// As dear as prices are taken to be: 1000 USD.
TEST(GeneratedMarket, OfTheDearestPlaceDoesNotOverflow) {
  GeneratedMarket market = four_zones(4);
  for (GeneratedMarket::Zone& zone : market.zones)
    zone.on_demand_per_hour = Money{1'000'000'000'000};
  GeneratedFeed feed(market);
  std::int64_t highest = 0;
  for (const Price& price : some(feed, 100'000)) {
    EXPECT_GE(price.usd_per_hour.nano_usd, 93'000'000'000);
    highest = std::max(highest, price.usd_per_hour.nano_usd);
  }
  EXPECT_EQ(highest, 10'544'000'000'000);
}

}  // namespace
}  // namespace supercloud
