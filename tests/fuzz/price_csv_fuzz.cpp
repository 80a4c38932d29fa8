// Any bytes as a price file: either refused, or read to the end with prices that are sane and in the order of time.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <string>
#include <utility>

#include "actors/spot/csv_feed.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;  // NOLINT(google-build-using-namespace)
  if (size == 0) return 0;
  CsvFeedOptions options;
  options.instance_type = "r3.large";
  // The first byte chooses the options.
  if ((data[0] & 1U) != 0) options.from = absl::FromUnixSeconds(1'440'201'600);
  if ((data[0] & 2U) != 0) options.instance_types = {"r3.large"};
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  auto feed = CsvFeed::read(std::make_unique<std::istringstream>(text), "fuzz", std::move(options));
  if (!feed.ok()) return 0;
  absl::Time last = absl::InfinitePast();
  bool end = false;
  // One reply per line at most, and the prices in force.
  for (std::size_t calls = 0; !end; ++calls) {
    if (calls > 2 * size + 10) std::abort();
    (*feed)->next(Reply<Price>(far_future, [&](const absl::StatusOr<Price>& price) {
      end = absl::IsOutOfRange(price.status());
      if (!price.ok()) return;
      if (price->since < last || price->usd_per_hour <= Money{}) std::abort();
      last = price->since;
      const auto place = PlaceName::parse(price->place.id());
      if (!place.ok() || *place != price->place) std::abort();
    }));
  }
  return 0;
}
