#include "actors/spot/live/live_feed.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/str_cat.h"

namespace supercloud {

LiveFeed::LiveFeed(Scheduler& scheduler, std::unique_ptr<HttpClient> http,
                   std::unique_ptr<PriceApi> api, Random random, LiveFeedOptions options)
    : scheduler_(scheduler),
      api_(std::move(api)),
      random_(random),
      options_(options),
      due_(scheduler.clock().now()),
      http_(std::move(http)) {}

LiveFeed::~LiveFeed() { scheduler_.cancel(timer_); }

void LiveFeed::next(Reply<Price> reply) {
  ABSL_RAW_CHECK(!waiting_, "a feed is asked for one price at a time");
  waiting_ = std::move(reply);
  if (ready_.empty()) return ask_when_due();
  deliver();
}

// The last thing a caller does: the reply may be this feed's end.
void LiveFeed::deliver() {
  absl::StatusOr<Price> first = std::move(ready_.front());
  ready_.pop_front();
  Reply<Price> reply = std::exchange(waiting_, {});
  reply(std::move(first));
}

void LiveFeed::ask_when_due() {
  if (asking_ || timer_ != 0) return;
  if (due_ <= scheduler_.clock().now()) return ask();
  timer_ = scheduler_.at(due_, [this] {
    timer_ = 0;
    ask();
  });
}

void LiveFeed::ask() {
  const Instant now = scheduler_.clock().now();
  if (!request_) {
    begun_ = now;
    begun_wall_ = scheduler_.clock().wall();
    pages_ = 0;
    found_.clear();
    damaged_.clear();
    damaged_more_ = 0;
    request_ = api_->first(begun_wall_);
  }
  asking_ = true;
  http_->send(*request_, Reply<HttpAnswer>(now + options_.request_deadline,
                                           [this, alive = std::weak_ptr<char>(alive_)](
                                               absl::StatusOr<HttpAnswer> answer) {
                                             if (!alive.expired()) answered(std::move(answer));
                                           }));
}

void LiveFeed::answered(absl::StatusOr<HttpAnswer> answer) {
  asking_ = false;
  if (!answer.ok()) return failed(answer.status(), absl::ZeroDuration(), false);
  absl::StatusOr<PricePage> page = api_->read(*answer, scheduler_.clock().wall());
  if (!page.ok()) return failed(page.status(), answer->retry_after, absl::IsAborted(page.status()));
  for (absl::Status& why : page->damaged) damaged(std::move(why));
  found_.insert(found_.end(), std::make_move_iterator(page->prices.begin()),
                std::make_move_iterator(page->prices.end()));
  const auto too_much = [this](std::size_t most, const char* what) {
    failed(absl::ResourceExhaustedError(absl::StrCat(source(), ": more than ", most, " ", what,
                                                     " in one poll; ask for fewer types")),
           absl::ZeroDuration(), true);
  };
  if (found_.size() > options_.prices_max) return too_much(options_.prices_max, "prices");
  if (!page->next) return complete();
  if (++pages_ >= options_.pages_max) return too_much(options_.pages_max, "pages");
  if (page->next->url == request_->url && page->next->body == request_->body)
    return failed(absl::UnavailableError(
                      absl::StrCat(source(), ": the next page is said to be this one again")),
                  absl::ZeroDuration(), true);
  failures_ = 0;
  request_ = std::move(page->next);
  ask();
}

void LiveFeed::failed(const absl::Status& why, absl::Duration retry_after, bool start_over) {
  ++failures_;
  if (start_over || failures_ % options_.tries_max == 0) request_.reset();
  Duration most = options_.pause;
  for (int i = 1; i < failures_ && most < options_.pause_max; ++i) most *= 2;
  most = std::min(most, options_.pause_max);
  const std::int64_t ms = absl::ToInt64Milliseconds(most);
  Duration pause = absl::Milliseconds(random_.between(ms / 2, ms));
  pause = std::max(pause, std::min<Duration>(retry_after, options_.retry_after_max));
  due_ = scheduler_.clock().now() + pause;
  const std::string told =
      absl::StrCat(why.message(), "; the next attempt is in ",
                   absl::FormatDuration(absl::Trunc(pause, absl::Milliseconds(1))));
  const bool for_us = absl::IsPermissionDenied(why) || absl::IsFailedPrecondition(why);
  ready_.emplace_back(absl::Status(for_us ? why.code() : absl::StatusCode::kUnavailable, told));
  deliver();
}

void LiveFeed::damaged(absl::Status why) {
  if (damaged_.size() < options_.damaged_max)
    damaged_.push_back(std::move(why));
  else
    ++damaged_more_;
}

// Every page of the poll is there.
void LiveFeed::complete() {
  request_.reset();
  // Of two prices for one time and place the higher one is believed, and told first.
  std::sort(found_.begin(), found_.end(), [](const Price& a, const Price& b) {
    return std::tie(a.since, a.place, b.usd_per_hour) < std::tie(b.since, b.place, a.usd_per_hour);
  });
  const bool more = api_->complete();
  fresh_ = false;
  for (std::size_t i = 0; i < found_.size(); ++i) {
    const Price& price = found_[i];
    if (i > 0 && found_[i - 1].since == price.since && found_[i - 1].place == price.place) {
      if (found_[i - 1].usd_per_hour != price.usd_per_hour)
        damaged(absl::DataLossError(
            absl::StrCat(source(), ": ", price.place.id(), " has two prices since ",
                         absl::FormatTime(absl::RFC3339_full, price.since, absl::UTCTimeZone()),
                         ", ", to_string(found_[i - 1].usd_per_hour, 6), " and ",
                         to_string(price.usd_per_hour, 6), "; the higher one is taken")));
      // the next of the same is compared with the one that was taken
      found_[i].usd_per_hour = found_[i - 1].usd_per_hour;
      continue;
    }
    take(price);
  }
  if (looking_back_ && !more) deliver_present();
  if (damaged_more_ > 0)
    damaged_.push_back(absl::DataLossError(
        absl::StrCat(source(), ": ", damaged_more_, " more damaged items in the same poll")));
  // What was left out is told first.
  ready_.insert(ready_.begin(), damaged_.begin(), damaged_.end());
  found_.clear();
  damaged_.clear();
  damaged_more_ = 0;
  if (!newest_ && !looking_back_)
    return failed(
        absl::FailedPreconditionError(absl::StrCat(
            source(), ": there is no price of what is asked for; check region and types")),
        options_.every, true);
  failures_ = 0;
  due_ = more ? scheduler_.clock().now() : begun_ + options_.every;
  if (!fresh_ && newest_) ready_.emplace_back(*newest_);
  if (ready_.empty()) return ask_when_due();
  deliver();
}

// Of each place the newest price, whichever poll brought it.
void LiveFeed::deliver_present() {
  looking_back_ = false;
  for (const auto& [place, known] : known_)
    ready_.emplace_back(Price{place, known.price, known.told});
  std::sort(ready_.begin(), ready_.end(), [](const auto& a, const auto& b) {
    return std::tie(a->since, a->place) < std::tie(b->since, b->place);
  });
  if (ready_.empty()) return;
  newest_ = *ready_.back();
  fresh_ = true;
}

std::optional<HourlyPrices> LiveFeed::take_past(const PlaceName& place) {
  if (looking_back_) return std::nullopt;
  auto past = past_.extract(place);
  if (past.empty()) return std::nullopt;
  return std::move(past.mapped());
}

// One price of a complete poll, oldest first: delivered if it is news.
void LiveFeed::take(Price price) {
  if (price.since > begun_wall_ + options_.ahead_max)
    return damaged(absl::DataLossError(
        absl::StrCat(source(), ": ", price.place.id(), ": a price from ",
                     absl::FormatTime(absl::RFC3339_full, price.since, absl::UTCTimeZone()),
                     " on, which is to come; check this machine's clock. It is left out")));
  const auto found = known_.find(price.place);
  if (found == known_.end()) {
    if (known_.size() >= options_.places_max)
      return damaged(absl::DataLossError(absl::StrCat(source(), ": more than ", options_.places_max,
                                                      " places; ask for fewer types. ",
                                                      price.place.id(), " is left out")));
    known_.emplace(price.place, Known{price.since, price.usd_per_hour, price.since});
  } else {
    Known& known = found->second;
    // Seen before; or older than what is known, which the polls' overlap brings along.
    if (price.since < known.since) return;
    if (price.since == known.since && price.usd_per_hour == known.price) return;
    known.since = price.since;
    known.price = price.usd_per_hour;
    // The source corrects itself: it holds from now on, for what was told before has had its effect; nothing yet of the past.
    if (!looking_back_ && price.since <= known.told)
      price.since = std::max(begun_wall_, known.told);
    known.told = price.since;
  }
  if (looking_back_) return past_[price.place].add(price.since, price.usd_per_hour);
  if (!newest_ || newest_->since <= price.since) newest_ = price;
  fresh_ = true;
  ready_.emplace_back(std::move(price));
}

}  // namespace supercloud
