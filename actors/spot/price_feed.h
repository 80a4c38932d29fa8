// The price feed seam: where prices come from.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "actors/spot/hourly_prices.h"
#include "core/reply.h"
#include "core/units.h"

namespace supercloud {

// Somewhere a VM could run: schema::Place as a value.
struct PlaceName {
  std::string cloud, region, zone, instance_type;
  bool spot = true;

  // "cloud/region/zone/type/spot", ".../on-demand"
  std::string id() const;
  static absl::StatusOr<PlaceName> parse(std::string_view id);
  friend auto operator<=>(const PlaceName&, const PlaceName&) = default;
};

struct Price {
  PlaceName place;
  Money usd_per_hour;
  absl::Time since;  // market time at which it came into force
};

// Thread-bound. Streamed: a feed holds one price ahead, not a file.
class PriceFeed {
 public:
  virtual ~PriceFeed() = default;
  virtual std::string source() const = 0;
  // The next price in the order of `since`. OutOfRange: there is none, ever (end of a trace). Unavailable: the source is out of
  // reach, ask again. PermissionDenied, FailedPrecondition: until somebody cures what is named, ask again. DataLoss: this
  // row was damaged (the message names file and line); ask again for the next one.
  virtual void next(Reply<Price> reply) = 0;

  // Whether it asks its source for the past before its first price comes.
  virtual bool looks_back() const { return false; }
  // What was in force at a place before the first price that it has told of it. Once.
  virtual std::optional<HourlyPrices> take_past(const PlaceName& place) {
    (void)place;
    return std::nullopt;
  }
};

}  // namespace supercloud
