// Damaged answers of AWS: what is wrong is told by its place, and nothing else is lost.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "actors/spot/aws_json_feed.h"
#include "gtest/gtest.h"
#include "tests/actors/aws_json_text.h"
#include "tests/actors/price_lines.h"

namespace supercloud {
namespace {

TEST(DamagedAwsJson, LeavesOutDamagedRowsNamesThemAndGoesOn) {
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

TEST(DamagedAwsJson, NamesTheByteOfWhatIsDamaged) {
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

TEST(DamagedAwsJson, ReadsRowsWithoutACommaBetweenThemAndSaysSo) {
  const Lines lines =
      json_lines(absl::StrCat("[", three_rows[0], three_rows[1], ",", three_rows[2], ",]"));
  EXPECT_EQ(lines.size(), 4U);
  expect_said(lines, "a comma is missing before this row; it is read nevertheless");
}

TEST(DamagedAwsJson, OfTwoContradictingPricesTheFirstCounts) {
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

TEST(DamagedAwsJson, ThatWasCutOffAnywhereDeliversEveryWholeRowAndSaysSo) {
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

TEST(DamagedAwsJson, WhoseHeadIsMissingDeliversEveryWholeRow) {
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

std::size_t count_of(const std::string& what, const std::string& text) {
  std::size_t count = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

TEST(DamagedAwsJson, LosesOneRowAtMostWhereOneByteIsSpoilt) {
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
      // A row of another product is not damaged, only not wanted.
      const bool other_product = count_of("\"Linux/UNIX\"", spoilt) != three_rows.size();
      ASSERT_TRUE(prices == 3 || told > 0 || other_product) << spoilt;
    }
  }
}

TEST(DamagedAwsJson, SaysWhatIsWrongWithAFileThatIsNoneOfIts) {
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

TEST(DamagedAwsJson, TellsAThousandDamagesAndCountsTheRest) {
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

TEST(DamagedAwsJson, SaysThatTheFileIsBeingWrittenTo) {
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

}  // namespace
}  // namespace supercloud
