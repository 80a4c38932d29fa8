// A price feed that goes wrong on demand: it stops for a while, a price spikes, the market comes to rest.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "actors/spot/price_feed.h"

namespace supercloud {

// What is wrong with all feeds of a cluster. A feed that is made anew tells the same prices as those before it: a spike is
// part of the market from then on. Thread-bound; outlives the feeds.
class FeedFaults {
 public:
  // Feeds are out of reach until they are not.
  void set_stopped(bool stopped) { stopped_ = stopped; }
  bool stopped() const { return stopped_; }

  // The place's price from `from`, or from the newest price that any feed has told if that is later, for `span`.
  void spike(const PlaceName& place, Money price, absl::Time from, absl::Duration span);
  // Nothing changes any more after the newest price told, or after `at` if that is later; spikes end then.
  void rest(absl::Time at);

 private:
  friend class FaultyFeed;
  struct Spike {
    PlaceName place;
    Money price;
    absl::Time from, until;
  };
  const Spike* spike_at(const PlaceName& place, absl::Time when) const;

  bool stopped_ = false;
  std::vector<Spike> spikes_;  // by `from`
  absl::Time told_ = absl::InfinitePast();
  absl::Time rest_ = absl::InfiniteFuture();
};

// Thread-bound.
class FaultyFeed final : public PriceFeed {
 public:
  FaultyFeed(std::unique_ptr<PriceFeed> feed, FeedFaults& faults)
      : feed_(std::move(feed)), faults_(faults) {}

  std::string source() const override { return feed_->source(); }
  // What is asked for while it rests is answered Unavailable.
  void next(Reply<Price> reply) override;

 private:
  std::optional<Price> next_of_spikes() const;
  void pull();

  std::unique_ptr<PriceFeed> feed_;
  FeedFaults& faults_;
  // of the feed behind
  absl::StatusOr<Price> ahead_ = absl::UnknownError("nothing was asked for yet");
  bool asked_ = false;
  std::map<PlaceName, Money> below_;  // prices of the feed behind, as far as told
  absl::Time told_ = absl::InfinitePast();
  std::map<PlaceName, absl::Time> told_of_;
};

}  // namespace supercloud
