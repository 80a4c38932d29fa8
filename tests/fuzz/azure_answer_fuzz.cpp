// Any bytes as an answer of Azure's Retail Prices API: refused, or read as prices that are sane and in force.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "actors/spot/live/azure_answer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;  // NOLINT(google-build-using-namespace)
  if (size == 0) return 0;
  AzureWanted wanted;
  wanted.region = "westeurope";
  wanted.instance_type = "Standard_D2s_v5";
  wanted.windows = (data[0] & 1U) != 0;  // the first byte chooses
  wanted.now = absl::FromUnixSeconds(1'767'225'600);
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto answer = parse_azure_prices(bytes, wanted, "fuzz");
  if (!answer.ok()) return 0;
  if (answer->prices.size() + answer->damaged.size() > size) std::abort();
  for (const Price& price : answer->prices) {
    if (price.usd_per_hour <= Money{} || price.since > wanted.now) std::abort();
    if (price.place.zone != wanted.region || price.place.instance_type != wanted.instance_type)
      std::abort();
  }
  for (const absl::Status& why : answer->damaged)
    if (!absl::IsDataLoss(why)) std::abort();
  return 0;
}
