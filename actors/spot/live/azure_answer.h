// What Azure's Retail Prices API answers. Members that are not named here are ignored:
//
//   answer = { "Items": [ *item ], "NextPageLink": URL or null }
//   item   = { "currencyCode", "unitPrice" (or "retailPrice"), "unitOfMeasure": "1 Hour", "type": "Consumption",
//              "armRegionName", "armSkuName", "productName", "skuName", "meterName", "tierMinimumUnits",
//              "effectiveStartDate", ["effectiveEndDate"] }
//
// An item is a spot price where "Spot" stands in its skuName or meterName; "Low Priority", reservations, prices for development
// and tests, further tiers, and the products Cloud Services and Dedicated Host are left out. productName tells Windows; the zone
// is the region, for Azure prices no smaller place.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "actors/spot/price_feed.h"

namespace supercloud {

struct AzureWanted {
  std::string region;         // armRegionName
  std::string instance_type;  // armSkuName
  bool windows = false;
  absl::Time now;  // prices that begin later, or have ended, are left out
};

struct AzurePrices {
  std::vector<Price> prices;          // spot and on-demand, in any order
  std::vector<absl::Status> damaged;  // DataLoss, naming request and item
  std::string next_link;              // empty: the last page
};

// `request` is for messages. DataLoss: these bytes are no such answer, or not all of it.
absl::StatusOr<AzurePrices> parse_azure_prices(std::string_view json, const AzureWanted& wanted,
                                               std::string_view request);

}  // namespace supercloud
