// What differs between the price APIs of clouds: what is asked, and how an answer is read. And what does not.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "actors/spot/price_feed.h"
#include "core/http/http.h"
#include "core/http/url.h"

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
  // Whether the first polls are of the past.
  virtual bool looks_back() const { return false; }
  // Begins a poll of the prices up to `now`, which is wall time.
  virtual HttpRequest first(absl::Time now) = 0;
  // Unavailable: nothing that can be read, or trouble on the other side; the same request may succeed. ResourceExhausted: asked
  // too often. Aborted: the poll has to begin again. FailedPrecondition, PermissionDenied: nothing comes until somebody changes
  // something here, which the message names.
  virtual absl::StatusOr<PricePage> read(const HttpAnswer& answer, absl::Time now) = 0;
  // Everything up to read() is taken. True: there is more by now, the next poll is due at once.
  virtual bool complete() = 0;
};

// What a user asks an API for.
struct PriceQuery {
  const char* cloud;  // "AWS"
  const std::string& region;
  const char* a_region;  // as one is written: "us-east-1"
  const std::vector<std::string>& instance_types;
  const char* a_type;
  const std::string& endpoint;
};

// Who is asked, at the endpoint. InvalidArgument names what is wrong and the cure.
absl::StatusOr<UrlOrigin> check_price_query(const PriceQuery& query);

// By the status alone.
bool says_too_often(const HttpAnswer& answer);

// Unavailable: the answer cannot be read, for `why`.
absl::Status something_else(const std::string& endpoint, const HttpAnswer& answer,
                            const absl::Status& why);

}  // namespace supercloud
