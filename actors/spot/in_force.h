// The prices that are in force when a feed begins.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "actors/spot/price_feed.h"

namespace supercloud {

// Of the prices up to a time only the last of each place counts; those come first. Thread-bound.
class InForce {
 public:
  explicit InForce(absl::Time from) : from_(from) {}

  // True: `price` is kept here, until a later one of its place takes its room.
  bool keep(const Price& price) {
    if (price.since > from_) return false;
    last_.insert_or_assign(price.place, price);
    return true;
  }

  // There are no more to keep. Then, one after another in the order of time and place:
  void close() {
    for (auto& [place, price] : last_) waiting_.push_back(std::move(price));
    last_.clear();
    std::sort(waiting_.begin(), waiting_.end(), [](const Price& a, const Price& b) {
      return std::tie(b.since, b.place) < std::tie(a.since, a.place);
    });
  }
  std::optional<Price> take() {
    if (waiting_.empty()) return std::nullopt;
    Price price = std::move(waiting_.back());
    waiting_.pop_back();
    return price;
  }
  bool empty() const { return waiting_.empty(); }

 private:
  absl::Time from_;
  std::map<PlaceName, Price> last_;
  std::vector<Price> waiting_;  // last one first
};

}  // namespace supercloud
