#include <string>

#include "actors/spot/place.h"
#include "actors/spot/price_text.h"
#include "core/topic.h"
#include "gtest/gtest.h"

namespace supercloud {
namespace {

constexpr Money most{1'000'000'000'000};

TEST(PlaceName, ReadsBackWhatItWrote) {
  const PlaceName place{"aws", "us-east-1", "us-east-1a", "r3.large", true};
  EXPECT_EQ(place.id(), "aws/us-east-1/us-east-1a/r3.large/spot");
  EXPECT_EQ(PlaceName::parse(place.id()).value(), place);
  PlaceName on_demand = place;
  on_demand.spot = false;
  EXPECT_EQ(on_demand.id(), "aws/us-east-1/us-east-1a/r3.large/on-demand");
  EXPECT_EQ(PlaceName::parse(on_demand.id()).value(), on_demand);
}

TEST(PlaceName, EscapesSlashesPercentSignsAndControlCharacters) {
  const PlaceName place{"own/dc", "50%", "a\nb", "gr\xc3\xbcn", false};
  EXPECT_EQ(place.id(), "own%2Fdc/50%25/a%0Ab/gr\xc3\xbcn/on-demand");
  EXPECT_EQ(PlaceName::parse(place.id()).value(), place);
}

TEST(PlaceName, SaysWhatIsWrongAndHowToWriteAPlace) {
  for (const auto& [text, what] : std::vector<std::pair<std::string, std::string>>{
           {"", "fewer than five parts"},
           {"aws/us-east-1/a/r3.large", "fewer than five parts"},
           {"aws//a/r3.large/spot", "its region is empty"},
           {"aws/us-east-1/a/r3.large/spott", "neither \"spot\" nor"},
           {"aws/us-east-1/a/r3.large/spot/more", "neither \"spot\" nor"},
           {"aws/us%2/a/r3.large/spot", "not followed by two"}}) {
    const auto place = PlaceName::parse(text);
    ASSERT_FALSE(place.ok()) << text;
    EXPECT_NE(place.status().message().find(what), absl::string_view::npos) << place.status();
    EXPECT_NE(place.status().message().find("cloud/region/zone/type/spot"),
              absl::string_view::npos);
  }
}

TEST(PlaceSubject, IsTheIdWhereThatFitsAndADistinctShorterTextElsewhere) {
  const std::string fits = PlaceName{"aws", "us-east-1", "us-east-1a", "r3.large", false}.id();
  EXPECT_EQ(place_subject(fits), fits);
  const PlaceName a{"azure", "southcentralus", "southcentralus-1", "Standard_NC48ads_A100_v4",
                    true};
  PlaceName b = a;
  b.spot = false;
  for (const PlaceName& place : {a, b}) {
    EXPECT_LE(encode_token(place_subject(place.id())).size(), token_bytes_max);
  }
  EXPECT_NE(place_subject(a.id()), place_subject(b.id()));
}

TEST(ParsePrice, IsExactToTheNanoDollar) {
  EXPECT_EQ(parse_price("0.0331", most)->nano_usd, 33'100'000);
  EXPECT_EQ(parse_price("3.31e-2", most)->nano_usd, 33'100'000);
  EXPECT_EQ(parse_price("331E-4", most)->nano_usd, 33'100'000);
  EXPECT_EQ(parse_price("1", most)->nano_usd, 1'000'000'000);
  EXPECT_EQ(parse_price("1000", most)->nano_usd, most.nano_usd);
  EXPECT_EQ(parse_price(".5", most)->nano_usd, 500'000'000);
  EXPECT_EQ(parse_price("0.000000001", most)->nano_usd, 1);
  EXPECT_EQ(parse_price("0.0000000014", most)->nano_usd, 1);
  EXPECT_EQ(parse_price("0.0000000015", most)->nano_usd, 2);
  EXPECT_EQ(parse_price("0.1234567890123456789012345678901234567890", most)->nano_usd, 123'456'789);
}

TEST(ParsePrice, RefusesWhatIsNoPrice) {
  for (const char* text :
       {"",      "-",       ".",        "-0.1",         "nan",   "NaN",
        "inf",   "-inf",    "0",        "0.0000000000", "0x10",  "1,5",
        "1.2.3", "1e",      "1e999",    "1000.0001",    "1e300", "99999999999999999999999",
        "1e99",  "0.1 USD", "\xff\xfe", "0.00000000049"}) {
    const auto price = parse_price(text, most);
    EXPECT_FALSE(price.ok()) << text << " was read as " << price->nano_usd;
  }
}

}  // namespace
}  // namespace supercloud
