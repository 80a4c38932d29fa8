// What a policy's actor knows of a VM's moves: events in, states out.
#include "actors/policy/vm_moves.h"

#include <string>

#include "gtest/gtest.h"

namespace supercloud {
namespace {

using Heard = VmMoves::Heard;

class VmMovesTest : public testing::Test {
 protected:
  static constexpr VmMoves::Backoff backoff{.failed = absl::Minutes(1),
                                            .changed = absl::Seconds(5)};
  static EventId id(std::uint64_t sequence) { return {"a/policy", 1, sequence}; }

  Heard accepted(const EventId& migration, const std::string& target) {
    return hear(migration, [&](schema::Payload::Builder payload) {
      payload.initMigrationAccepted().setTarget(target);
    });
  }
  Heard refused(const EventId& migration) {
    return hear(migration,
                [](schema::Payload::Builder payload) { payload.initMigrationRefused(); });
  }
  Heard aborted(const EventId& migration) {
    return hear(migration,
                [](schema::Payload::Builder payload) { payload.initMigrationAborted(); });
  }
  bool held(const std::string& place) {
    return moves_.held_until(place, now_, backoff).has_value();
  }

  EventPool pool_;
  VmMoves moves_;
  Instant now_{1};

 private:
  template <class Fill>
  Heard hear(const EventId& migration, Fill fill) {
    Draft draft = pool_.draft("web1");
    fill(draft.payload());
    draft.migration(migration);
    const auto event =
        std::move(draft).seal({.origin = "b/executor", .incarnation = 1, .sequence = ++sequence_});
    EXPECT_TRUE(event.ok()) << event.status();
    return moves_.hear(*event, now_);
  }
  std::uint64_t sequence_ = 0;
};

TEST_F(VmMovesTest, AProposalIsAcceptedAndSettledByTheLease) {
  EXPECT_TRUE(moves_.idle());
  moves_.propose(id(1), "b", false);
  EXPECT_TRUE(moves_.waits_for_answer());
  EXPECT_EQ(moves_.flight_to(), "") << "no flight";
  EXPECT_EQ(accepted(id(1), "node-b"), Heard::begins);
  EXPECT_TRUE(moves_.under_way());
  EXPECT_FALSE(moves_.waits_for_answer());
  EXPECT_EQ(moves_.target(), "node-b");
  moves_.settle();
  EXPECT_TRUE(moves_.idle());
  EXPECT_FALSE(held("b"));
}

TEST_F(VmMovesTest, ARefusedPlaceWaitsAndLessSoWhenSomethingChangesThere) {
  moves_.propose(id(1), "b", false);
  EXPECT_EQ(refused(id(7)), Heard::nothing) << "another's";
  EXPECT_EQ(refused(id(1)), Heard::failed);
  EXPECT_TRUE(moves_.idle());
  now_ = now_ + absl::Seconds(6);
  EXPECT_TRUE(held("b"));
  EXPECT_FALSE(held("c"));
  moves_.place_changed("c");
  EXPECT_TRUE(held("b"));
  moves_.place_changed("b");
  EXPECT_FALSE(held("b"));
}

TEST_F(VmMovesTest, AFlightThatFailsLeavesTheMoveUnderWayAsItIs) {
  for (const std::string end : {"refused", "aborted", "not heard of"}) {
    moves_ = {};
    moves_.propose(id(1), "b", false);
    ASSERT_EQ(accepted(id(1), "node-b"), Heard::begins);
    moves_.propose(id(2), "c", true);
    EXPECT_EQ(moves_.flight_to(), "c");
    if (end == "refused") {
      EXPECT_EQ(refused(id(2)), Heard::goes_on);
    } else if (end == "aborted") {
      EXPECT_EQ(aborted(id(2)), Heard::goes_on);
    } else {
      moves_.fail(now_);
    }
    EXPECT_TRUE(moves_.under_way());
    EXPECT_FALSE(moves_.waits_for_answer());
    EXPECT_EQ(moves_.target(), "node-b");
    EXPECT_TRUE(held("c"));
    EXPECT_FALSE(held("b"));
  }
}

TEST_F(VmMovesTest, TheMoveUnderWayMakesWayForAFlight) {
  moves_.propose(id(1), "b", false);
  ASSERT_EQ(accepted(id(1), "node-b"), Heard::begins);
  moves_.propose(id(2), "c", true);
  EXPECT_EQ(aborted(id(1)), Heard::nothing);
  EXPECT_FALSE(moves_.under_way());
  EXPECT_EQ(accepted(id(2), "node-c"), Heard::begins);
  EXPECT_EQ(moves_.target(), "node-c");
  EXPECT_FALSE(held("b")) << "it did not fail";
}

TEST_F(VmMovesTest, WhatAnotherProposedAndFailsBlamesNoPlace) {
  EXPECT_EQ(accepted(id(9), "node-b"), Heard::begins);
  EXPECT_EQ(aborted(id(9)), Heard::failed);
  EXPECT_TRUE(moves_.idle());
  EXPECT_FALSE(held(""));
}

}  // namespace
}  // namespace supercloud
