// Several files as one feed, whatever their forms; and what is in them.
#include "actors/spot/price_files.h"

#include <deque>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "actors/spot/csv_feed.h"
#include "actors/spot/merged_feed.h"
#include "actors/spot/price_names.h"
#include "actors/spot/price_text.h"
#include "actors/spot/vector_feed.h"
#include "gtest/gtest.h"
#include "tests/actors/price_lines.h"
#include "tests/storage/temporary_folder.h"

namespace supercloud {
namespace {

using Strings = std::vector<std::string>;

Price price_at(std::int64_t seconds, const std::string& zone, std::int64_t nano,
               const std::string& type = "r3.large") {
  return {{"aws", "us-east-1", "us-east-1" + zone, type, true},
          Money{nano},
          absl::FromUnixSeconds(seconds)};
}

// Says what it is told to, one after the other, and then for ever the last.
class ScriptedFeed final : public PriceFeed {
 public:
  ScriptedFeed(std::string source, std::vector<absl::StatusOr<Price>> script)
      : source_(std::move(source)), script_(script.begin(), script.end()) {}
  std::string source() const override { return source_; }
  void next(Reply<Price> reply) override {
    const absl::StatusOr<Price> said = script_.front();
    if (script_.size() > 1) script_.pop_front();
    reply(said);
  }

 private:
  std::string source_;
  std::deque<absl::StatusOr<Price>> script_;
};

MergedFeed merged(std::vector<std::vector<absl::StatusOr<Price>>> scripts,
                  absl::Time from = absl::InfinitePast()) {
  std::vector<std::unique_ptr<PriceFeed>> feeds;
  char name = 'a';
  for (auto& script : scripts) {
    if (script.empty() || script.back().ok()) script.push_back(absl::OutOfRangeError("the end"));
    feeds.push_back(
        std::make_unique<ScriptedFeed>(absl::StrCat(std::string(1, name++), ".csv"), script));
  }
  return MergedFeed(std::move(feeds), from);
}

TEST(MergedFeed, DeliversInTheOrderOfTimeThenOfPlaces) {
  MergedFeed feed = merged({{price_at(1, "b", 1), price_at(3, "a", 2), price_at(5, "b", 3)},
                            {},
                            {price_at(1, "a", 4), price_at(3, "c", 5), price_at(4, "a", 6)}});
  EXPECT_EQ(price_lines(feed), (Strings{"1 us-east-1a 4", "1 us-east-1b 1", "3 us-east-1a 2",
                                        "3 us-east-1c 5", "4 us-east-1a 6", "5 us-east-1b 3"}));
  EXPECT_EQ(feed.source(), "a.csv and 2 more");
  MergedFeed none({});
  EXPECT_TRUE(absl::IsOutOfRange(next_price(none).status()));
}

TEST(MergedFeed, SaysOnceWhatSeveralSayAndTellsWhereTheyContradictEachOther) {
  MergedFeed feed = merged({{price_at(1, "a", 1), price_at(2, "a", 2)},
                            {price_at(2, "a", 2), price_at(3, "a", 3)},
                            {price_at(2, "a", 7'000'000'000), price_at(3, "a", 3)}});
  const Strings lines = price_lines(feed);
  EXPECT_EQ(lines.size(), 4U);
  expect_said(lines,
              "c.csv: aws/us-east-1/us-east-1a/r3.large/spot at 1970-01-01T00:00:02+00:00 costs "
              "7.0000 USD, and 0.0000 USD in a.csv; the first of these files counts");
  EXPECT_EQ(lines.back(), "3 us-east-1a 3");
  EXPECT_EQ(feed.duplicates(), 2U);
}

TEST(MergedFeed, PassesOnWhatIsWrongWithOneAndLosesNoneOfTheOthers) {
  MergedFeed feed = merged({{absl::DataLossError("a.csv:2: damaged"), price_at(2, "a", 2),
                             absl::UnavailableError("away"), price_at(4, "a", 4)},
                            {price_at(1, "b", 1), absl::NotFoundError("b.csv: gone")},
                            {price_at(1, "c", 1), price_at(3, "c", 3)}});
  EXPECT_EQ(price_lines(feed),
            (Strings{"a.csv:2: damaged", "1 us-east-1b 1", "b.csv: gone", "1 us-east-1c 1",
                     "2 us-east-1a 2", "away", "3 us-east-1c 3", "4 us-east-1a 4"}));
}

TEST(MergedFeed, ThatNeverHadAPriceSaysWhy) {
  MergedFeed feed = merged({{absl::NotFoundError("a.csv: no prices of x")},
                            {absl::NotFoundError("b.csv: no prices of x")}});
  EXPECT_TRUE(absl::IsDataLoss(next_price(feed).status()));
  EXPECT_TRUE(absl::IsDataLoss(next_price(feed).status()));
  const absl::Status status = next_price(feed).status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(status.message(), "a.csv: no prices of x; b.csv: no prices of x");
}

TEST(MergedFeed, DeliversOfAllFeedsOnlyThePricesInForceWhenItBeginsLater) {
  MergedFeed feed = merged({{price_at(1, "a", 1), absl::DataLossError("a.csv:3: damaged"),
                             price_at(2, "b", 2), price_at(9, "a", 9)},
                            {price_at(5, "a", 5), price_at(6, "c", 6), price_at(7, "a", 7)}},
                           absl::FromUnixSeconds(6));
  EXPECT_EQ(price_lines(feed), (Strings{"a.csv:3: damaged", "2 us-east-1b 2", "5 us-east-1a 5",
                                        "6 us-east-1c 6", "7 us-east-1a 7", "9 us-east-1a 9"}));
}

TEST(PriceNames, TellTheRegionInAZonesName) {
  const std::pair<std::string, std::string> zones[] = {{"us-east-1a", "us-east-1"},
                                                       {"ap-southeast-12c", "ap-southeast-12"},
                                                       {"us-gov-west-1b", "us-gov-west-1"},
                                                       {"us-west-2-lax-1a", "us-west-2"},
                                                       {"us-central1-a", "us-central1"},
                                                       {"europe-west10-c", "europe-west10"},
                                                       {"us-east-1", ""},
                                                       {"a", ""},
                                                       {"", ""},
                                                       {"1", ""},
                                                       {"rack1a", ""},
                                                       {"us-east-1A", ""},
                                                       {"us-east-1aa", ""},
                                                       {"us-east-1-", ""},
                                                       {"us-east-1 a", ""},
                                                       {std::string(64, 'x') + "-1a", ""}};
  for (const auto& [zone, region] : zones) {
    EXPECT_EQ(region_in_name(zone), region) << zone;
    EXPECT_EQ(region_of_zone(zone), region.empty() ? zone : region);
  }
}

TEST(PriceText, ReadsTimesAsFarAsTheyAreTimes) {
  const auto seconds = [](const char* text) {
    const auto time = parse_price_time(text);
    return time ? absl::ToUnixMillis(*time) : -1;
  };
  EXPECT_EQ(seconds("1970-01-01T00:00Z"), 0);
  EXPECT_EQ(seconds("2015-08-11T23:55:48+00:00"), 1'439'337'348'000);
  EXPECT_EQ(seconds("2015-08-12T01:25:48+0130"), 1'439'337'348'000);
  EXPECT_EQ(seconds("2015-08-11T16:55:48.0625-07:00"), 1'439'337'348'062);
  EXPECT_EQ(seconds("2016-02-29T00:00:00Z"), 1'456'704'000'000);
  EXPECT_EQ(seconds("2100-01-01T00:00:00Z"), 4'102'444'800'000);
  for (const char* bad : {"", "2015", "2015-02-29T00:00Z", "2015-08-11", "2015-08-11 23:55:48Z",
                          "2015-08-11T23:55:48", "2015-08-11T24:00:00Z", "2015-08-11T23:60:00Z",
                          "2015-08-11T23:55:60Z", "2015-08-11T23:55:48.Z", "2015-08-11T23:55:48Zx",
                          "2015-08-11T23:55:48+24:00", "2015-00-11T23:55:48Z",
                          "2015-13-11T23:55:48Z", "1969-12-31T23:59:59Z", "2100-01-01T00:00:01Z",
                          "9999-12-31T23:59:59Z", "infinite-future", "+2015-08-11T23:55:48Z"})
    EXPECT_EQ(seconds(bad), -1) << bad;
}

// ---- files

class PriceFilesTest : public testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return folder_ / name;
  }
  static Strings lines(const Strings& paths, const PriceFileOptions& options = {}) {
    const auto feed = open_price_files(paths, options);
    if (!feed.ok()) return {std::string(feed.status().message())};
    return price_lines(**feed);
  }
  static std::string row(const std::string& time, const std::string& zone, const std::string& price,
                         const std::string& type = "r3.large",
                         const std::string& product = "Linux/UNIX") {
    return absl::StrCat(R"({"AvailabilityZone":")", zone, R"(","InstanceType":")", type,
                        R"(","ProductDescription":")", product, R"(","SpotPrice":")", price,
                        R"(","Timestamp":")", time, "\"}");
  }
  static std::string answer(const std::string& rows) {
    return absl::StrCat("{\"SpotPriceHistory\":[", rows, "]}\n");
  }

  TemporaryFolder folder_;
};

TEST_F(PriceFilesTest, OfEveryFormTogetherAreOneFeed) {
  const Strings paths = {
      file("a.json", answer(row("1970-01-01T00:00:04Z", "us-east-1a", "0.4") + "," +
                            row("1970-01-01T00:00:01Z", "us-east-1a", "0.1"))),
      file("r3.large_events.csv", "epoch_s,az,usd_per_h\n2,b,0.2\n4,a,0.4\n5,a,0.5\n"),
      file("table.csv", "instance_type,time_utc,us-east-1c\nr3.large,1970-01-01T00:00:03Z,0.3\n")};
  const Strings expected = {"1 us-east-1a 100000000", "2 us-east-1b 200000000",
                            "3 us-east-1c 300000000", "4 us-east-1a 400000000",
                            "5 us-east-1a 500000000"};
  EXPECT_EQ(lines(paths), expected);
  EXPECT_EQ(lines({paths[2], paths[1], paths[0]}), expected);
  PriceFileOptions options;
  options.from = absl::FromUnixSeconds(4);
  EXPECT_EQ(lines(paths, options), (Strings{expected[1], expected[2], expected[3], expected[4]}));
}

TEST_F(PriceFilesTest, WithTypeAfterTypeAreReadInTheOrderOfTime) {
  const std::string path = file("types.csv",
                                "instance_type,epoch_s,az,usd_per_h\nm4.xlarge,1,a,0.1\n"
                                "m4.xlarge,3,a,0.3\nr3.large,2,b,0.2\nr3.large,4,b,0.4\n"
                                "c5.large,0,c,0.5\n");
  const Strings two = {"1 us-east-1a 100000000", "2 us-east-1b 200000000", "3 us-east-1a 300000000",
                       "4 us-east-1b 400000000"};
  PriceFileOptions options;
  options.instance_types = {"r3.large", "m4.xlarge"};
  EXPECT_EQ(lines({path}, options), two);
  EXPECT_EQ(lines({path}).size(), 5U);
  options.instance_types = {"m4.xlarge"};
  EXPECT_EQ(lines({path}, options), (Strings{two[0], two[2]}));
}

// The last row of the type that stands first is late; the first of the next one does not belong to it.
TEST_F(PriceFilesTest, WithTypeAfterTypeKeepALateLastRowOfEach) {
  const std::string path = file("types.csv",
                                "instance_type,epoch_s,az,usd_per_h\nm4.xlarge,1,a,0.1\n"
                                "m4.xlarge,3456100,a,0.3\nr3.large,2,b,0.2\nr3.large,4,b,0.4\n");
  EXPECT_EQ(lines({path}), (Strings{"1 us-east-1a 100000000", "2 us-east-1b 200000000",
                                    "4 us-east-1b 400000000", "3456100 us-east-1a 300000000"}));
}

TEST_F(PriceFilesTest, WithARowFarAheadDoNotReachAsFar) {
  const std::string path =
      file("r3.large.csv", "epoch_s,az,usd_per_h\n1,a,0.1\n4000000000,a,0.2\n3,a,0.3\n");
  const auto contents = look_into_price_files({path}, {});
  ASSERT_TRUE(contents.ok()) << contents.status();
  EXPECT_EQ(contents->total().last, absl::FromUnixSeconds(3));
  EXPECT_EQ(contents->damaged, 1U);
  EXPECT_EQ(lines({path}).size(), 3U);
  EXPECT_EQ(lines({path}).back(), "3 us-east-1a 300000000");
}

TEST_F(PriceFilesTest, MissingATypeOrAProductListWhatTheyHave) {
  const Strings paths = {file("a.json", answer(row("1970-01-01T00:00:01Z", "us-east-1a", "0.1",
                                                   "m5.large", "Windows"))),
                         file("r3.large.csv", "epoch_s,az,usd_per_h\n2,b,0.2\n")};
  PriceFileOptions options;
  options.instance_types = {"r3.large", "c5.large", "x1.large"};
  const auto feed = open_price_files(paths, options);
  EXPECT_TRUE(absl::IsNotFound(feed.status()));
  EXPECT_EQ(feed.status().message(),
            absl::StrCat(paths[0],
                         " and 1 more: no prices of c5.large, x1.large; there are m5.large "
                         "(1 row), r3.large (1 row)"));
  options.instance_types = {"m5.large"};
  EXPECT_EQ(lines(paths, options), Strings{"1 us-east-1a 100000000"});
  options.products = {"Linux/UNIX"};
  expect_said(lines(paths, options), "no prices of the product Linux/UNIX; there are \"Windows\"");
  options.instance_types = {"r3.large"};
  EXPECT_EQ(lines(paths, options), Strings{"2 us-east-1b 200000000"});
}

TEST_F(PriceFilesTest, TakeTheSameProductFromAllOfThem) {
  const Strings paths = {file("a.json", answer(row("1970-01-01T00:00:02Z", "us-east-1a", "0.2",
                                                   "r3.large", "Windows"))),
                         file("b.json", answer(row("1970-01-01T00:00:01Z", "us-east-1a", "0.1")))};
  EXPECT_EQ(lines(paths), Strings{"1 us-east-1a 100000000"});
}

TEST_F(PriceFilesTest, HavingATypeOnlyAsAnotherProductSaySo) {
  const std::string path = file(
      "a.json", answer(row("1970-01-01T00:00:02Z", "us-east-1a", "0.2", "m5.large", "Windows") +
                       "," + row("1970-01-01T00:00:01Z", "us-east-1a", "0.1")));
  PriceFileOptions options;
  options.instance_types = {"m5.large", "r3.large"};
  expect_said(
      lines({path}, options),
      "no prices of the product Linux/UNIX for m5.large, only of \"Windows\"; say of which");
  options.products = {"Linux/UNIX", "Windows"};
  EXPECT_EQ(lines({path}, options).size(), 2U);
}

TEST_F(PriceFilesTest, WithTypeAfterTypeTellEachDamageOnce) {
  const std::string path = file("types.csv",
                                "instance_type,epoch_s,az,usd_per_h\nm4.xlarge,3,a,0.1\n"
                                "m4.xlarge,4\n,5,a,0.1\nr3.large,2,b,free\nr3.large,2,b,0.2\n");
  const Strings all = lines({path});
  EXPECT_EQ(all.size(), 5U);
  expect_said(all, "types.csv:3: row: 2 fields where the header has 4");
  expect_said(all, "types.csv:4: instance_type: empty");
  expect_said(all, "types.csv:5: usd_per_h: \"free\" is no number");
}

TEST_F(PriceFilesTest, OfAnotherTypeByTheirNamesAreNotTakenForTheTypeThatIsAskedFor) {
  const Strings paths = {file("m3.medium.csv", "epoch_s,az,usd_per_h\n1,a,0.1\n"),
                         file("r3.large.csv", "epoch_s,az,usd_per_h\n2,b,0.2\n"),
                         file("others.csv", "epoch_s,az,usd_per_h\n3,c,0.3\n")};
  PriceFileOptions options;
  options.instance_types = {"r3.large"};
  EXPECT_EQ(lines(paths, options), (Strings{"2 us-east-1b 200000000", "3 us-east-1c 300000000"}));
  expect_said(
      lines(paths),
      "others.csv:1: there is no column instance_type; say which instance type "
      "these prices are of (--type, or types in a node's file; or put it into the file's name: "
      "r3.large.csv)");
}

TEST_F(PriceFilesTest, WithoutAPriceAreLeftOutWhereOthersHaveSome) {
  const std::string empty = file("empty.json", answer(""));
  const std::string header = file("r3.large.csv", "epoch_s,az,usd_per_h\n");
  const std::string some =
      file("some.json", answer(row("1970-01-01T00:00:01Z", "us-east-1a", "0.1")));
  const std::string of_no_type = file("others.csv", "epoch_s,az,usd_per_h\n");
  EXPECT_EQ(lines({empty, header, of_no_type, some}), Strings{"1 us-east-1a 100000000"});
  expect_said(lines({of_no_type}), "others.csv: the file has a header and no prices");
  expect_said(lines({empty}), "empty.json: the answer has no prices");
  expect_said(lines({header}), "r3.large.csv: the file has a header and no prices");
}

TEST_F(PriceFilesTest, InNoKnownFormAreRefusedWithTheFormsThatAre) {
  const std::pair<std::string, std::string> files[] = {
      {"SPOTPRICEHISTORY\tus-east-1a\tm3.medium\n",
       "in no known form; it begins with \"SPOTPRICEHISTORY?us-east-1a?m3.medium\". Known are: "
       "what `aws"},
      {"a,b,c\n1,2,3\n", "CSV with time_utc and a column for each zone (docs/prices.md)"},
      {"", "the file is empty. Known are: "},
      {"\xff\xfe{", "is UTF-16, as PowerShell writes it; iconv"},
      {"\x1f\x8b\x08", "is compressed; uncompress it first"},
      {"{\"Reservations\": []}", "neither an answer with SpotPriceHistory nor a row of one"},
      {"epoch_s,az,usd_per_h\n9,a,0.1\n5,a,0.1\n3,a,0.1\n1,a,0.1\n",
       "the prices of r3.large are not in the order of time, the oldest first; sort the file by "
       "epoch_s"},
      {"epoch_s,az,usd_per_h\n9,a,-0.1\n", ":2: usd_per_h: \"-0.1\" is negative"},
  };
  for (const auto& [content, said] : files) {
    const std::string path = file("r3.large", content);
    const auto feed = open_price_files({path}, {});
    EXPECT_TRUE(absl::IsInvalidArgument(feed.status())) << content << feed.status();
    EXPECT_TRUE(absl::StrContains(feed.status().message(), path));
    EXPECT_TRUE(absl::StrContains(feed.status().message(), said)) << feed.status();
  }
  EXPECT_TRUE(absl::IsInvalidArgument(open_price_files({}, {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(open_price_files(Strings(1000, "x"), {}).status()));
  EXPECT_TRUE(absl::IsNotFound(open_price_files({folder_ / "none"}, {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(open_price_files({folder_.path()}, {}).status()));
}

// As the live feed of Azure names them.
TEST_F(PriceFilesTest, OfACloudWhoseZonesAreItsRegionsHaveThoseRegions) {
  const std::string path = file("Standard_D2.csv",
                                "instance_type,epoch_s,az,usd_per_h\nStandard_D2,1,westeurope,0.1\n"
                                "Standard_D2,2,northeurope,0.2\nStandard_D2,3,westeurope,0.3\n");
  PriceFileOptions options;
  options.cloud = "azure";
  const auto contents = look_into_price_files({path}, options);
  ASSERT_TRUE(contents.ok()) << contents.status();
  EXPECT_EQ(contents->regions(), (std::set<std::string>{"northeurope", "westeurope"}));
  EXPECT_EQ(lines({path}, options).size(), 3U);
  options.only_region = "westeurope";
  const auto feed = open_price_files({path}, options);
  ASSERT_TRUE(feed.ok()) << feed.status();
  EXPECT_EQ(next_price(**feed)->place.id(), "azure/westeurope/westeurope/Standard_D2/spot");
  EXPECT_EQ(next_price(**feed)->since, absl::FromUnixSeconds(3));
  EXPECT_TRUE(absl::IsOutOfRange(next_price(**feed).status()));
}

TEST_F(PriceFilesTest, TellUntilWhenATablesLastRowHolds) {
  const Strings paths = {
      file("table.csv",
           "instance_type,epoch_s,us-east-1a\nr3.large,0,1\nr3.large,600,1\nr3.large,900,1\n"),
      file("events.csv",
           "instance_type,epoch_s,az,usd_per_h\nm4.xlarge,0,a,1\nm4.xlarge,300,a,2\n")};
  const auto contents = look_into_price_files(paths, {});
  ASSERT_TRUE(contents.ok()) << contents.status();
  EXPECT_EQ(contents->total("r3.large").last, absl::FromUnixSeconds(900));
  EXPECT_EQ(contents->total("r3.large").until, absl::FromUnixSeconds(1200));
  EXPECT_EQ(contents->total("m4.xlarge").last, absl::FromUnixSeconds(300));
  EXPECT_EQ(contents->total("m4.xlarge").until, absl::InfinitePast()) << "of events nobody knows";
}

TEST_F(PriceFilesTest, TellWhatIsInThemInWhateverOrder) {
  const Strings paths = {
      file("a.json",
           answer(row("2015-08-11T23:55:48Z", "us-east-1a", "0.1") + "," +
                  row("2015-08-11T23:55:48Z", "us-east-1a", "0.3", "r3.large", "Windows") + "," +
                  row("2015-08-11T23:55:48Z", "us-east-1a", "free"))),
      file(
          "types.csv",
          "instance_type,epoch_s,az,usd_per_h\nr3.large,2,b,1\nr3.large,1,b,1\nm4.xlarge,0,a,1\n")};
  const auto contents = look_into_price_files(paths, {});
  ASSERT_TRUE(contents.ok()) << contents.status();
  EXPECT_EQ(
      contents->text(),
      "m4.xlarge: 1 row in us-east-1a, 1970-01-01T00:00:00Z to 1970-01-01T00:00:00Z\n"
      "r3.large: 4 rows of Linux/UNIX, Windows in us-east-1a, us-east-1b, 1970-01-01T00:00:01Z to "
      "2015-08-11T23:55:48Z\n");
  EXPECT_EQ(contents->damaged, 1U);
  EXPECT_EQ(contents->total().rows, 5U);
  EXPECT_EQ(contents->instance_types(), (std::set<std::string>{"m4.xlarge", "r3.large"}));
  EXPECT_EQ(contents->zones(), (std::set<std::string>{"us-east-1a", "us-east-1b"}));
}

}  // namespace
}  // namespace supercloud
