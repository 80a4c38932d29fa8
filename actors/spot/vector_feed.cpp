#include "actors/spot/vector_feed.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {

VectorFeed::VectorFeed(std::string source, std::vector<Price> prices)
    : source_(std::move(source)), prices_(std::move(prices)) {}

void VectorFeed::next(Reply<Price> reply) {
  if (position_ < prices_.size()) {
    reply(prices_[position_++]);
  } else {
    reply(absl::OutOfRangeError(absl::StrCat(source_, ": no more prices")));
  }
}

}  // namespace supercloud
