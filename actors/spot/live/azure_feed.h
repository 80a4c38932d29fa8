// Prices of Azure, live: spot and on-demand from the public Retail Prices API, which asks for no key. docs/prices-live.md says what
// is asked.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "actors/spot/live/live_feed.h"
#include "core/http/http.h"
#include "core/random.h"
#include "core/scheduler.h"

namespace supercloud {

struct AzureFeedOptions {
  std::string region = "westeurope";
  std::vector<std::string>
      instance_types;  // "Standard_D2s_v5", 1 to 100: each takes a request or more
  bool windows = false;
  std::string endpoint = "https://prices.azure.com/api/retail/prices";
  LiveFeedOptions poll{.every = absl::Hours(1)};
};

// The clock of `scheduler` must tell wall time. InvalidArgument names what is missing and the cure.
absl::StatusOr<std::unique_ptr<LiveFeed>> make_azure_feed(Scheduler& scheduler,
                                                          std::unique_ptr<HttpClient> http,
                                                          Random random, AzureFeedOptions options);

}  // namespace supercloud
