#include "actors/spot/price_recording.h"

#include <cassert>
#include <optional>
#include <utility>

namespace supercloud {

void PriceRecording::overflow() {
  overflown_ = true;
  said_ = {};
  places_ = {};
  numbers_ = {};
  damages_ = {};
}

void PriceRecording::hear(const absl::StatusOr<Price>& answer) {
  if (overflown_) return;
  if (!answer.ok()) {
    if (!absl::IsDataLoss(answer.status())) {
      end_ = answer.status();
    } else if (damages_.size() == limits_.damages_max) {
      overflow();
    } else {
      said_.push_back({{}, {}, damage_said});
      damages_.push_back(answer.status());
    }
    return;
  }
  if (said_.size() == limits_.prices_max) return overflow();
  // Feeds tell of few places, one after another.
  if (places_.empty() || places_[last_] != answer->place) {
    const auto [known, is_new] =
        numbers_.try_emplace(answer->place, static_cast<std::uint32_t>(places_.size()));
    if (is_new) places_.push_back(answer->place);
    last_ = known->second;
  }
  said_.push_back({answer->since, answer->usd_per_hour, last_});
}

RecordingFeed::RecordingFeed(PriceFeed& feed, PriceRecording& recording)
    : feed_(feed), recording_(recording) {
  recording_.source_ = feed_.source();
}

void RecordingFeed::next(Reply<Price> reply) {
  std::optional<absl::StatusOr<Price>> answer;
  feed_.next(Reply<Price>(far_future,
                          [&answer](absl::StatusOr<Price> price) { answer = std::move(price); }));
  assert(answer.has_value() && "a feed that is recorded has to answer at once");
  recording_.hear(*answer);
  if (answer->ok()) newest_ = (*answer)->since;
  ended_ = !answer->ok() && !absl::IsDataLoss(answer->status());
  reply(*std::move(answer));
}

void RecordingFeed::listen_until(absl::Time until) {
  while (!ended_ && newest_ <= until)
    next(Reply<Price>(far_future, [](const absl::StatusOr<Price>&) {}));
}

absl::StatusOr<Price> RecordedFeed::advance() {
  if (told_ == recording_->said_.size()) return recording_->end_;
  const PriceRecording::Said& said = recording_->said_[told_++];
  if (said.place == PriceRecording::damage_said) return recording_->damages_[damages_told_++];
  return Price{recording_->places_[said.place], said.usd_per_hour, said.since};
}

void RecordedFeed::next(Reply<Price> reply) {
  while (!started_) {
    absl::StatusOr<Price> price = advance();
    if (price.ok() && in_force_.keep(*price)) continue;
    if (absl::IsDataLoss(price.status())) return reply(price.status());  // the next call goes on
    started_ = true;
    in_force_.close();
    first_ = std::move(price);
  }
  if (std::optional<Price> price = in_force_.take()) return reply(*std::move(price));
  if (first_) return reply(*std::exchange(first_, std::nullopt));
  reply(advance());
}

}  // namespace supercloud
