#include "actors/policy/move_budget.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "actors/policy/outlook.h"
#include "core/text.h"

namespace supercloud {

namespace {

std::string times(std::uint32_t count) {
  return count == 1 ? "once" : absl::StrCat(count, " times");
}

}  // namespace

bool only_saves(schema::World::Reader world) {
  const Outlook outlook(world);
  return outlook.danger().empty() && (!outlook.current() || outlook.current()->getAllowed());
}

std::string spent_budget(schema::World::Reader world) {
  if (!only_saves(world)) return "";
  if (const std::uint32_t most = world.getVm().getMovesPerDay(); most > 0) {
    const std::int64_t yesterday = world.getNowNs() - absl::ToInt64Nanoseconds(absl::Hours(24));
    std::uint32_t made = 0;
    for (const auto move : world.getRecentMoves())
      if (move.getAtNs() > yesterday && !move.getLeaving()) ++made;
    if (made >= most)
      return absl::StrCat("the VM has moved ", times(made), " within a day, as often as it may");
  }
  const auto fleet = world.getFleet();
  if (fleet.getMovesPerDay() > 0 && fleet.getMovesOfDay() >= fleet.getMovesPerDay())
    return absl::StrCat("all VMs together have moved ", times(fleet.getMovesOfDay()),
                        " within a day, as often as they may");
  if (fleet.getMovingMax() > 0 && fleet.getMoving() >= fleet.getMovingMax())
    return fleet.getMoving() == 1
               ? "another VM is moving, and no more may at once"
               : absl::StrCat(fleet.getMoving(), " other VMs are moving, as many as may at once");
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
