// Any bytes as an answer of EC2: refused, or read as prices that are sane; and as an error of its, which is fit to be shown.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "actors/spot/live/aws_answer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;  // NOLINT(google-build-using-namespace)
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto answer = parse_aws_prices(bytes, "us-east-1", "Linux/UNIX"); answer.ok()) {
    // The shortest item is longer than that.
    if (answer->prices.size() + answer->damaged.size() > size / 6) std::abort();
    for (const Price& price : answer->prices) {
      if (price.usd_per_hour <= Money{} || price.since < absl::UnixEpoch()) std::abort();
      const auto place = PlaceName::parse(price.place.id());
      if (!place.ok() || *place != price.place || !place->spot) std::abort();
    }
    for (const absl::Status& why : answer->damaged)
      if (!absl::IsDataLoss(why)) std::abort();
  }
  const AwsError error = parse_aws_error(bytes);
  for (const std::string& shown : {error.code, error.message, error.request_id})
    for (const char c : shown)
      if (c < 0x20 || c >= 0x7f) std::abort();
  return 0;
}
