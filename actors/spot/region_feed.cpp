#include "actors/spot/region_feed.h"

#include <utility>

namespace supercloud {

RegionFeed::RegionFeed(std::unique_ptr<PriceFeed> feed, std::string region)
    : feed_(std::move(feed)), region_(std::move(region)) {}

void RegionFeed::next(Reply<Price> reply) {
  absl::StatusOr<Price> price = absl::InternalError(source() + " does not answer at once");
  do {
    feed_->next(Reply<Price>(
        far_future, [&price](absl::StatusOr<Price> answer) { price = std::move(answer); }));
  } while (price.ok() && price->place.region != region_);
  reply(std::move(price));
}

}  // namespace supercloud
