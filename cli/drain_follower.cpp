#include "cli/drain_follower.h"

#include "absl/strings/str_cat.h"
#include "actors/observer/describe.h"
#include "actors/observer/words.h"
#include "core/vm_name.h"

namespace supercloud {

std::string DrainFollower::fold(const Event& event) {
  if (event.type() == schema::Payload::MIGRATION_PROGRESS) {
    if (const auto move = moves_.find(event.migration()); move != moves_.end())
      move->second.percent = event.payload().getMigrationProgress().getPercent();
    return "";
  }
  return told_.insert(event.id()).second ? say(event) : "";
}

std::string DrainFollower::say(const Event& event) {
  const auto payload = event.payload();
  const bool of_node = event.subject() == node_;
  switch (event.type()) {
    case schema::Payload::NODE_DRAINING: {
      if (!of_node) return "";
      const auto draining = payload.getNodeDraining();
      outcome_.reset();
      guests_ = draining.getGuests();
      stays_.clear();
      for (const auto check : draining.getStays())
        absl::StrAppend(&stays_, stays_.empty() ? "" : "\n", str(check.getName()), ": ",
                        str(check.getDetail()), check.getCure().size() == 0 ? "" : "; ",
                        str(check.getCure()));
      return describe(event);
    }
    case schema::Payload::NODE_DRAINED:
      if (!of_node) return "";
      outcome_ = Outcome{true, payload.getNodeDrained().getMoved(), describe(event)};
      return "";
    case schema::Payload::NODE_UNDRAINED:
    case schema::Payload::NODE_LEFT:
      if (!of_node) return "";
      outcome_ = Outcome{false, 0, describe(event)};
      return "";
    case schema::Payload::MIGRATION_PROPOSED:
      if (text(payload.getMigrationProposed().getSourceNode()) != node_) return "";
      moves_[event.id()] = {VmName::of(event).to_string(), 0};
      return describe(event);
    case schema::Payload::MIGRATION_COMPLETED:
    case schema::Payload::MIGRATION_REFUSED:
    case schema::Payload::MIGRATION_ABORTED:
      if (moves_.erase(event.migration()) == 0) return "";
      if (event.type() == schema::Payload::MIGRATION_COMPLETED && guests_ > 0) --guests_;
      return describe(event);
    case schema::Payload::MIGRATION_HURRIED:
      return moves_.contains(event.migration()) ? describe(event) : "";
    default:
      return "";
  }
}

std::string DrainFollower::status(std::size_t width) const {
  std::string out = absl::StrCat(count_words(moves_.size(), "guest", "guests"), " on the way: ");
  std::string separator;
  for (const auto& [migration, move] : moves_) {
    absl::StrAppend(&out, separator, move.vm, " ", move.percent, " %");
    separator = ", ";
  }
  if (guests_ > moves_.size()) absl::StrAppend(&out, "; ", guests_ - moves_.size(), " more");
  return out.substr(0, width);
}

}  // namespace supercloud
