#include "simulation/faulty_feed.h"

#include <algorithm>
#include <utility>

namespace supercloud {

void FeedFaults::spike(const PlaceName& place, Money price, absl::Time from, absl::Duration span) {
  from = std::max(from, told_ + absl::Milliseconds(1));
  if (from >= rest_ || spike_at(place, from) != nullptr) return;
  const auto later =
      std::upper_bound(spikes_.begin(), spikes_.end(), from,
                       [](absl::Time at, const Spike& spike) { return at < spike.from; });
  spikes_.insert(later, {place, price, from, from + span});
}

void FeedFaults::rest(absl::Time at) {
  rest_ = std::max(at, told_ + absl::Milliseconds(1));
  for (Spike& spike : spikes_) spike.until = std::min(spike.until, rest_);
}

const FeedFaults::Spike* FeedFaults::spike_at(const PlaceName& place, absl::Time when) const {
  for (const Spike& spike : spikes_)
    if (spike.place == place && spike.from <= when && when < spike.until) return &spike;
  return nullptr;
}

void FaultyFeed::pull() {
  feed_->next(
      Reply<Price>(far_future, [this](absl::StatusOr<Price> price) { ahead_ = std::move(price); }));
  asked_ = true;
}

// The next beginning or end of a spike after what was told.
std::optional<Price> FaultyFeed::next_of_spikes() const {
  std::optional<Price> next;
  const auto offer = [&](const PlaceName& place, Money price, absl::Time at) {
    const auto told = told_of_.find(place);
    if (at < told_ || (told != told_of_.end() && at <= told->second)) return;
    if (!next || at < next->since) next = Price{place, price, at};
  };
  for (const FeedFaults::Spike& spike : faults_.spikes_) {
    const auto below = below_.find(spike.place);
    if (below == below_.end() || spike.until <= spike.from) continue;
    offer(spike.place, spike.price, spike.from);
    if (faults_.spike_at(spike.place, spike.until) == nullptr)
      offer(spike.place, below->second, spike.until);
  }
  return next;
}

void FaultyFeed::next(Reply<Price> reply) {
  if (faults_.stopped_) return reply(absl::UnavailableError("simulated: the feed has stopped"));
  while (true) {
    if (!asked_) pull();
    if (!ahead_.ok() && !absl::IsOutOfRange(ahead_.status())) {
      asked_ = false;
      return reply(ahead_.status());
    }
    std::optional<Price> price = next_of_spikes();
    const bool of_feed = ahead_.ok() && (!price || ahead_->since < price->since);
    if (of_feed) price = *ahead_;
    if (!price) return reply(ahead_.status());
    if (price->since > faults_.rest_)
      return reply(absl::UnavailableError("simulated: the market rests"));
    if (of_feed) {
      asked_ = false;
      below_[price->place] = price->usd_per_hour;
      if (faults_.spike_at(price->place, price->since) != nullptr) continue;
    }
    told_ = std::max(told_, price->since);
    told_of_[price->place] = price->since;
    faults_.told_ = std::max(faults_.told_, told_);
    return reply(*std::move(price));
  }
}

}  // namespace supercloud
