// Several feeds as one: the files of a longer time, or of several instance types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "actors/spot/in_force.h"
#include "actors/spot/price_feed.h"

namespace supercloud {

// Thread-bound. Prices in the order of `since`, those of one time in the order of places. What several feeds say (the pages of
// an answer overlap) is said once; where they contradict each other, the first of them counts. Holds one price of each feed
// and, per place, the last.
class MergedFeed final : public PriceFeed {
 public:
  // The feeds answer at once, as files do. Of the prices up to `from` those in force then come first.
  explicit MergedFeed(std::vector<std::unique_ptr<PriceFeed>> feeds,
                      absl::Time from = absl::InfinitePast());

  std::string source() const override;  // "a.json", "a.json and 2 more"
  // DataLoss, Unavailable: from one of them, ask again; so is any other failure that one ends with, as DataLoss, and the others go
  // on. OutOfRange: all have ended. NotFound: so they have, and none had a price.
  void next(Reply<Price> reply) override;

  std::uint64_t duplicates() const { return duplicates_; }

 private:
  struct Head {
    Price price;
    std::size_t feed = 0;
  };
  struct ComesLater {
    bool operator()(const Head& a, const Head& b) const;
  };
  struct Last {
    absl::Time since;
    Money price;
    std::size_t feed = 0;
  };

  absl::StatusOr<Price> from_feed(std::size_t feed);
  absl::Status refill();
  // The next news of any place.
  absl::StatusOr<Price> advance();
  absl::StatusOr<bool> is_news(const Head& head);

  std::vector<std::unique_ptr<PriceFeed>> feeds_;
  std::vector<std::size_t>
      asked_next_;  // feeds without a head that have not ended, the last one first
  std::priority_queue<Head, std::vector<Head>, ComesLater> heads_;
  std::map<PlaceName, Last> last_;
  InForce in_force_;
  bool started_ = false;        // `from` has been reached
  std::optional<Price> first_;  // after it
  std::string failures_;
  std::uint64_t duplicates_ = 0;
};

}  // namespace supercloud
