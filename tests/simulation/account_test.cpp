// What is read from a run's events, of events made by hand.
#include "simulation/replay/account.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/actors/told.h"

namespace supercloud {
namespace {

using schema::Payload;

class AccountTest : public testing::Test {
 protected:
  ReplayStrategy strategy() {
    Account account(Told::start() + absl::Hours(1), model_, {}, {});
    for (const Event& event : told_.events()) account.add(event);
    ReplayStrategy strategy;
    account.finish(strategy, {});
    return strategy;
  }
  void runs(const std::string& node, std::int64_t at_ms, const Event* migration, Epoch epoch) {
    told_.tell(node + "/executor", at_ms, "vm1", {.migration = migration, .epoch = epoch},
               [&](Payload::Builder payload) { payload.initVmResumed().setNode(node); });
  }
  void completes(const Event& migration, std::int64_t at_ms) {
    told_.tell("node-c/executor", at_ms, "vm1", {.migration = &migration},
               [](Payload::Builder payload) { payload.initMigrationCompleted().setSentBytes(1); });
  }
  void charges(const Event& migration, std::int64_t at_ms) {
    told_.tell("site/ledger", at_ms, "i-1", {}, [&](Payload::Builder payload) {
      auto charged = payload.initLedgerCharged();
      charged.setAmountNanoUsd(model_.transfer_cost().nano_usd);
      charged.setSentBytes(model_.transfer_bytes());
      migration.id().write(charged.initDecision());
    });
  }

  Told told_;
  ReplayModel model_;
};

// The same choice for the same reason is said once: what was compared then was another market's.
TEST_F(AccountTest, AMoveShowsWhatItsOwnLookComparedAndNothingElse) {
  told_.joined("node-a", Told::place_a, 0);
  told_.joined("node-c", Told::place_c, 10);
  runs("node-a", 1000, nullptr, 1);
  told_.considered("vm1", 2000, Told::place_c, "cheaper there", nullptr);
  const Event first = told_.proposed("vm1", 2000, "cheaper there", nullptr, {});
  runs("node-c", 3000, &first, 2);
  const Event second = told_.proposed("vm1", 60'000, "cheaper there", nullptr, {});
  runs("node-a", 61'000, &second, 3);
  const ReplayStrategy told = strategy();
  ASSERT_EQ(told.stays.size(), 3U);
  EXPECT_TRUE(told.stays[0].candidates.empty());
  EXPECT_EQ(told.stays[1].candidates.size(), 2U);
  EXPECT_EQ(told.stays[1].decision, first.id().to_string());
  EXPECT_TRUE(told.stays[2].candidates.empty()) << "those of a look a minute before";
  EXPECT_EQ(told.stays[2].decision, second.id().to_string());
}

TEST_F(AccountTest, AnHourIsPaidOnceThoughItIsChargedTwice) {
  for (const std::int64_t at_ms : {2000, 2100})  // the second by who took the role over
    told_.tell("site/ledger", at_ms, "i-1", {}, [](Payload::Builder payload) {
      auto charged = payload.initLedgerCharged();
      charged.setInstance("i-1");
      charged.setFromNs(1);
      charged.setAmountNanoUsd(70);
    });
  EXPECT_EQ(strategy().instances, Money{70});
}

TEST_F(AccountTest, ATransferIsPaidOnceChargedTwiceOrNotYet) {
  const Event twice = told_.proposed("vm1", 1000, "", nullptr, {});
  completes(twice, 2000);
  charges(twice, 2100);
  charges(twice, 2200);  // by who took the role over
  const Event not_yet = told_.proposed("vm1", 3000, "", nullptr, {});
  completes(not_yet, 4000);
  const ReplayStrategy told = strategy();
  EXPECT_EQ(told.transfer, Money{2 * model_.transfer_cost().nano_usd});
  EXPECT_EQ(told.cost, told.transfer);
  EXPECT_EQ(told.moves, 2);
}

}  // namespace
}  // namespace supercloud
