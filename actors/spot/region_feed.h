// The prices of one region, out of a feed that has others, too.
#pragma once

#include <memory>
#include <string>

#include "actors/spot/price_feed.h"

namespace supercloud {

class RegionFeed final : public PriceFeed {
 public:
  // `feed` answers at once, as those of files do.
  RegionFeed(std::unique_ptr<PriceFeed> feed, std::string region);
  std::string source() const override { return feed_->source(); }
  void next(Reply<Price> reply) override;

 private:
  const std::unique_ptr<PriceFeed> feed_;
  const std::string region_;
};

}  // namespace supercloud
