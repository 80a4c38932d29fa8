// The policy smart-spot on worlds made by hand.
#include "actors/policy/smart_spot.h"

#include <functional>
#include <string>
#include <vector>

#include "core/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace supercloud {
namespace {

using testing::HasSubstr;

constexpr std::int64_t cent = 10'000'000, hour = 3'600'000'000'000, minute = hour / 60;
constexpr std::int64_t start = 400'000 * hour;

struct Zone {
  std::string name;
  std::int64_t price = 0;
  std::vector<std::int64_t> marks;  // newest first
  bool spot = true;
};

class SmartSpotTest : public testing::Test {
 protected:
  // The VM is at the first zone; two minutes are left of its hour.
  Message<schema::Decision> decide(const std::vector<Zone>& zones,
                                   const std::function<void(schema::World::Builder)>& more = {}) {
    return decide_smart_spot(
        Message<schema::World>::build([&](schema::World::Builder world) {
          world.setNowNs(start + 58 * minute);
          world.setCurrentPlace(zones[0].name);
          world.setCurrentInstance("i-1");
          auto costs = world.initCosts();
          costs.setTransferBytes(std::uint64_t{6} << 30);
          costs.setEgressNanoUsdPerGib(cent);
          costs.setMigrationNs(minute / 2);
          costs.setLaunchNs(minute);
          world.initMarket().setLeadNs(3 * minute);
          auto list = world.initCandidates(static_cast<unsigned>(zones.size()));
          for (unsigned i = 0; i < zones.size(); ++i) {
            auto view = list[i];
            view.initPlace().setId(zones[i].name);
            view.getPlace().setSpot(zones[i].spot);
            view.setPriceKnown(true);
            view.setAllowed(true);
            view.setPriceNanoUsdPerHour(zones[i].price);
            view.setOnDemandNanoUsdPerHour(20 * cent);
            if (zones[i].spot) view.setBidNanoUsdPerHour(20 * cent);
            auto marks = view.initHourlyNanoUsd(static_cast<unsigned>(zones[i].marks.size()));
            for (unsigned k = 0; k < marks.size(); ++k) marks.set(k, zones[i].marks[k]);
          }
          auto instance = list[0].initInstances(1)[0];
          instance.setInstance("i-1");
          instance.setLaunchedNs(start);
          instance.setPaidUntilNs(start + hour);
          instance.setBidNanoUsdPerHour(20 * cent);
          if (more) more(world);
        }).reader(),
        {});
  }
  static std::vector<std::int64_t> always(std::int64_t price) {
    return std::vector<std::int64_t>(336, price);
  }
  static std::string choice(const Message<schema::Decision>& decision) {
    return str(decision.reader().getChoice());
  }
  static std::string reason(const Message<schema::Decision>& decision) {
    return str(decision.reader().getReason());
  }
};

TEST_F(SmartSpotTest, MovesAsThePaidHourEndsIfTheSavingPaysForTheMove) {
  const auto decision =
      decide({{"a", 5 * cent, always(5 * cent)}, {"b", 2 * cent, always(2 * cent)}});
  EXPECT_EQ(choice(decision), "b");
  EXPECT_THAT(reason(decision), HasSubstr("is expected to save"));
  // 3 cents for 72 hours, less the prior's part of a mean gap of zero.
  EXPECT_GT(decision.reader().getGainNanoUsd(), 150 * cent);
  EXPECT_LE(decision.reader().getGainNanoUsd(), 216 * cent);
  EXPECT_GT(decision.reader().getCostNanoUsd(), 6 * cent);
}

TEST_F(SmartSpotTest, WaitsForTheHoursEndAndSaysFromWhenPricesMatter) {
  const auto decision =
      decide({{"a", 5 * cent, always(5 * cent)}, {"b", 2 * cent, always(2 * cent)}},
             [](schema::World::Builder world) { world.setNowNs(start + 30 * minute); });
  EXPECT_EQ(choice(decision), "");
  EXPECT_EQ(decision.reader().getWakeAtNs(), start + 57 * minute);
  EXPECT_EQ(decision.reader().getPricesMatterAtNs(), start + 57 * minute);
  EXPECT_EQ(decision.reader().getPriceHereMattersAboveNanoUsd(), 20 * cent);
}

TEST_F(SmartSpotTest, MovesWithinTheHourWhereEverySecondIsBilledByItself) {
  const std::vector<Zone> zones = {{"a", 5 * cent, always(5 * cent)},
                                   {"b", 2 * cent, always(2 * cent)}};
  const auto by_second = [](schema::World::Builder world) {
    world.setNowNs(start + 30 * minute);
    world.getCandidates()[0].getInstances()[0].setBilling(schema::Billing::PER_SECOND);
  };
  const auto decision = decide(zones, by_second);
  EXPECT_EQ(choice(decision), "b");
  EXPECT_THAT(reason(decision), HasSubstr("the time at a is billed by the second"));
  EXPECT_EQ(decision.reader().getPricesMatterAtNs(), 0) << "every price matters";
  // Both machines are paid while the VM moves, and no longer: transfer of 6 cents, half a minute of 2 cents an hour.
  EXPECT_EQ(decision.reader().getCostNanoUsd(), 60'166'667);
  EXPECT_GT(decide(zones).reader().getCostNanoUsd(), 60'166'667)
      << "by the hour, the old one to the hour's end";
}

TEST_F(SmartSpotTest, StaysWhereTheDifferenceDoesNotPayForTheMove) {
  const auto decision = decide({{"a", 5 * cent, always(5 * cent)},
                                {"b", 5 * cent - cent / 100, always(5 * cent - cent / 100)}});
  EXPECT_EQ(choice(decision), "");
  EXPECT_THAT(reason(decision), HasSubstr("so far would have cost"));
}

TEST_F(SmartSpotTest, DoesNotRunAfterADipOfAPlaceThatIsUsuallyDear) {
  const auto decision =
      decide({{"a", 5 * cent, always(5 * cent)}, {"b", 4 * cent, always(15 * cent)}});
  EXPECT_EQ(choice(decision), "") << reason(decision);
}

TEST_F(SmartSpotTest, MovesOnceBeingElsewhereWouldHaveCostAMoveLess) {
  const auto dearer_for = [](int hours) {
    std::vector<std::int64_t> marks = always(5 * cent);
    for (int i = 0; i < hours; ++i) marks[static_cast<std::size_t>(i)] = 7 * cent;
    return marks;
  };
  const Zone b{"b", 5 * cent, always(5 * cent)};
  // 2 cents an hour, and a move costs 6.3.
  EXPECT_EQ(choice(decide({{"a", 7 * cent, dearer_for(2)}, b})), "");
  EXPECT_EQ(choice(decide({{"a", 7 * cent, dearer_for(8)}, b})), "b");
}

TEST_F(SmartSpotTest, WaitsAfterASpikeUntilItIsCalm) {
  const auto spikes = [](unsigned newest) {
    std::vector<std::int64_t> marks = always(4 * cent);
    for (unsigned i = newest; i < 100; i += 6) marks[i] = marks[i + 1] = 40 * cent;
    return marks;
  };
  const Zone on_demand{"d", 20 * cent, always(20 * cent), false};
  EXPECT_EQ(choice(decide({on_demand, {"b", 16 * cent, spikes(1)}})), "");
  EXPECT_EQ(choice(decide({on_demand, {"b", 4 * cent, spikes(5)}})), "b");
}

TEST_F(SmartSpotTest, JudgesByWhatIsBid) {
  const auto bids = [](std::int64_t bid) {
    return [bid](schema::World::Builder world) {
      for (auto view : world.getCandidates())
        if (view.getPlace().getSpot()) view.setBidNanoUsdPerHour(bid);
    };
  };
  const Zone on_demand{"d", 20 * cent, always(20 * cent), false};
  const Zone b{"b", 12 * cent, always(12 * cent)};
  EXPECT_EQ(choice(decide({on_demand, b}, bids(20 * cent))), "b");
  const auto low = decide({on_demand, b}, bids(10 * cent));
  EXPECT_EQ(choice(low), "");
  EXPECT_THAT(str(low.reader().getCandidates()[1].getExcluded()), HasSubstr("0.1000"));
  // A price above that on demand is no danger where more is bid.
  const auto high = decide({on_demand, {"b", 21 * cent, always(2 * cent)}}, bids(30 * cent));
  EXPECT_EQ(str(high.reader().getCandidates()[1].getExcluded()), "");
}

TEST_F(SmartSpotTest, FleesFromANoticeAtOnceToTheBestPlaceThatIsLeft) {
  const auto notice = [](schema::World::Builder world) {
    world.setNowNs(start + 30 * minute);
    world.setNoticeDeadlineNs(start + 32 * minute);
  };
  const auto decision = decide({{"a", 25 * cent, always(5 * cent)},
                                {"b", 3 * cent, always(3 * cent)},
                                {"d", 20 * cent, always(20 * cent), false}},
                               notice);
  EXPECT_EQ(choice(decision), "b");
  EXPECT_THAT(reason(decision), HasSubstr("the cloud takes a at"));
}

TEST_F(SmartSpotTest, GoesToOnDemandWhenEverySpotPlaceIsDearer) {
  const auto decision = decide({{"a", 25 * cent, always(5 * cent)},
                                {"b", 30 * cent, always(3 * cent)},
                                {"d", 20 * cent, always(20 * cent), false}});
  EXPECT_EQ(choice(decision), "d");
  EXPECT_THAT(str(decision.reader().getCandidates()[1].getExcluded()),
              HasSubstr("exceeds the 0.2000 that would be bid"));
}

// By a bid that is far above it nobody is driven there.
TEST_F(SmartSpotTest, WaitsOnDemandForADearPlaceToBecomeCheapAgainWhateverIsBid) {
  std::vector<std::int64_t> risen = always(3 * cent);
  risen[0] = risen[1] = 60 * cent;
  const auto bid = [](schema::World::Builder world) {
    for (unsigned i = 0; i < 2; ++i) world.getCandidates()[i].setBidNanoUsdPerHour(200 * cent);
    world.getCandidates()[0].getInstances()[0].setBidNanoUsdPerHour(200 * cent);
  };
  const auto decision = decide({{"a", 60 * cent, risen},
                                {"b", 70 * cent, risen},
                                {"d", 20 * cent, always(20 * cent), false}},
                               bid);
  EXPECT_EQ(choice(decision), "d");
  EXPECT_THAT(reason(decision), HasSubstr("the place to wait"));
}

TEST_F(SmartSpotTest, DoesNotPutMoreThanHalfOfTheVmsAtOneSpotPlace) {
  const auto decision = decide({{"a", 5 * cent, always(5 * cent)},
                                {"b", 2 * cent, always(2 * cent)},
                                {"c", 3 * cent, always(3 * cent)}},
                               [](schema::World::Builder world) {
                                 world.initFleet().setVms(4);
                                 world.getCandidates()[0].setVms(2);
                                 world.getCandidates()[1].setVms(1);
                                 world.getCandidates()[1].setArriving(1);
                               });
  EXPECT_EQ(choice(decision), "c");
  EXPECT_THAT(str(decision.reader().getCandidates()[1].getExcluded()), HasSubstr("50 %"));
}

TEST_F(SmartSpotTest, FleesToWhereFewerAreAsLongAsThereIsSuchAPlace) {
  const auto crowded = [](std::uint32_t at_c) {
    return [at_c](schema::World::Builder world) {
      world.setNoticeDeadlineNs(start + 60 * minute);
      world.initFleet().setVms(4);
      world.getCandidates()[1].setArriving(2);
      world.getCandidates()[2].setArriving(at_c);
    };
  };
  const std::vector<Zone> zones = {{"a", 5 * cent, always(5 * cent)},
                                   {"b", 2 * cent, always(2 * cent)},
                                   {"c", 3 * cent, always(3 * cent)}};
  EXPECT_EQ(choice(decide(zones, crowded(0))), "c");
  EXPECT_EQ(choice(decide(zones, crowded(2))), "b") << "better there than caught";
}

// A machine is there for it; on demand one would have to be rented, which takes a minute.
TEST_F(SmartSpotTest, FleesToACrowdedPlaceWhereNoOtherIsReachedInTime) {
  const std::vector<Zone> zones = {{"a", 5 * cent, always(5 * cent)},
                                   {"b", 2 * cent, always(2 * cent)},
                                   {"d", 20 * cent, always(20 * cent), false}};
  const auto left = [](std::int64_t time) {
    return [time](schema::World::Builder world) {
      world.setNoticeDeadlineNs(start + 58 * minute + time);
      world.initFleet().setVms(4);
      auto b = world.getCandidates()[1];
      b.setArriving(2);
      b.initInstances(1)[0].setRoomForVm(true);
    };
  };
  EXPECT_EQ(choice(decide(zones, left(2 * minute))), "d");
  EXPECT_EQ(choice(decide(zones, left(minute))), "b");
}

TEST_F(SmartSpotTest, CountsDowntimeAtThePriceOfTheVm) {
  const auto decision = decide(
      {{"a", 5 * cent, always(5 * cent)}, {"b", 4 * cent, always(4 * cent)}},
      [](schema::World::Builder world) {
        world.getCosts().setBlackoutNs(minute);
        world.getCosts().setDowntimeNanoUsdPerHour(60 * 500 * cent);  // five dollars a minute
      });
  EXPECT_EQ(choice(decision), "");
}

}  // namespace
}  // namespace supercloud
