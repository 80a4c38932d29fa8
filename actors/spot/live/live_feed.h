// A price feed that polls an API over HTTP.
//
//            next()                    last page
//   idle ───────────────▶ asking ──────────────────▶ delivering ──(all delivered, next() again)──▶ idle until the next poll
//                         ▲    │ failure: next() is answered with what went wrong
//                         └────┘ after a pause that grows, with jitter
//
// A poll's prices are delivered oldest first, once each, and only when all its pages are there. A poll that brings nothing new is
// answered with the newest price known, again: so whoever asks can tell a quiet market from a lost feed. The polls up to the first
// that reaches the present are about the past: of what they bring only the newest price of each place is delivered, as the present is
// reached, and the prices at whole hours are kept until they are taken. Nothing is asked
// before next() waits for it. Prices are in the order of their times within a poll; one that a later poll brings may be older than
// those of the poll before, at another place, and counts at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/spot/live/price_api.h"
#include "actors/spot/price_feed.h"
#include "core/http/http.h"
#include "core/random.h"
#include "core/scheduler.h"

namespace supercloud {

struct LiveFeedOptions {
  Duration every = absl::Minutes(5);              // from the begin of a poll to that of the next
  Duration request_deadline = absl::Seconds(30);  // of one page
  // After a failure: doubled with each one that follows, and between half and all of that.
  Duration pause = absl::Seconds(2);
  Duration pause_max = absl::Minutes(10);
  Duration retry_after_max = absl::Hours(1);  // how long a server may ask to be left alone
  int tries_max = 4;                          // of one page, before the poll begins again
  // Of one poll.
  std::size_t pages_max = 200;
  std::size_t prices_max = 200'000;
  std::size_t damaged_max = 16;  // that are told one by one
  std::size_t places_max = 10'000;
  absl::Duration ahead_max = absl::Minutes(5);  // a price that begins later is taken for damage
};

// Thread-bound to the scheduler's thread. `http` and `api` are the feed's; its end cancels what is under way.
class LiveFeed final : public PriceFeed {
 public:
  LiveFeed(Scheduler& scheduler, std::unique_ptr<HttpClient> http, std::unique_ptr<PriceApi> api,
           Random random, LiveFeedOptions options);
  ~LiveFeed() override;
  LiveFeed(const LiveFeed&) = delete;
  LiveFeed& operator=(const LiveFeed&) = delete;

  std::string source() const override { return api_->source(); }
  // One at a time. Unavailable: the last attempt failed; the next one follows when asked, after the pause that the message names.
  // PermissionDenied, FailedPrecondition: likewise, and somebody has to change something here. DataLoss: an item was left out.
  void next(Reply<Price> reply) override;
  bool looks_back() const override { return api_->looks_back(); }
  std::optional<HourlyPrices> take_past(const PlaceName& place) override;

 private:
  struct Known {
    absl::Time since;  // as the source says
    Money price;
    absl::Time told;  // as it was delivered: later, where the source changed its mind
  };
  void ask_when_due();
  void ask();
  void answered(absl::StatusOr<HttpAnswer> answer);
  void failed(const absl::Status& why, absl::Duration retry_after, bool start_over);
  void complete();
  void take(Price price);
  void deliver_present();
  void damaged(absl::Status why);
  void deliver();

  Scheduler& scheduler_;
  const std::unique_ptr<PriceApi> api_;
  Random random_;
  const LiveFeedOptions options_;
  Reply<Price> waiting_;
  std::deque<absl::StatusOr<Price>> ready_;

  // The poll under way.
  std::optional<HttpRequest> request_;  // nullopt: none is
  bool asking_ = false;
  Instant begun_;
  absl::Time begun_wall_;
  std::size_t pages_ = 0;
  std::vector<Price> found_;
  std::vector<absl::Status> damaged_;
  std::size_t damaged_more_ = 0;
  bool fresh_ = false;  // it brought a price to deliver

  Instant due_;
  TimerId timer_ = 0;
  int failures_ = 0;  // in a row
  std::map<PlaceName, Known> known_;
  bool looking_back_ = true;  // no poll has reached the present yet
  std::map<PlaceName, HourlyPrices> past_;
  std::optional<Price> newest_;  // delivered
  std::shared_ptr<char> alive_ = std::make_shared<char>();
  std::unique_ptr<HttpClient> http_;  // first to go
};

}  // namespace supercloud
