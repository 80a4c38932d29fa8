// What differs between the price APIs of clouds: what is asked, and how an answer is read.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "actors/spot/live/http.h"
#include "actors/spot/price_feed.h"

namespace supercloud {

// What one answer holds.
struct PricePage {
  std::vector<Price> prices;          // in any order
  std::vector<absl::Status> damaged;  // DataLoss for each item left out, naming request and item
  std::optional<HttpRequest> next;    // nullopt: this was the last of the poll
};

// Thread-bound. A poll is first(), then read() for each answer, then complete(); or it is given up and begins again.
class PriceApi {
 public:
  virtual ~PriceApi() = default;
  virtual std::string source() const = 0;
  // Begins a poll of the prices up to `now`, which is wall time.
  virtual HttpRequest first(absl::Time now) = 0;
  // Unavailable: nothing that can be read, or trouble on the other side; the same request may succeed. ResourceExhausted: asked
  // too often. Aborted: the poll has to begin again. FailedPrecondition, PermissionDenied: nothing comes until somebody changes
  // something here, which the message names.
  virtual absl::StatusOr<PricePage> read(const HttpAnswer& answer, absl::Time now) = 0;
  // Everything up to read() is taken. True: there is more by now, the next poll is due at once.
  virtual bool complete() = 0;
};

}  // namespace supercloud
