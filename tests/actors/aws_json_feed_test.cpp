// What `aws ec2 describe-spot-price-history` prints, as a feed: in every order and layout.
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
#include "tests/actors/aws_json_text.h"
#include "tests/actors/price_lines.h"
#include "tests/storage/temporary_folder.h"

namespace supercloud {
namespace {

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
