// What EC2's Query API answers to DescribeSpotPriceHistory, version 2016-11-15. Elements that are not named here are ignored:
//
//   answer = <DescribeSpotPriceHistoryResponse> <requestId> <spotPriceHistorySet> *item [<nextToken>]
//   item   = <item> <instanceType> <productDescription> <spotPrice> <timestamp> <availabilityZone>
//   error  = <Response> <Errors> <Error> <Code> <Message> ... <RequestID>
//
// spotPrice is in decimal USD per hour, timestamp as 2026-01-01T07:50:00.000Z. An empty nextToken is none.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "actors/spot/price_feed.h"

namespace supercloud {

struct AwsPrices {
  std::string request_id;
  std::string next_token;  // empty: the last page
  std::vector<Price> prices;
  std::vector<absl::Status> damaged;  // DataLoss, naming request and item
};

struct AwsError {
  std::string code;     // "RequestLimitExceeded"
  std::string message;  // printable
  std::string request_id;
};

// Prices of other products are left out. DataLoss: these bytes are no such answer, or not all of it.
absl::StatusOr<AwsPrices> parse_aws_prices(std::string_view xml, const std::string& region,
                                           const std::string& product);

// With an empty code where the bytes say none.
AwsError parse_aws_error(std::string_view xml);

}  // namespace supercloud
