#include "bus/heard_before.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/text.h"
#include "core/topic.h"

namespace supercloud {

bool HeardBefore::is_replay(const Event& event) const {
  const auto found = before_.find(event.origin());
  return found != before_.end() && Position{event.incarnation(), event.sequence()} <= found->second;
}

void HeardBefore::heard(const Event& event) {
  const Position position{event.incarnation(), event.sequence()};
  auto found = newest_.find(event.origin());
  if (found == newest_.end()) {
    if (newest_.size() >= origins_max) return;
    found = newest_.emplace(event.origin(), Position()).first;
  }
  if (position <= found->second) return;
  found->second = position;
  changed_ = true;
}

std::string encode(const HeardBefore::Positions& positions) {
  std::string text;
  for (const auto& [origin, position] : positions)
    absl::StrAppend(&text, origin, " ", position.incarnation, " ", position.sequence, "\n");
  return text;
}

absl::StatusOr<HeardBefore::Positions> decode_heard(std::string_view text) {
  HeardBefore::Positions positions;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const std::vector<std::string> parts =
        absl::StrSplit(absl_view(text.substr(0, end)), absl::MaxSplits(' ', 3));
    HeardBefore::Position position;
    if (end == std::string_view::npos || parts.size() != 3 || !is_origin(parts[0]) ||
        !absl::SimpleAtoi(parts[1], &position.incarnation) ||
        !absl::SimpleAtoi(parts[2], &position.sequence) ||
        positions.size() >= HeardBefore::origins_max)
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, " is no origin with two numbers"));
    positions[parts[0]] = position;
    text.remove_prefix(end + 1);
  }
  return positions;
}

}  // namespace supercloud
