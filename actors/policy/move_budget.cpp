#include "actors/policy/move_budget.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/text.h"

namespace supercloud {

std::string spent_budget(schema::World::Reader world) {
  if (world.getNoticeDeadlineNs() != 0) return "";
  if (const std::uint32_t most = world.getVm().getMovesPerDay(); most > 0) {
    const std::int64_t yesterday = world.getNowNs() - absl::ToInt64Nanoseconds(absl::Hours(24));
    std::uint32_t made = 0;
    for (const auto move : world.getRecentMoves())
      if (move.getAtNs() > yesterday && !move.getLeaving()) ++made;
    if (made >= most)
      return absl::StrCat("the VM has moved ", made, " times within a day, as often as it may");
  }
  const auto fleet = world.getFleet();
  if (fleet.getMovesPerDay() > 0 && fleet.getMovesOfDay() >= fleet.getMovesPerDay())
    return absl::StrCat("all VMs together have moved ", fleet.getMovesOfDay(),
                        " times within a day, as often as they may");
  if (fleet.getMovingMax() > 0 && fleet.getMoving() >= fleet.getMovingMax())
    return absl::StrCat(fleet.getMoving(), " other VMs are moving, as many as may at once");
  return "";
}

Message<schema::Decision> held_back(schema::Decision::Reader decision, const std::string& spent) {
  return Message<schema::Decision>::build([&](schema::Decision::Builder stay) {
    stay.setCandidates(decision.getCandidates());
    stay.setReason(absl::StrCat("staying for now: ", spent, "; else it would go to ",
                                str(decision.getChoice()), ": ", str(decision.getReason())));
    stay.setWakeAtNs(decision.getWakeAtNs());
    stay.setEvidence(decision.getEvidence());
    stay.setPricesMatterAtNs(decision.getPricesMatterAtNs());
    stay.setPriceHereMattersAboveNanoUsd(decision.getPriceHereMattersAboveNanoUsd());
  });
}

}  // namespace supercloud
