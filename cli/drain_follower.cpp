#include "cli/drain_follower.h"

#include "absl/strings/str_cat.h"
#include "actors/observer/describe.h"
#include "actors/observer/words.h"
#include "core/vm_name.h"

namespace supercloud {

bool DrainFollower::concerns(const Event& event) const {
  switch (event.type()) {
    case schema::Payload::NODE_DRAINING:
    case schema::Payload::NODE_DRAINED:
    case schema::Payload::NODE_UNDRAINED:
    case schema::Payload::NODE_LEFT:
      return event.subject() == node_ && event.time() >= begun_;
    case schema::Payload::MIGRATION_PROPOSED:
      return text(event.payload().getMigrationProposed().getSourceNode()) == node_;
    default:
      return moves_.contains(event.migration());
  }
}

std::string DrainFollower::fold(const Event& event) {
  if (!concerns(event)) return "";
  if (event.type() == schema::Payload::MIGRATION_PROGRESS) {
    moves_.at(event.migration()).percent = event.payload().getMigrationProgress().getPercent();
    return "";
  }
  return told_.insert(event.id()).second ? say(event) : "";
}

std::string DrainFollower::say(const Event& event) {
  const auto payload = event.payload();
  switch (event.type()) {
    case schema::Payload::NODE_DRAINING: {
      const auto draining = payload.getNodeDraining();
      begun_ = event.time();
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
      outcome_ = Outcome{true, describe(event)};
      return "";
    case schema::Payload::NODE_UNDRAINED:
      outcome_ = Outcome{false, describe(event)};
      return "";
    case schema::Payload::NODE_LEFT:
      return describe(event);
    case schema::Payload::MIGRATION_PROPOSED:
      moves_[event.id()] = {VmName::of(event).to_string(), 0};
      return describe(event);
    case schema::Payload::MIGRATION_COMPLETED:
    case schema::Payload::MIGRATION_REFUSED:
    case schema::Payload::MIGRATION_ABORTED:
      moves_.erase(event.migration());
      if (event.type() == schema::Payload::MIGRATION_COMPLETED && guests_ > 0) --guests_;
      return describe(event);
    case schema::Payload::MIGRATION_HURRIED:
    case schema::Payload::MIGRATION_PLANNED:
      return describe(event);
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
