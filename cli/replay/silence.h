// Times in which no price changes, so long that one in the files may be wrong: a row dated a year late makes a week a year.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "actors/spot/price_feed.h"
#include "simulation/replay/price_grid.h"

namespace supercloud {

// Passes on what a feed says, and keeps where it was silent for longer than longest_silence (price_text.h). Thread-bound. Within all
// the times that a price may have, that is less than two thousand times.
class SilenceListener final : public PriceFeed {
 public:
  // It outlives this.
  explicit SilenceListener(PriceFeed& feed) : feed_(feed) {}
  std::string source() const override { return feed_.source(); }
  void next(Reply<Price> reply) override;

  // For stderr: the longest silence of which more than longest_silence is replayed, and the cure; empty: there is none. `left_out` is
  // not replayed.
  std::string note(absl::Time from, absl::Time to, std::vector<MarketSpan> left_out) const;

 private:
  PriceFeed& feed_;
  std::optional<absl::Time> newest_;
  std::vector<MarketSpan> silences_;  // from a price to the next one
};

}  // namespace supercloud
