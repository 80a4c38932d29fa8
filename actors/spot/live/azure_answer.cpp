#include "actors/spot/live/azure_answer.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "actors/spot/live/foreign_text.h"
#include "actors/spot/price_text.h"
#include "core/text.h"

namespace supercloud {
namespace {

using Json = nlohmann::json;

constexpr std::size_t link_bytes_max = 8 << 10;

// Empty where it is missing or no text.
std::string azure_text(const Json& item, const char* key) {
  const auto found = item.find(key);
  return found != item.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool has_word(const Json& item, const char* word) {
  return absl::StrContains(azure_text(item, "skuName"), word) ||
         absl::StrContains(azure_text(item, "meterName"), word);
}

// A meter of virtual machines that are paid by the hour, of the system that is wanted.
bool is_machine(const Json& item, const AzureWanted& wanted) {
  const std::string product =
      absl::StrReplaceAll(absl::AsciiStrToLower(azure_text(item, "productName")), {{" ", ""}});
  const auto tier = item.find("tierMinimumUnits");
  return azure_text(item, "type") == "Consumption" &&
         azure_text(item, "armRegionName") == wanted.region &&
         azure_text(item, "armSkuName") == wanted.instance_type &&
         absl::StrContains(product, "windows") == wanted.windows &&
         !absl::StrContains(product, "cloudservices") &&
         !absl::StrContains(product, "dedicatedhost") && !has_word(item, "Low Priority") &&
         (tier == item.end() || !tier->is_number() || tier->get<double>() <= 0);
}

// One price, or what is wrong with it; nullopt: not wanted, or not in force.
absl::StatusOr<std::optional<Price>> azure_price(const Json& item, const AzureWanted& wanted) {
  const auto damage = [](const char* member, std::string_view value, std::string_view why) {
    return absl::DataLossError(
        absl::StrCat(member, " \"", shown_text(value), "\" ", absl_view(why)));
  };
  if (!item.is_object()) return absl::DataLossError("it is no object");
  if (!is_machine(item, wanted)) return std::nullopt;
  const std::string begin = azure_text(item, "effectiveStartDate");
  const std::optional<absl::Time> since = foreign_time(begin);
  if (!since) return damage("effectiveStartDate", begin, "is no time from 1970 to 2100");
  if (*since > wanted.now) return std::nullopt;
  const std::string end = azure_text(item, "effectiveEndDate");
  if (const std::optional<absl::Time> until = foreign_time(end); until && *until <= wanted.now)
    return std::nullopt;
  const std::string currency = azure_text(item, "currencyCode");
  if (currency != "USD") return damage("currencyCode", currency, "is refused: only USD is read");
  const std::string unit = azure_text(item, "unitOfMeasure");
  if (unit != "1 Hour") return damage("unitOfMeasure", unit, "is not \"1 Hour\"");
  auto number = item.find("unitPrice");
  if (number == item.end()) number = item.find("retailPrice");
  if (number == item.end() || !number->is_number())
    return absl::DataLossError("unitPrice is missing, or no number");
  // The shortest text that reads as the same number: the decimal that was sent.
  const absl::StatusOr<Money> amount = parse_price(number->dump(), price_per_hour_max);
  if (!amount.ok())
    return absl::DataLossError(absl::StrCat("unitPrice ", amount.status().message()));
  Price price;
  price.place = {"azure", wanted.region, wanted.region, wanted.instance_type,
                 has_word(item, "Spot")};
  price.usd_per_hour = *amount;
  price.since = *since;
  return price;
}

}  // namespace

absl::StatusOr<AzurePrices> parse_azure_prices(std::string_view json, const AzureWanted& wanted,
                                               std::string_view request) {
  const Json document = Json::parse(json, nullptr, false);
  if (document.is_discarded()) return absl::DataLossError("no JSON, or not all of it");
  const auto items = document.find("Items");
  if (!document.is_object() || items == document.end() || !items->is_array())
    return absl::DataLossError("JSON, but without a list of Items");
  AzurePrices answer;
  answer.next_link = azure_text(document, "NextPageLink");
  if (answer.next_link.size() > link_bytes_max)
    return absl::DataLossError(
        absl::StrCat("a NextPageLink of more than ", link_bytes_max, " bytes"));
  std::size_t number = 0;
  for (const Json& item : *items) {
    ++number;
    absl::StatusOr<std::optional<Price>> price = azure_price(item, wanted);
    if (!price.ok()) {
      answer.damaged.push_back(
          absl::DataLossError(absl::StrCat(absl_view(request), ", item ", number, ": ",
                                           price.status().message(), "; the item is left out")));
    } else if (price->has_value()) {
      answer.prices.push_back(**std::move(price));
    }
  }
  return answer;
}

}  // namespace supercloud
