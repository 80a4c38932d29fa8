#include "actors/spot/live/aws_answer.h"

#include <optional>
#include <pugixml.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/spot/live/foreign_text.h"
#include "actors/spot/price_text.h"

namespace supercloud {
namespace {

constexpr std::size_t token_bytes_most = 16 << 10;

// One price, or what is wrong with it; nullopt: of another product.
absl::StatusOr<std::optional<Price>> aws_price(const pugi::xml_node& item,
                                               const std::string& region,
                                               const std::string& product) {
  const auto damage = [&item](const char* field, std::string_view why) {
    return absl::DataLossError(absl::StrCat("<", field, "> ", shown_text(item.child_value(field)),
                                            ": ", std::string(why)));
  };
  if (item.child_value("productDescription") != product) return std::nullopt;
  Price price;
  price.place.cloud = "aws";
  price.place.region = region;
  price.place.zone = item.child_value("availabilityZone");
  price.place.instance_type = item.child_value("instanceType");
  if (!is_cloud_name(price.place.zone)) return damage("availabilityZone", "is no name of a zone");
  if (!is_cloud_name(price.place.instance_type))
    return damage("instanceType", "is no name of an instance type");
  const absl::StatusOr<Money> amount =
      parse_price(item.child_value("spotPrice"), price_per_hour_max);
  if (!amount.ok()) return damage("spotPrice", std::string(amount.status().message()));
  price.usd_per_hour = *amount;
  const std::optional<absl::Time> since = foreign_time(item.child_value("timestamp"));
  if (!since) return damage("timestamp", "is no time from 1970 to 2100");
  price.since = *since;
  return price;
}

}  // namespace

absl::StatusOr<AwsPrices> parse_aws_prices(std::string_view xml, const std::string& region,
                                           const std::string& product) {
  pugi::xml_document document;
  const pugi::xml_parse_result parsed = document.load_buffer(xml.data(), xml.size());
  if (!parsed)
    return absl::DataLossError(absl::StrCat("no XML, or not all of it: ", parsed.description(),
                                            " at byte ", parsed.offset));
  const pugi::xml_node root = document.child("DescribeSpotPriceHistoryResponse");
  const pugi::xml_node set = root.child("spotPriceHistorySet");
  if (!set)
    return absl::DataLossError("XML, but no <DescribeSpotPriceHistoryResponse> with its set");
  AwsPrices answer;
  answer.request_id = shown_text(root.child_value("requestId"));
  answer.next_token = root.child_value("nextToken");
  if (answer.next_token.size() > token_bytes_most)
    return absl::DataLossError(
        absl::StrCat("a <nextToken> of more than ", token_bytes_most, " bytes"));
  std::size_t number = 0;
  for (const pugi::xml_node& item : set.children("item")) {
    ++number;
    absl::StatusOr<std::optional<Price>> price = aws_price(item, region, product);
    if (!price.ok()) {
      answer.damaged.push_back(absl::DataLossError(
          absl::StrCat("DescribeSpotPriceHistory request ", answer.request_id, ", item ", number,
                       ": ", price.status().message(), "; the item is left out")));
    } else if (price->has_value()) {
      answer.prices.push_back(**std::move(price));
    }
  }
  return answer;
}

AwsError parse_aws_error(std::string_view xml) {
  pugi::xml_document document;
  AwsError error;
  if (!document.load_buffer(xml.data(), xml.size())) return error;
  const pugi::xml_node root = document.document_element();
  const pugi::xml_node first = root.child("Errors").child("Error");
  error.code = shown_text(first.child_value("Code"));
  error.message = shown_text(first.child_value("Message"), 200);
  error.request_id = shown_text(root.child_value("RequestID"));
  return error;
}

}  // namespace supercloud
