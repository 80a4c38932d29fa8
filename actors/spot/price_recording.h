// What a feed has said, heard once and told again: for those who go through the same prices several times, and need not read the files
// anew for that. A price takes 32 bytes here, where its event in a log takes ten times as much.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "actors/spot/in_force.h"
#include "actors/spot/price_feed.h"

namespace supercloud {

// Thread-bound while a RecordingFeed listens; const, it is thread-safe.
class PriceRecording {
 public:
  struct Limits {
    std::size_t prices_max = 1'000'000;
    std::size_t damages_max = 10'000;
  };

  PriceRecording() : PriceRecording(Limits{}) {}
  explicit PriceRecording(Limits limits) : limits_(limits) {}

  // Whether all was kept that was said; else nothing is, for it was too much.
  bool whole() const { return !overflown_; }
  const std::string& source() const { return source_; }

 private:
  friend class RecordingFeed;
  friend class RecordedFeed;
  struct Said {
    absl::Time since;
    Money usd_per_hour;
    std::uint32_t place = 0;  // its number; or damage_said, and what it was is the next of damages_
  };
  static constexpr std::uint32_t damage_said = UINT32_MAX;

  void hear(const absl::StatusOr<Price>& answer);
  void overflow();

  Limits limits_;
  std::string source_;
  std::vector<Said> said_;
  std::vector<PlaceName> places_;
  std::map<PlaceName, std::uint32_t> numbers_;
  std::uint32_t last_ = 0;  // place
  std::vector<absl::Status> damages_;
  absl::Status end_ = absl::OutOfRangeError("the end of what was recorded");
  bool overflown_ = false;
};

// A feed whose answers are recorded as they pass through. It answers at once, as files do. Thread-bound.
class RecordingFeed final : public PriceFeed {
 public:
  // Both outlive it.
  RecordingFeed(PriceFeed& feed, PriceRecording& recording);
  std::string source() const override { return feed_.source(); }
  void next(Reply<Price> reply) override;

  // Goes on alone, until a price comes into force after `until`, or the feed ends.
  void listen_until(absl::Time until);

 private:
  PriceFeed& feed_;
  PriceRecording& recording_;
  absl::Time newest_ = absl::InfinitePast();
  bool ended_ = false;
};

// Tells it, with the same damages in between, and ends as the feed did. Thread-bound.
class RecordedFeed final : public PriceFeed {
 public:
  // Of the prices up to `from` those in force then come first.
  explicit RecordedFeed(std::shared_ptr<const PriceRecording> recording,
                        absl::Time from = absl::InfinitePast())
      : recording_(std::move(recording)), in_force_(from) {}
  std::string source() const override { return recording_->source(); }
  void next(Reply<Price> reply) override;

 private:
  absl::StatusOr<Price> advance();

  std::shared_ptr<const PriceRecording> recording_;
  std::size_t told_ = 0, damages_told_ = 0;
  InForce in_force_;
  bool started_ = false;                        // `from` has been reached
  std::optional<absl::StatusOr<Price>> first_;  // after it
};

}  // namespace supercloud
