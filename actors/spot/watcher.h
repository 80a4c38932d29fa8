// The price watcher: holds the role "feed", pulls the price feed and publishes spot.price_changed as market time reaches each
// price. A fact's key is (place, since): after a takeover or restart the feed is read anew and what is known is not said
// again. Who comes later, a policy on a new node, asks it for what is known (priceHistory) instead of reading every price since the
// beginning.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "actors/market_time.h"
#include "actors/past.h"
#include "actors/role.h"
#include "actors/session_view.h"
#include "actors/spot/hourly_prices.h"
#include "actors/spot/place.h"
#include "actors/spot/price_feed.h"
#include "core/actor.h"

namespace supercloud {

inline constexpr const char* watcher_actor = "watcher";
inline constexpr const char* feed_role = "feed";

struct WatcherOptions {
  MarketClock market;
  std::string role = feed_role;
  Duration role_retry = RoleOptions{}.retry;
  // on-demand prices and own hosts: published as the role is gained
  std::vector<Price> fixed;
  std::vector<LabelRule> labels;
  // market time without a price after which the feed counts as lost
  Duration silence = absl::Hours(6);
  Duration silence_min = absl::Seconds(5);  // ... and at least this much cluster time
  // cluster time between two attempts at a feed that is out of reach
  Duration retry = absl::Seconds(1);
  Duration rejected_every = absl::Seconds(10);  // damaged rows are reported this often
};

// Makes the feed; called each time that this node gains the role. Empty: there is none, all prices are fixed and none gets stale.
using FeedFactory = std::function<absl::StatusOr<std::unique_ptr<PriceFeed>>()>;

class Watcher final : public Actor {
 public:
  Watcher(Context& context, LeaseTable& leases, const SessionView& session, FeedFactory feed,
          WatcherOptions options);
  void receive(const Event& event) override;
  // priceHistory, while the role is held; else a redirect.
  void serve(Message<schema::Request> request, Answer answer) override;

 private:
  struct Fact {
    PlaceName place;
    absl::Time since;
    Money price;
    HourlyPrices hourly;
    EventId event;        // that said so
    std::string subject;  // of its events; empty: none is from here
  };
  void fold(const Event& event);
  void gained(Epoch epoch);
  void begin();
  void end();
  void pull();
  void pull_later();
  void arrived(absl::StatusOr<Price> price);
  void publish_due();
  void publish(const Price& price);
  // What is known of the place; null: this is no news.
  Fact* learn(const PlaceName& place, absl::Time since, Money price);
  Message<schema::Response> known_prices() const;
  void expect_news();
  void lost(const std::string& why);
  void restored();
  void reject(const absl::Status& why);

  Context& context_;
  MarketTime market_;
  const FeedFactory make_feed_;
  const WatcherOptions options_;
  RoleHolder role_;
  Past past_;
  std::map<std::string, Fact> facts_;  // the newest of each place, by its id
  std::string source_;
  std::optional<absl::Time> lost_since_;
  std::string trouble_;  // why the feed is silent, as far as known

  // While the role is held.
  std::unique_ptr<PriceFeed> feed_;
  std::uint64_t term_ = 0;  // replies and timers of an earlier term are void
  std::optional<Price> ahead_;
  TimerId due_ = 0;
  TimerId silence_ = 0;
  std::uint64_t rejected_ = 0;
  std::optional<Instant> rejected_at_;
};

}  // namespace supercloud
