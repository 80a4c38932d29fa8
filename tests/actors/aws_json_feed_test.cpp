// What `aws ec2 describe-spot-price-history` prints, as a feed: in every order and layout, whole and damaged.
#include "actors/spot/aws_json_feed.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "core/random.h"
#include "gtest/gtest.h"
#include "tests/actors/price_lines.h"
#include "tests/storage/temporary_folder.h"

namespace supercloud {
namespace {

constexpr const char* usual_type = "r3.large";
constexpr const char* usual_product = "Linux/UNIX";

std::string time_text(std::int64_t seconds) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%S+00:00", absl::FromUnixSeconds(seconds),
                          absl::UTCTimeZone());
}

std::string json_row(std::int64_t seconds, const std::string& zone, const std::string& price,
                     const std::string& type = usual_type,
                     const std::string& product = usual_product) {
  return absl::StrCat(R"({"AvailabilityZone": "us-east-1)", zone, R"(", "InstanceType": ")", type,
                      R"(", "ProductDescription": ")", product, R"(", "SpotPrice": ")", price,
                      R"(", "Timestamp": ")", time_text(seconds), "\"}");
}

std::string answer(const std::vector<std::string>& rows) {
  return absl::StrCat("{\n \"SpotPriceHistory\": [\n  ", absl::StrJoin(rows, ",\n  "), "\n ]\n}\n");
}

absl::StatusOr<std::unique_ptr<AwsJsonFeed>> read_json(const std::string& text,
                                                       AwsJsonOptions options = {}) {
  return AwsJsonFeed::read(text_bytes("prices.json", text), std::move(options));
}

std::vector<std::string> json_lines(const std::string& text, AwsJsonOptions options = {}) {
  const auto feed = read_json(text, std::move(options));
  if (!feed.ok()) return {std::string(feed.status().message())};
  return price_lines(**feed);
}

using Lines = std::vector<std::string>;

const Lines three_lines = {"100 us-east-1a 100000000", "200 us-east-1b 200000000",
                           "300 us-east-1a 300000000"};
const Lines three_rows = {json_row(300, "a", "0.300000"), json_row(200, "b", "0.2"),
                          json_row(100, "a", "0.1")};

TEST(AwsJsonFeed, DeliversTheOldestFirstOfAnAnswerThatHasTheNewestFirst) {
  EXPECT_EQ(json_lines(answer(three_rows)), three_lines);
}

TEST(AwsJsonFeed, SaysCloudRegionZoneAndTypeOfAPlace) {
  const auto feed = read_json(R"([{"AvailabilityZone":"eu-west-1-bos-1a","InstanceType":"m5.large",
    "ProductDescription":"Windows","SpotPrice":"0.01","Timestamp":"2014-01-06T07:10:55.250Z"}])");
  const Price price = next_price(**feed).value();
  EXPECT_EQ(price.place.id(), "aws/eu-west-1/eu-west-1-bos-1a/m5.large/spot");
  EXPECT_EQ(price.since, absl::FromUnixMillis(1'388'992'255'250));
}

TEST(AwsJsonFeed, ReadsEveryLayoutAndWhatAPipeLeavesOfIt) {
  const std::string text = answer(three_rows);
  EXPECT_EQ(json_lines(absl::StrReplaceAll(text, {{" ", ""}, {"\n", ""}})), three_lines)
      << "compact";
  EXPECT_EQ(
      json_lines(absl::StrReplaceAll(text, {{"\n", "\r\n\t  "}, {"\": ", "\" \n:\n "}})).size(),
      3U);
  EXPECT_EQ(json_lines("\xef\xbb\xbf" + text), three_lines) << "byte order mark";
  EXPECT_EQ(json_lines(absl::StrCat("[", absl::StrJoin(three_rows, ","), "]")), three_lines)
      << "--query SpotPriceHistory";
  EXPECT_EQ(json_lines(absl::StrJoin(three_rows, "\n")), three_lines)
      << "jq -c .SpotPriceHistory[]";
  EXPECT_EQ(json_lines(absl::StrCat("[", answer({three_rows[0], three_rows[1]}), ",",
                                    answer({three_rows[2]}), "]")),
            three_lines)
      << "jq -s";
  EXPECT_EQ(json_lines(absl::StrCat("{\"NextToken\": \"a{b\", \"SpotPriceHistory\": [",
                                    absl::StrJoin(three_rows, ","),
                                    "], \"Meta\": {\"a\": [{}, \"]\"]}, \"Count\": 3}")),
            three_lines);
}

TEST(AwsJsonFeed, ReadsEscapesUnknownMembersNumbersAndMembersInAnyOrder) {
  const std::string text = answer(
      {R"({"Timestamp":"1970-01-01T00:01:40Z","Extra":{"a":[1,{"b":"}"}]},"SpotPrice":0.1,)"
       R"("AvailabilityZone":"us\u002deast-1\u0061","Instance\u0054ype":"r3.large",)"
       R"("ProductDescription":"Linux\/UNIX","AvailabilityZoneId":"use1-az1","Note":"\ud83d\ude00\n",)"
       R"("Gone":null,"Old":false,"Size":-1.5E+3})"});
  EXPECT_EQ(json_lines(text), Lines{"100 us-east-1a 100000000"});
}

TEST(AwsJsonFeed, ReadsPagesThatFollowEachOtherInAnyOrderAndOverlap) {
  const std::string newer = answer({three_rows[0], three_rows[1]});
  const std::string older = answer({three_rows[1], three_rows[2]});
  EXPECT_EQ(json_lines(newer + older), three_lines);
  EXPECT_EQ(json_lines(older + newer), three_lines);
  EXPECT_EQ(json_lines(older + "{\"SpotPriceHistory\": []}" + newer), three_lines);
  const auto feed = read_json(newer + older);
  price_lines(**feed);
  EXPECT_EQ((*feed)->duplicates(), 1U);
}

TEST(AwsJsonFeed, DeliversPricesOfOneTimeInTheOrderOfPlaces) {
  const Lines expected = {"100 us-east-1a 100000000", "100 us-east-1b 200000000",
                          "100 us-east-1c 300000000"};
  Lines rows = {json_row(100, "b", "0.2"), json_row(100, "a", "0.1"), json_row(100, "c", "0.3")};
  std::sort(rows.begin(), rows.end());
  do {
    EXPECT_EQ(json_lines(answer(rows)), expected);
  } while (std::next_permutation(rows.begin(), rows.end()));
}

TEST(AwsJsonFeed, KeepsOnlyTheTypesThatAreWantedAndListsWhatThereIs) {
  const std::string text =
      answer({json_row(3, "a", "0.3", "m4.xlarge"), json_row(2, "a", "0.2"),
              json_row(1, "b", "nonsense", "m4.xlarge"), json_row(1, "a", "0.1")});
  AwsJsonOptions options;
  options.instance_types = {usual_type};
  EXPECT_EQ(json_lines(text, options), (Lines{"1 us-east-1a 100000000", "2 us-east-1a 200000000"}));
  options.instance_types = {"c5.large"};
  const auto missing = read_json(text, options);
  EXPECT_TRUE(absl::IsNotFound(missing.status()));
  EXPECT_EQ(missing.status().message(),
            "prices.json: no prices of c5.large; there are m4.xlarge (2 rows), r3.large (2 rows)");
}

TEST(AwsJsonFeed, TakesLinuxOfSeveralProductsTheOnlyOneOfOneAndAsksElse) {
  const auto file = [](const std::string& one, const std::string& other) {
    return answer(
        {json_row(2, "a", "0.2", usual_type, one), json_row(1, "a", "0.1", usual_type, other)});
  };
  EXPECT_EQ(json_lines(file("Windows", "Linux/UNIX")), Lines{"1 us-east-1a 100000000"});
  EXPECT_EQ(json_lines(file("Windows", "Windows")).size(), 2U);
  expect_said(json_lines(file("Windows", "SUSE Linux")),
              "there are prices of the products \"SUSE Linux\", \"Windows\"; say of which to take");
  AwsJsonOptions options;
  options.products = {"Windows"};
  EXPECT_EQ(json_lines(file("Windows", "Linux/UNIX"), options), Lines{"2 us-east-1a 200000000"});
  options.products = {"Red Hat"};
  expect_said(
      json_lines(file("Windows", "Linux/UNIX"), options),
      "prices.json: no prices of the product Red Hat; there are \"Linux/UNIX\", \"Windows\"");
  options.products = {"Windows", "Linux/UNIX"};
  expect_said(json_lines(file("Windows", "Linux/UNIX"), options),
              "r3.large in us-east-1a has prices of the products");
}

TEST(AwsJsonFeed, DeliversThePricesInForceFirstWhenItBeginsLater) {
  const std::string text =
      answer({json_row(70, "b", "0.6"), json_row(60, "a", "0.5"), json_row(50, "c", "0.4"),
              json_row(30, "a", "0.3"), json_row(20, "b", "0.2"), json_row(10, "a", "0.1")});
  AwsJsonOptions options;
  options.block_bytes = 1;
  options.from = absl::FromUnixSeconds(50);
  EXPECT_EQ(json_lines(text, options),
            (Lines{"20 us-east-1b 200000000", "30 us-east-1a 300000000", "50 us-east-1c 400000000",
                   "60 us-east-1a 500000000", "70 us-east-1b 600000000"}));
  options.from = absl::FromUnixSeconds(1000);
  EXPECT_EQ(json_lines(text, options), (Lines{"50 us-east-1c 400000000", "60 us-east-1a 500000000",
                                              "70 us-east-1b 600000000"}));
  options.from = absl::FromUnixSeconds(5);
  EXPECT_EQ(json_lines(text, options).size(), 6U);
}

// Any rows, in any order and layout, read in blocks of any size, come as if they had been sorted in memory.
TEST(AwsJsonFeed, DeliversWhatSortingDoesWhateverTheOrderOfTheFile) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Random random(seed);
    using Key = std::tuple<std::int64_t, std::string>;
    std::map<Key, std::int64_t> prices;
    for (std::uint64_t i = random.below(200) + 1; i > 0; --i) {
      const std::string zone(1, static_cast<char>('a' + random.below(4)));
      prices[{random.between(0, 500), zone}] = random.between(1, 999'999);
    }
    const absl::Time from = random.chance(500'000) ? absl::InfinitePast()
                                                   : absl::FromUnixSeconds(random.between(0, 600));
    std::map<std::string, std::tuple<std::int64_t, std::string, std::int64_t>> in_force;
    Lines rows, expected;
    for (const auto& [key, micro] : prices) {
      const auto& [seconds, zone] = key;
      rows.push_back(json_row(seconds, zone, absl::StrCat(micro, "e-6")));
      if (absl::FromUnixSeconds(seconds) <= from)
        in_force[zone] = {seconds, zone, micro};
      else
        expected.push_back(absl::StrCat(seconds, " us-east-1", zone, " ", micro * 1000));
    }
    std::vector<std::tuple<std::int64_t, std::string, std::int64_t>> first;
    for (const auto& [zone, price] : in_force) first.push_back(price);
    std::sort(first.rbegin(), first.rend());
    for (const auto& [seconds, zone, micro] : first)
      expected.insert(expected.begin(),
                      absl::StrCat(seconds, " us-east-1", zone, " ", micro * 1000));

    const std::uint64_t order = random.below(4);
    if (order == 0) std::reverse(rows.begin(), rows.end());
    if (order == 1)  // nearly: a few out of their places
      for (int i = 0; i < 5; ++i)
        std::swap(rows[random.below(rows.size())], rows[random.below(rows.size())]);
    if (order == 2)
      for (std::size_t i = rows.size(); i > 1; --i) std::swap(rows[i - 1], rows[random.below(i)]);
    std::string text;
    for (std::size_t i = 0; i < rows.size();) {
      const std::size_t page = std::min<std::size_t>(rows.size() - i, random.below(50) + 1);
      text += answer(Lines(rows.begin() + static_cast<std::ptrdiff_t>(i),
                           rows.begin() + static_cast<std::ptrdiff_t>(i + page)));
      i += page;
    }
    if (random.chance(500'000)) text = absl::StrReplaceAll(text, {{" ", ""}, {"\n", ""}});
    AwsJsonOptions options;
    options.from = from;
    options.block_bytes = random.below(3000) + 1;
    ASSERT_EQ(json_lines(text, options), expected) << "seed " << seed;
  }
}

TEST(AwsJsonFeed, HoldsNoMoreRowsThanOverlapAndRefusesAFileInNoOrder) {
  Lines sorted, shuffled;
  for (int i = 2000; i > 0; --i) sorted.push_back(json_row(i, "a", "0.1"));
  for (int i = 0; i < 2000; ++i) shuffled.push_back(json_row((i * 997) % 2000, "a", "0.1"));
  AwsJsonOptions options;
  options.block_bytes = 1000;
  options.rows_held_max = 50;
  const auto feed = read_json(answer(sorted), options);
  ASSERT_TRUE(feed.ok()) << feed.status();
  EXPECT_EQ(price_lines(**feed).size(), 2000U);
  EXPECT_LE((*feed)->most_held(), 20U);
  const auto refused = read_json(answer(shuffled), options);
  EXPECT_TRUE(absl::IsInvalidArgument(refused.status()));
  EXPECT_TRUE(
      absl::StrContains(refused.status().message(), "prices.json: its rows are in no order: "))
      << refused.status();
}

// ---- damage

TEST(AwsJsonFeed, LeavesOutDamagedRowsNamesThemAndGoesOn) {
  const auto but = [](const char* from, const std::string& to) {
    return absl::StrReplaceAll(json_row(250, "a", "0.25"), {{from, to}});
  };
  const std::pair<std::string, std::string> damages[] = {
      {but("0.25", "-0.25"), "SpotPrice: \"-0.25\" is negative"},
      {but("0.25", "0"), "SpotPrice: \"0\" is not greater than 0"},
      {but("0.25", "cheap"), "SpotPrice: \"cheap\" is no number"},
      {but("0.25", "123456"), "SpotPrice: \"123456\" is more than 1000 USD per hour"},
      {but("\"0.25\"", "null"), "SpotPrice: \"\" is no number"},
      {but("SpotPrice", "spotprice"), "SpotPrice: \"\" is no number"},
      {but("1970", "1870"),
       "Timestamp: \"1870-01-01T00:04:10+00:00\" is no time from 1970 to 2100"},
      {but("01-01", "02-30"), "is no time from 1970 to 2100 such as 2015-08-11T23:55:48+00:00"},
      {but("\"1970", "\"x1970"), "Timestamp: \"x1970-01-01T00:04:10+00:00\" is no time"},
      {but("Timestamp", "When"), "Timestamp: \"\" is no time"},
      {but("us-east-1a", "mars"),
       "AvailabilityZone: \"mars\" is no zone's name such as us-east-1a"},
      {but("us-east-1a", "us-east-1\\na"),
       "AvailabilityZone: \"us-east-1?a\" has more than 64 bytes"},
      {but("us-east-1a", std::string(65, 'a')), "AvailabilityZone: \"aaaa"},
      {but("AvailabilityZone", "Zone"), "AvailabilityZone: missing, or no text"},
      {but("InstanceType", "Type"), "InstanceType: missing, or no text"},
      {but("r3.large", std::string(70'000, 'r')), "goes on for more than 64 KiB"},
      {but("ProductDescription", "Product"), "ProductDescription: missing, or no text"},
      {but("\"SpotPrice\":", "\"SpotPrice\""), "a colon is expected after a member's name"},
      {but("\"r3.large\",", "\"r3.large\""), "a comma or } is expected after a member"},
      {but("\"r3.large\"", "r3.large"),
       "a text in quotes, a number, true, false or null is expected"},
      {but("large\"", "large"), "a comma or } is expected after a member"},
      {but("large", "la\\xrge"), "no escape of JSON"},
      {but("large", "\\ud800 "), "half a surrogate pair"},
      {but("large", "la\nrge"), "a control character within quotes"},
      {but("\"}", "\"]"), "a comma or } is expected after a member"},
      {but("\"}", "\""), "a member's name in quotes is expected"},
      {"7", "a row, a comma or ] is expected"},
      {"{}", "neither an answer with SpotPriceHistory nor a row of one"},
  };
  for (const auto& [row, said] : damages) {
    Lines lines = json_lines(answer({three_rows[0], row, three_rows[1], three_rows[2]}));
    ASSERT_EQ(lines.size(), 4U) << row << testing::PrintToString(lines);
    EXPECT_TRUE(absl::StrContains(lines[0], "prices.json: byte ")) << lines[0];
    EXPECT_TRUE(absl::StrContains(lines[0], said)) << lines[0] << "\nnot: " << said;
    lines.erase(lines.begin());
    EXPECT_EQ(lines, three_lines) << row;
  }
}

TEST(AwsJsonFeed, NamesTheByteOfWhatIsDamaged) {
  const std::string text = answer({three_rows[0], json_row(250, "a", "-1"), three_rows[1]});
  const std::string begin = absl::StrCat(text.find("-1\"") - json_row(250, "a", "-1").find("-1\""));
  expect_said(json_lines(text), absl::StrCat("prices.json: byte ", begin, ": SpotPrice"));
  const std::string cut =
      absl::StrReplaceAll(text, {{"\"SpotPrice\": \"-1\"", "\"SpotPrice\"= 1"}});
  expect_said(json_lines(cut),
              absl::StrCat("prices.json: byte ", cut.find('='),
                           ": a colon is expected after a member's name; the row from byte ", begin,
                           " on is left out"));
}

TEST(AwsJsonFeed, ReadsRowsWithoutACommaBetweenThemAndSaysSo) {
  const Lines lines =
      json_lines(absl::StrCat("[", three_rows[0], three_rows[1], ",", three_rows[2], ",]"));
  EXPECT_EQ(lines.size(), 4U);
  expect_said(lines, "a comma is missing before this row; it is read nevertheless");
}

TEST(AwsJsonFeed, OfTwoContradictingPricesTheFirstCounts) {
  const std::string text = answer({json_row(100, "a", "0.1"), json_row(100, "a", "0.7"),
                                   json_row(100, "a", "0.1"), json_row(90, "a", "0.2")});
  const Lines expected = {"90 us-east-1a 200000000", "100 us-east-1a 100000000"};
  for (const std::int64_t from : {0, 100}) {
    AwsJsonOptions options;
    options.from = absl::FromUnixSeconds(from);
    const Lines lines = json_lines(text, options);
    expect_said(lines, "SpotPrice: another price for the same time and place as at byte ");
    expect_said(lines, "100 us-east-1a 100000000");
    EXPECT_EQ(lines.size(), from == 0 ? 3U : 2U);
  }
}

TEST(AwsJsonFeed, ThatWasCutOffAnywhereDeliversEveryWholeRowAndSaysSo) {
  const std::string text = answer(three_rows);
  for (std::size_t size = 1; size < text.size() - 2; ++size) {
    const std::string cut = text.substr(0, size);
    const auto whole = static_cast<std::size_t>(std::count(cut.begin(), cut.end(), '}'));
    Lines lines = json_lines(cut);
    ASSERT_EQ(lines.size(), whole + 1) << cut << testing::PrintToString(lines);
    EXPECT_TRUE(absl::StrContains(lines[0], "cut off; fetch it again") ||
                absl::StrContains(lines[0], "ask for another --start-time"))
        << lines[0];
    // and a whole answer after it is read as well
    lines = json_lines(cut + answer({json_row(400, "e", "0.4")}));
    ASSERT_EQ(lines.back(), "400 us-east-1e 400000000") << cut;
    ASSERT_EQ(lines.size(), whole + 2) << cut << testing::PrintToString(lines);
  }
}

TEST(AwsJsonFeed, WhoseHeadIsMissingDeliversEveryWholeRow) {
  const std::string text = answer(three_rows);
  for (std::size_t size = 1; size + 10 < text.size(); ++size) {
    const std::string cut = text.substr(size);
    const Lines lines = json_lines(cut);
    const auto whole =
        std::min<std::size_t>(3, static_cast<std::size_t>(std::count(cut.begin(), cut.end(), '{')));
    const auto delivered = std::count_if(lines.begin(), lines.end(), [](const std::string& line) {
      return !absl::StrContains(line, "prices.json");
    });
    ASSERT_EQ(delivered, static_cast<std::ptrdiff_t>(whole))
        << cut << testing::PrintToString(lines);
  }
}

TEST(AwsJsonFeed, LosesOneRowAtMostWhereOneByteIsSpoilt) {
  const std::string text = answer(three_rows);
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (const char c : {'"', '{', '}', '[', ']', ',', ':', '\\', 'x', '7', ' ', '\0'}) {
      std::string spoilt = text;
      spoilt[i] = c;
      const auto feed = read_json(spoilt);
      ASSERT_TRUE(feed.ok()) << feed.status() << spoilt;
      int prices = 0;
      int told = 0;
      absl::Time last = absl::InfinitePast();
      for (auto price = next_price(**feed); !absl::IsOutOfRange(price.status());
           price = next_price(**feed)) {
        prices += price.ok() ? 1 : 0;
        told += price.ok() ? 0 : 1;
        if (!price.ok()) continue;
        ASSERT_GE(price->since, last);
        last = price->since;
      }
      ASSERT_GE(prices, 2) << spoilt;
      ASSERT_TRUE(prices == 3 || told > 0 || absl::StrContains(spoilt, "/UNIX")) << spoilt;
    }
  }
}

TEST(AwsJsonFeed, SaysWhatIsWrongWithAFileThatIsNoneOfIts) {
  expect_said(json_lines(""), "prices.json: the file is empty; save what `aws ec2");
  expect_said(json_lines(" \n"), "prices.json: nothing but white space");
  expect_said(json_lines("{\"SpotPriceHistory\": []}"),
              "prices.json: the answer has no prices; ask for another --start-time");
  expect_said(json_lines("epoch_s,az,usd_per_h\n1,a,2\n"),
              "prices.json: byte 0: this is not what `aws ec2 describe-spot-price-history");
  expect_said(json_lines("{\"Reservations\": [{\"Groups\": []}]}"),
              "neither an answer with SpotPriceHistory nor a row of one");
  EXPECT_TRUE(absl::IsInvalidArgument(read_json("").status()));
  EXPECT_TRUE(absl::IsNotFound(read_json("{\"SpotPriceHistory\": []}").status()));
  EXPECT_TRUE(absl::IsNotFound(AwsJsonFeed::open("/nonexistent.json", {}).status()));
  EXPECT_TRUE(absl::StrContains(AwsJsonFeed::open("/", {}).status().message(), "is a folder"));
}

TEST(AwsJsonFeed, TellsAThousandDamagesAndCountsTheRest) {
  Lines rows(1500, json_row(1, "a", "-1"));
  rows.push_back(json_row(1, "a", "1"));
  const Lines lines = json_lines(answer(rows));
  ASSERT_EQ(lines.size(), 1002U);
  EXPECT_EQ(lines[1000], "prices.json: 500 more damaged rows are left out; fetch the file again");
}

// Bytes that are others at the second reading.
class ChangingBytes final : public ByteSource {
 public:
  ChangingBytes(std::string first, std::string second)
      : first_(std::move(first)), second_(std::move(second)) {}
  const std::string& name() const override { return name_; }
  std::uint64_t size() const override { return first_.size(); }
  absl::StatusOr<std::size_t> read(std::uint64_t offset, char* to, std::size_t count) override {
    const std::string& text = offset < last_ ? second_ : first_;
    if (offset < last_) first_ = second_;
    last_ = offset + 1;
    return offset >= text.size() ? 0 : text.copy(to, count, static_cast<std::size_t>(offset));
  }

 private:
  std::string name_ = "prices.json";
  std::string first_, second_;
  std::uint64_t last_ = 0;
};

TEST(AwsJsonFeed, SaysThatTheFileIsBeingWrittenTo) {
  Lines rows;
  for (int i = 100; i > 0; --i) rows.push_back(json_row(i + 1000, "a", "0.1"));
  const std::string before = answer(rows);
  const std::string older = absl::StrReplaceAll(before, {{"00:17:", "00:10:"}});
  for (const std::string& after : {before.substr(0, 100), older, std::string(before.size(), '{')}) {
    AwsJsonOptions options;
    options.block_bytes = 1000;
    const auto feed =
        AwsJsonFeed::read(std::make_unique<ChangingBytes>(before, after), std::move(options));
    ASSERT_TRUE(feed.ok());
    absl::Time last = absl::InfinitePast();
    Lines said;
    for (auto price = next_price(**feed); !absl::IsOutOfRange(price.status());
         price = next_price(**feed)) {
      if (!price.ok()) said.emplace_back(price.status().message());
      if (!price.ok()) continue;
      EXPECT_GE(price->since, last);
      last = price->since;
    }
    if (after != older) expect_said(said, "the file is being written to; read a copy of it");
  }
}

// A few rows at the beginning of many bytes, a few at their end, and nothing in between.
class FarBytes final : public ByteSource {
 public:
  FarBytes(std::string head, std::string tail, std::uint64_t size)
      : head_(std::move(head)), tail_(std::move(tail)), size_(size) {}
  const std::string& name() const override { return name_; }
  std::uint64_t size() const override { return size_; }
  absl::StatusOr<std::size_t> read(std::uint64_t offset, char* to, std::size_t count) override {
    const std::uint64_t tail = size_ - tail_.size();
    count = static_cast<std::size_t>(std::min<std::uint64_t>(count, size_ - offset));
    std::memset(to, 0, count);
    if (offset < head_.size()) head_.copy(to, count, static_cast<std::size_t>(offset));
    if (offset >= tail) {
      tail_.copy(to, count, static_cast<std::size_t>(offset - tail));
    } else if (offset + count > tail) {
      const auto before = static_cast<std::size_t>(tail - offset);
      tail_.copy(to + before, count - before);
    }
    return count;
  }

 private:
  std::string name_ = "prices.json";
  std::string head_, tail_;
  std::uint64_t size_;
};

// Offsets beyond 31 bits, and not a block that is as long as the gap.
TEST(AwsJsonFeed, ReadsMoreThanTwoGiB) {
  const std::string head = absl::StrCat("{\"SpotPriceHistory\": [", three_rows[0], ",");
  const std::string tail = absl::StrCat(three_rows[1], ",", three_rows[2], "]}");
  constexpr std::uint64_t size = (std::uint64_t{2} << 30) + 12'345;
  const auto feed = AwsJsonFeed::read(std::make_unique<FarBytes>(head, tail, size), {});
  ASSERT_TRUE(feed.ok()) << feed.status();
  Lines lines = price_lines(**feed);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0], absl::StrCat("prices.json: byte ", head.size(),
                                   ": a row, a comma or ] is expected; nothing is read up to the "
                                   "next row"));
  lines.erase(lines.begin());
  EXPECT_EQ(lines, three_lines);
}

TEST(ByteSource, ReadsAFileOfMoreThanFourGiBAnywhere) {
  const TemporaryFolder folder;
  const std::string path = folder / "large";
  constexpr std::uint64_t far = (std::uint64_t{4} << 30) + 12'345;
  const int file = ::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  ASSERT_GE(file, 0);
  ASSERT_EQ(::pwrite(file, "rows", 4, static_cast<off_t>(far)), 4);
  ::close(file);
  const auto bytes = open_file_bytes(path);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ((*bytes)->size(), far + 4);
  std::string read(10, '.');
  EXPECT_EQ((*bytes)->read(far - 2, read.data(), read.size()).value(), 6U);
  EXPECT_EQ(read, std::string("\0\0rows....", 10));
  EXPECT_EQ((*bytes)->read(far + 100, read.data(), read.size()).value(), 0U);
}

}  // namespace
}  // namespace supercloud
