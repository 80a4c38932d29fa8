#include "bus/heard_before.h"

#include <algorithm>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/text.h"
#include "core/topic.h"

namespace supercloud {

namespace {

HeardBefore::Position position_of(const Event& event) {
  return {event.incarnation(), event.sequence()};
}

}  // namespace

bool HeardBefore::is_replay(const Event& event) const {
  const auto found = before_.find(event.origin());
  return found != before_.end() && position_of(event) <= found->second.position &&
         event.time() <= found->second.time;
}

void HeardBefore::heard(const Event& event, absl::Time wall) {
  const absl::Time latest = wall + HybridClock::max_ahead;
  // An incarnation is the time of its begin in ms, or a smaller number.
  const auto latest_ms =
      static_cast<std::uint64_t>(std::max(absl::ToUnixMillis(latest), std::int64_t{0}));
  if (event.time() > HybridTime::at(latest) || event.incarnation() > latest_ms) return;
  auto found = newest_.find(event.origin());
  if (found == newest_.end()) {
    make_room(event.origin());
    found = newest_.emplace(event.origin(), Newest()).first;
  }
  Newest& newest = found->second;
  const Newest before = newest;
  newest.position = std::max(newest.position, position_of(event));
  newest.time = std::max(newest.time, event.time());
  changed_ = changed_ || newest != before;
}

void HeardBefore::make_room(std::string_view origin) {
  const auto oldest = [](const auto& a, const auto& b) { return a.second.time < b.second.time; };
  const std::string lead = absl::StrCat(absl_view(node_of(origin)), "/");
  const auto first = newest_.lower_bound(lead);
  auto last = first;
  std::size_t of_node = 0;
  for (; last != newest_.end() && last->first.starts_with(lead); ++last) ++of_node;
  if (of_node >= of_one_node_max) {
    newest_.erase(std::min_element(first, last, oldest));
  } else if (newest_.size() >= origins_max) {
    full_ = true;
    newest_.erase(std::min_element(newest_.begin(), newest_.end(), oldest));
  }
}

void HeardBefore::forget(absl::FunctionRef<bool(std::string_view node)> meant) {
  const auto is_meant = [&](const auto& entry) { return meant(node_of(entry.first)); };
  std::erase_if(before_, is_meant);
  if (std::erase_if(newest_, is_meant) > 0) changed_ = true;
}

std::string encode(const HeardBefore::Positions& positions) {
  std::string text;
  for (const auto& [origin, newest] : positions)
    absl::StrAppend(&text, origin, " ", newest.position.incarnation, " ", newest.position.sequence,
                    " ", newest.time.value, "\n");
  return text;
}

absl::StatusOr<HeardBefore::Positions> decode_heard(std::string_view text) {
  HeardBefore::Positions positions;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const std::vector<std::string> parts =
        absl::StrSplit(absl_view(text.substr(0, end)), absl::MaxSplits(' ', 4));
    HeardBefore::Newest newest;
    if (end == std::string_view::npos || parts.size() != 4 || !is_origin(parts[0]) ||
        !absl::SimpleAtoi(parts[1], &newest.position.incarnation) ||
        !absl::SimpleAtoi(parts[2], &newest.position.sequence) ||
        !absl::SimpleAtoi(parts[3], &newest.time.value) ||
        positions.size() >= HeardBefore::origins_max)
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, " is no origin with three numbers"));
    positions[parts[0]] = newest;
    text.remove_prefix(end + 1);
  }
  return positions;
}

}  // namespace supercloud
