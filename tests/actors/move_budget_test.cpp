// Budgets of moves, on worlds made by hand.
#include "actors/policy/move_budget.h"

#include <cstdint>
#include <functional>
#include <string>

#include "core/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace supercloud {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::int64_t hour_ns = 3'600'000'000'000, now_ns = 400'000 * hour_ns;

std::string spent(const std::function<void(schema::World::Builder)>& fill) {
  return spent_budget(Message<schema::World>::build([&](schema::World::Builder world) {
                        world.setNowNs(now_ns);
                        fill(world);
                      }).reader());
}

std::string after_a_move(int age_hours, bool leaving) {
  return spent([&](schema::World::Builder world) {
    world.initVm().setMovesPerDay(1);
    auto move = world.initRecentMoves(1)[0];
    move.setAtNs(now_ns - age_hours * hour_ns);
    move.setCompleted(true);
    move.setLeaving(leaving);
  });
}

TEST(MoveBudget, IsSpentByTheVmsOwnMovesOfADayButNotByFlights) {
  EXPECT_THAT(after_a_move(2, false), HasSubstr("the VM has moved once within a day"));
  EXPECT_THAT(after_a_move(23, false), HasSubstr("as often as it may"));
  EXPECT_THAT(after_a_move(24, false), IsEmpty());
  EXPECT_THAT(after_a_move(2, true), IsEmpty());
}

TEST(MoveBudget, IsSharedWithAllVms) {
  const auto of_day = [](std::uint32_t made) {
    return spent([made](schema::World::Builder world) {
      world.initFleet().setMovesPerDay(3);
      world.getFleet().setMovesOfDay(made);
    });
  };
  EXPECT_THAT(of_day(2), IsEmpty());
  EXPECT_THAT(of_day(3), HasSubstr("all VMs together have moved 3 times"));
  const auto at_once = [](std::uint32_t moving) {
    return spent([moving](schema::World::Builder world) {
      world.initFleet().setMovingMax(2);
      world.getFleet().setMoving(moving);
    });
  };
  EXPECT_THAT(at_once(1), IsEmpty());
  EXPECT_THAT(at_once(2), HasSubstr("2 other VMs are moving, as many as may at once"));
}

TEST(MoveBudget, HoldsBackNobodyWhoMayNotStay) {
  const auto here = [](bool allowed, std::int64_t price) {
    return spent([&](schema::World::Builder world) {
      world.setCurrentPlace("a");
      world.setCurrentInstance("i-1");
      auto view = world.initCandidates(1)[0];
      view.initPlace().setId("a");
      view.getPlace().setSpot(true);
      view.setAllowed(allowed);
      view.setPriceKnown(true);
      view.setPriceNanoUsdPerHour(price);
      auto instance = view.initInstances(1)[0];
      instance.setInstance("i-1");
      instance.setBidNanoUsdPerHour(100);
      world.initFleet().setMovesPerDay(1);
      world.getFleet().setMovesOfDay(1);
    });
  };
  EXPECT_THAT(here(true, 100), HasSubstr("all VMs together have moved once"));
  EXPECT_THAT(here(false, 100), IsEmpty());
  EXPECT_THAT(here(true, 101), IsEmpty())
      << "the price exceeds the bid: the cloud is about to take it";
}

TEST(MoveBudget, HoldsBackNoFlight) {
  EXPECT_THAT(spent([](schema::World::Builder world) {
                world.setNoticeDeadlineNs(now_ns + hour_ns);
                auto fleet = world.initFleet();
                fleet.setMovesPerDay(1);
                fleet.setMovesOfDay(1);
                fleet.setMovingMax(1);
                fleet.setMoving(1);
              }),
              IsEmpty());
}

TEST(MoveBudget, ADecisionThatIsHeldBackSaysWhatItWasAndWhenToLookAgain) {
  const auto wanted = Message<schema::Decision>::build([](schema::Decision::Builder decision) {
    decision.setChoice("b");
    decision.setReason("b is cheaper");
    decision.setWakeAtNs(7);
    decision.setPricesMatterAtNs(5);
    decision.setPriceHereMattersAboveNanoUsd(3);
    decision.initCandidates(1)[0].setPlace("b");
    decision.setGainNanoUsd(11);
  });
  const auto held = held_back(wanted.reader(), "the budget is spent");
  const auto decision = held.reader();
  EXPECT_EQ(str(decision.getChoice()), "");
  EXPECT_EQ(str(decision.getReason()),
            "staying for now: the budget is spent; else it would go to b: b is cheaper");
  EXPECT_EQ(decision.getWakeAtNs(), 7);
  EXPECT_EQ(decision.getPricesMatterAtNs(), 5);
  EXPECT_EQ(decision.getPriceHereMattersAboveNanoUsd(), 3);
  EXPECT_EQ(decision.getCandidates().size(), 1U);
  EXPECT_EQ(decision.getGainNanoUsd(), 0);
}

}  // namespace
}  // namespace supercloud
