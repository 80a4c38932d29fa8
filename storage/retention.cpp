#include "storage/retention.h"

#include <algorithm>
#include <utility>

namespace supercloud {
namespace {

constexpr std::uint64_t slack = 32;  // a limit's part
constexpr Duration ahead_max = absl::Hours(1);

bool beyond(std::uint64_t limit, std::uint64_t there, bool exactly) {
  return there > limit && (exactly || there - limit > limit / slack);
}

}  // namespace

RetainedPast::Passed RetainedPast::passed(std::uint64_t position, const Event& event) {
  return {.position = position,
          .time = event.time(),
          .latest = retention_of(event.type()) == schema::Retention::LATEST,
          .bytes = event.bytes().size(),
          .topic = event.topic(),
          .origin = event.origin(),
          .incarnation = event.incarnation(),
          .sequence = event.sequence()};
}

bool RetainedPast::keeps(std::string_view topic, std::uint64_t position) const {
  if (position >= begins_) return true;
  const auto found = by_topic_.find(topic);
  return found != by_topic_.end() && found->second.position == position;
}

std::optional<std::uint64_t> RetainedPast::first_kept(
    absl::FunctionRef<bool(const Kept&)> wanted) const {
  std::optional<std::uint64_t> found;
  for (const auto& [topic, kept] : by_topic_)
    if (wanted(kept)) found = std::min(found.value_or(kept.position), kept.position);
  return found;
}

bool RetainedPast::over(const Retention& limits, std::uint64_t next, absl::Time now,
                        HybridTime oldest) {
  // One from the future, which only a log that was read could bring in, would hold up all behind it.
  const bool strange = limits.age != absl::InfiniteDuration() && oldest.wall() > now + ahead_max;
  passing_ = strange || beyond(limits.events, next - begins_, passing_) ||
             beyond(limits.bytes, bytes_, passing_) ||
             oldest.wall() < now - limits.age - (passing_ ? Duration() : limits.age / slack);
  return passing_;
}

std::optional<std::uint64_t> RetainedPast::pass(const Passed& event) {
  begins_ = event.position + 1;
  bytes_ -= std::min(bytes_, event.bytes);
  if (!event.latest) return event.position;
  const auto before = by_topic_.find(event.topic);
  if (before == by_topic_.end()) {
    keep(event);
    return std::nullopt;
  }
  // In an archive a later one may have come in sooner.
  if (event.time < before->second.time) return event.position;
  const std::uint64_t gone = before->second.position;
  keep(event);
  return gone;
}

void RetainedPast::keep(const Passed& event) {
  by_topic_.insert_or_assign(std::string(event.topic),
                             Kept{event.time, event.position, std::string(event.origin),
                                  event.incarnation, event.sequence});
}

}  // namespace supercloud
