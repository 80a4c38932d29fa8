// That the check of what ledgers charge can fail.
#include "simulation/charges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/actors/told.h"

namespace supercloud {
namespace {

using schema::Payload;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Charges : public testing::Test {
 protected:
  Charges() : move_(told_.proposed("web1", 0, "a reason", nullptr, {})) {}

  void ends(std::uint64_t sent, std::int64_t at_ms = 1000) {
    told_.tell(
        "node-a/executor", at_ms, "web1", {.migration = &move_},
        [&](Payload::Builder payload) { payload.initMigrationCompleted().setSentBytes(sent); });
  }
  void charges(const std::string& ledger, std::uint64_t sent, const Event* decision) {
    told_.tell(ledger, 2000, "i-1", {}, [&](Payload::Builder payload) {
      auto charged = payload.initLedgerCharged();
      charged.setInstance("i-1");
      charged.setSentBytes(sent);
      if (decision != nullptr) decision->id().write(charged.initDecision());
    });
  }
  std::vector<std::string> faults(std::int64_t settled_ms = 5000) const {
    return charge_faults(told_.events(), Told::start() + absl::Milliseconds(settled_ms));
  }

  Told told_;
  Event move_;
};

TEST_F(Charges, AreRightWhenEachHourAndEachMoveIsChargedOnce) {
  ends(7);
  charges("a/ledger", 7, &move_);
  charges("a/ledger", 0, nullptr);
  EXPECT_THAT(faults(), IsEmpty());
  // Another that took the role over and did not hear of it: whoever adds up counts a key once.
  charges("b/ledger", 7, &move_);
  charges("b/ledger", 0, nullptr);
  EXPECT_THAT(faults(), IsEmpty());
}

TEST_F(Charges, OfOneLedgerForTheSameAreAFault) {
  ends(7);
  charges("a/ledger", 7, &move_);
  charges("a/ledger", 7, &move_);
  EXPECT_THAT(faults(), ElementsAre(HasSubstr("a/ledger charged migration")));
  charges("a/ledger", 0, &move_);
  charges("a/ledger", 0, nullptr);
  EXPECT_THAT(faults(), ElementsAre(HasSubstr("twice"), HasSubstr("an hour of i-1 twice")));
}

TEST_F(Charges, ForWhatNoEndSaysAreAFault) {
  ends(7);
  charges("a/ledger", 8, &move_);
  EXPECT_THAT(faults(), ElementsAre(HasSubstr("for 8 bytes, and no end of it says so")));
}

TEST_F(Charges, ThatNobodyMakesAreAFaultOnceThereWasTime) {
  ends(0);
  EXPECT_THAT(faults(), IsEmpty()) << "nothing was sent";
  ends(7, 1500);
  EXPECT_THAT(faults(), ElementsAre(HasSubstr("sent something, and nobody charged it")));
  EXPECT_THAT(faults(1400), IsEmpty()) << "there was no time yet";
}

}  // namespace
}  // namespace supercloud
