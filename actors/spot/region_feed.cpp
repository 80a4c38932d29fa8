#include "actors/spot/region_feed.h"

#include <optional>
#include <utility>

namespace supercloud {

RegionFeed::RegionFeed(std::unique_ptr<PriceFeed> feed, std::string region)
    : feed_(std::move(feed)), region_(std::move(region)) {}

void RegionFeed::next(Reply<Price> reply) {
  using Heard = std::optional<absl::StatusOr<Price>>;
  const auto answer = std::make_shared<Heard>();  // one that comes late finds nobody
  do {
    answer->reset();
    feed_->next(Reply<Price>(
        far_future, [answer](absl::StatusOr<Price> price) { *answer = std::move(price); }));
  } while (*answer && (*answer)->ok() && (**answer)->place.region != region_);
  if (!*answer) *answer = absl::InternalError(source() + " does not answer at once");
  reply(*std::move(*answer));
}

}  // namespace supercloud
