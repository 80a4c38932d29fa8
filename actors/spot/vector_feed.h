// Prices given in memory: for tests, and for places whose price is configuration.
#pragma once

#include <string>
#include <vector>

#include "actors/spot/price_feed.h"

namespace supercloud {

// Thread-bound.
class VectorFeed final : public PriceFeed {
 public:
  // `prices` in the order of `since`.
  VectorFeed(std::string source, std::vector<Price> prices);
  std::string source() const override { return source_; }
  void next(Reply<Price> reply) override;

 private:
  std::string source_;
  std::vector<Price> prices_;
  std::size_t position_ = 0;
};

}  // namespace supercloud
