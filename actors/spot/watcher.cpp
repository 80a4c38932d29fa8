#include "actors/spot/watcher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/answers.h"

namespace supercloud {
namespace {

// The feed may take as long as it likes: its silence has a timer of its own, and a price that comes late is still a price.
constexpr Duration patience = absl::Hours(24 * 365 * 10);

// Of all places together: an answer has at most 1 MiB, of which their names and labels take a part.
constexpr std::size_t marks_told_max = 60'000;

}  // namespace

Watcher::Watcher(Context& context, LeaseTable& leases, const SessionView& session, FeedFactory feed,
                 WatcherOptions options)
    : context_(context),
      market_(context, options.market),
      make_feed_(std::move(feed)),
      options_(std::move(options)),
      role_(context, leases, session, options_.role,
            {[this](Epoch epoch) { gained(epoch); }, [this](const std::string&) { end(); }},
            {.retry = options_.role_retry}),
      past_(context, {.patterns = {"spot.>"}, .archived = {"spot.>"}},
            [this](const Event& event) { fold(event); }) {
  // What another holder publishes meanwhile is known here when this node takes over.
  context_.subscribe(Pattern::of("node.joined.>"));
  context_.subscribe(Pattern::of("node.capacity.>"));
  context_.subscribe(Pattern::of("spot.>"), [this] { past_.read([this] { role_.start(); }); });
}

// A feed that others have held before is read anew: first it has to be known how far they came.
void Watcher::gained(Epoch epoch) {
  if (epoch <= 1) return begin();
  past_.settled([this, epoch] {
    if (role_.held() && role_.epoch() == epoch) begin();
  });
}

void Watcher::receive(const Event& event) {
  past_.hear(event);
  // What it said itself is known, and comes back later than it was said.
  if (event.origin() != context_.self().to_string()) fold(event);
}

void Watcher::fold(const Event& event) {
  const auto payload = event.payload();
  switch (event.type()) {
    case schema::Payload::SPOT_PRICE_CHANGED: {
      const auto change = payload.getSpotPriceChanged();
      Fact* const news =
          learn(place_name(change.getPlace()), absl::FromUnixNanos(change.getSinceNs()),
                Money{change.getPriceNanoUsdPerHour()});
      if (news != nullptr) news->event = event.id();
      break;
    }
    case schema::Payload::SPOT_FEED_LOST:
      lost_since_ = absl::FromUnixNanos(payload.getSpotFeedLost().getSinceNs());
      break;
    case schema::Payload::SPOT_FEED_RESTORED:
      lost_since_.reset();
      break;
    default:
      break;
  }
}

Watcher::Fact* Watcher::learn(const PlaceName& place, absl::Time since, Money price) {
  const auto [found, is_new] = facts_.try_emplace(place.id());
  Fact& fact = found->second;
  if (is_new)
    fact.place = place;
  else if (since <= fact.since)
    return nullptr;
  const bool changed = is_new || price != fact.price;
  fact.since = since;
  fact.price = price;
  fact.hourly.add(since, price);
  return changed ? &fact : nullptr;
}

void Watcher::serve(Message<schema::Request> request, Answer answer) {
  if (!request.reader().isPriceHistory())
    return Actor::serve(std::move(request), std::move(answer));
  if (role_.held()) return answer(known_prices());
  const std::string& holder = role_.holder();
  answer(redirect_answer(role_.key(), holder == context_.node() ? "" : holder));
}

Message<schema::Response> Watcher::known_prices() const {
  const absl::Time now = market_.now();
  return Message<schema::Response>::build([&](schema::Response::Builder response) {
    auto list = response.initPrices(static_cast<unsigned>(facts_.size()));
    unsigned index = 0;
    for (const auto& [id, fact] : facts_) {
      auto known = list[index++];
      write_place(fact.place, options_.labels, known.initPlace());
      known.setPriceNanoUsdPerHour(fact.price.nano_usd);
      known.setSinceNs(absl::ToUnixNanos(fact.since));
      fact.event.write(known.initEvent());
      known.setHour(HourlyPrices::mark(now));
      std::vector<Money> marks = fact.hourly.until(now);
      marks.resize(std::min(marks.size(), marks_told_max / facts_.size()));
      auto hourly = known.initHourlyNanoUsd(static_cast<unsigned>(marks.size()));
      for (unsigned i = 0; i < marks.size(); ++i) hourly.set(i, marks[i].nano_usd);
    }
  });
}

void Watcher::begin() {
  ++term_;
  for (const Price& price : options_.fixed) publish(price);
  if (!make_feed_) return;
  absl::StatusOr<std::unique_ptr<PriceFeed>> feed = make_feed_();
  if (!feed.ok()) {
    trouble_ = std::string(feed.status().message());
    if (source_.empty()) source_ = "price feed";
    lost(trouble_);
    context_.after(options_.retry, [this, term = term_] {
      if (term == term_ && role_.held()) begin();
    });
    return;
  }
  feed_ = *std::move(feed);
  source_ = feed_->source();
  trouble_.clear();
  if (feed_->looks_back()) lost("it asks for the past first");
  expect_news();
  pull();
}

void Watcher::end() {
  ++term_;
  feed_.reset();
  ahead_.reset();
  context_.cancel(std::exchange(due_, 0));
  context_.cancel(std::exchange(silence_, 0));
}

void Watcher::pull() {
  feed_->next(context_.reply<Price>(patience, [this, term = term_](absl::StatusOr<Price> price) {
    if (term == term_) arrived(std::move(price));
  }));
}

void Watcher::pull_later() {
  context_.after(options_.retry, [this, term = term_] {
    if (term == term_) pull();
  });
}

void Watcher::arrived(absl::StatusOr<Price> price) {
  if (price.ok()) {
    trouble_.clear();
    context_.cancel(std::exchange(silence_, 0));
    restored();
    ahead_ = *std::move(price);
    publish_due();
    return;
  }
  const absl::Status& status = price.status();
  if (absl::IsDataLoss(status)) {
    reject(status);
    pull();
    return;
  }
  trouble_ = std::string(status.message());
  if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) {
    pull_later();
  } else if (absl::IsPermissionDenied(status) || absl::IsFailedPrecondition(status)) {
    lost(trouble_);  // nothing comes until somebody has cured it, which may be soon
    pull_later();
  } else if (!absl::IsOutOfRange(status)) {
    lost(trouble_);  // there will never be a price: say so at once
  }
}

void Watcher::publish_due() {
  due_ = 0;
  if (!role_.held() || !ahead_) return;
  if (ahead_->since > market_.now()) {
    due_ = market_.at(ahead_->since, [this] { publish_due(); });
    return;
  }
  publish(*ahead_);
  ahead_.reset();
  expect_news();
  pull();
}

void Watcher::publish(const Price& price) {
  Fact* const news = learn(price.place, price.since, price.usd_per_hour);
  // What was before is no news: it is told to who asks for what is known.
  if (const auto past = feed_ ? feed_->take_past(price.place) : std::nullopt)
    facts_.at(price.place.id()).hourly.look_back(*past);
  if (news == nullptr) return;
  if (news->subject.empty()) news->subject = place_subject(price.place.id());
  Draft draft = context_.draft(news->subject);
  auto change = draft.payload().initSpotPriceChanged();
  write_place(price.place, options_.labels, change.initPlace());
  change.setPriceNanoUsdPerHour(price.usd_per_hour.nano_usd);
  change.setSinceNs(absl::ToUnixNanos(price.since));
  change.setSource(feed_ ? feed_->source() : "configuration");
  if (const Event event = context_.publish(std::move(draft))) news->event = event.id();
}

void Watcher::expect_news() {
  context_.cancel(silence_);
  const Duration span =
      std::max(options_.market.cluster_span(options_.silence), options_.silence_min);
  silence_ = context_.after(span, [this, term = term_] {
    silence_ = 0;
    if (term != term_) return;
    lost(trouble_.empty() ? absl::StrCat("no price for ", absl::FormatDuration(options_.silence),
                                         " of market time")
                          : trouble_);
  });
}

void Watcher::lost(const std::string& why) {
  if (lost_since_ || !role_.held()) return;
  absl::Time last = options_.market.origin;
  for (const auto& [place, fact] : facts_) last = std::max(last, fact.since);
  lost_since_ = last;
  Draft draft = context_.draft("feed");
  auto event = draft.payload().initSpotFeedLost();
  event.setSource(source_);
  event.setSinceNs(absl::ToUnixNanos(last));
  event.setWhy(why);
  context_.publish(std::move(draft));
}

void Watcher::restored() {
  if (!lost_since_) return;
  lost_since_.reset();
  Draft draft = context_.draft("feed");
  auto event = draft.payload().initSpotFeedRestored();
  event.setSource(source_);
  event.setSinceNs(market_.now_ns());
  context_.publish(std::move(draft));
}

// The first at once, those that come soon after it together, with the first one's reason.
void Watcher::reject(const absl::Status& why) {
  const auto tell = [this, why] {
    rejected_at_ = context_.now();
    Draft draft = context_.draft("feed");
    auto event = draft.payload().initBusRejected();
    event.setFrom(source_);
    event.setWhy(std::string(why.message()));
    event.setCount(std::exchange(rejected_, 0));
    context_.publish(std::move(draft));
  };
  const bool waits = ++rejected_ > 1;
  const Instant next = rejected_at_ ? *rejected_at_ + options_.rejected_every : context_.now();
  if (waits) return;
  if (next <= context_.now()) return tell();
  context_.after(next - context_.now(), tell);
}

}  // namespace supercloud
