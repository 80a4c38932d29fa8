#include "cli/replay/silence.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/spot/price_text.h"

namespace supercloud {
namespace {

// As options take it.
std::string option_time(absl::Time at) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", at, absl::UTCTimeZone());
}

// What of it lies within `replayed`, without what is left out, which is in the order of `from`.
absl::Duration replayed_of(const MarketSpan& silence, const MarketSpan& replayed,
                           const std::vector<MarketSpan>& left_out) {
  absl::Time at = std::max(silence.from, replayed.from);
  const absl::Time to = std::min(silence.to, replayed.to);
  absl::Duration length = to - at;
  for (const MarketSpan& out : left_out) {
    at = std::max(at, out.from);
    const absl::Time ends = std::min(out.to, to);
    if (ends <= at) continue;
    length -= ends - at;
    at = ends;
  }
  return length;
}

}  // namespace

void SilenceListener::next(Reply<Price> reply) {
  const Instant deadline = reply.deadline();
  feed_.next(
      Reply<Price>(deadline, [this, reply = std::move(reply)](absl::StatusOr<Price> price) mutable {
        if (price.ok()) {
          if (newest_ && price->since - *newest_ > longest_silence)
            silences_.push_back({*newest_, price->since});
          newest_ = price->since;
        }
        reply(std::move(price));
      }));
}

std::string SilenceListener::note(absl::Time from, absl::Time to,
                                  std::vector<MarketSpan> left_out) const {
  std::ranges::sort(left_out, {}, &MarketSpan::from);
  std::vector<MarketSpan> silences = silences_;
  if (newest_ && *newest_ < to) silences.push_back({*newest_, to});
  const MarketSpan* longest = nullptr;
  absl::Duration length = longest_silence;
  int others = -1;
  for (const MarketSpan& silence : silences) {
    const absl::Duration replayed = replayed_of(silence, {from, to}, left_out);
    if (replayed <= longest_silence) continue;
    ++others;
    if (replayed <= length) continue;
    longest = &silence;
    length = replayed;
  }
  if (longest == nullptr) return "";
  std::string cure;
  if (longest->from > from) absl::StrAppend(&cure, "--to ", option_time(longest->from));
  if (longest->to < to)
    absl::StrAppend(&cure, cure.empty() ? "" : " or ", "--from ", option_time(longest->to));
  return absl::StrCat(source(), ": no price changes from ", option_time(longest->from), " to ",
                      option_time(longest->to), ", of which ", absl::ToInt64Hours(length) / 24,
                      " days are replayed; correct the time of the price before or after, if it is "
                      "wrong",
                      cure.empty() ? "" : ", or replay one side with " + cure,
                      others > 0 ? absl::StrCat("; and ", others, " more such times") : "", ".\n");
}

}  // namespace supercloud
