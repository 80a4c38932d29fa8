// Spot prices of AWS, live: EC2's DescribeSpotPriceHistory, signed. docs/prices-live.md says what is asked and which right it takes.
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

struct AwsFeedOptions {
  std::string region = "us-east-1";
  std::vector<std::string> instance_types;  // 1 to 100
  std::string product = "Linux/UNIX";       // as AWS describes it; one, for a place has one price
  AwsCredentials credentials;
  std::string endpoint;  // empty: the region's, https://ec2.REGION.amazonaws.com
  // Before the first poll: what policies remember. Prices in force then come along.
  absl::Duration history = absl::Hours(HourlyPrices::marks_max);
  absl::Duration overlap = absl::Minutes(15);  // of two polls, for prices that AWS shows late
  absl::Duration window_max =
      absl::Hours(24);  // of market time in one poll; a longer gap takes several
  int page_items = 1000;
  LiveFeedOptions poll;
};

// The clock of `scheduler` must tell wall time. InvalidArgument names what is missing and the cure.
absl::StatusOr<std::unique_ptr<LiveFeed>> make_aws_feed(Scheduler& scheduler,
                                                        std::unique_ptr<HttpClient> http,
                                                        Random random, AwsFeedOptions options);

}  // namespace supercloud
