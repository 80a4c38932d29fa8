#include "actors/policy/fleet.h"

#include <functional>
#include <string>
#include <vector>

#include "actors/policy/world.h"
#include "gtest/gtest.h"
#include "tests/actors/told.h"

namespace supercloud {
namespace {

struct ToldMove {
  Event proposed, accepted;
};

// Of one node's log and an archive, which have the same.
TEST(FleetPast, HasTheNewestMovesInWhateverOrderItReadsOfThem) {
  Told told;
  std::vector<ToldMove> moves;
  for (int i = 0; i < 30; ++i) {
    const Event proposed = told.proposed("web1", i * 10'000, "cheaper", nullptr, {});
    moves.push_back({proposed, told.accepted(proposed, i * 10'000 + 5)});
  }
  const auto place_of = [](const std::string&) { return std::string(); };
  Fleet fleet;
  const auto read = [&](const ToldMove& move) {
    fleet.apply(move.proposed, place_of);
    fleet.apply(move.accepted, place_of);
  };
  for (std::size_t i = moves.size(); i-- > 0;) read(moves[i]);
  for (const ToldMove& move : moves) read(move);
  const auto spec = Message<schema::VmSpec>::build([](auto vm) { vm.setName("web1"); });
  const auto world = Message<schema::World>::build([&](schema::World::Builder builder) {
    fleet.fill(spec.reader(), Told::start() + absl::Minutes(10), WorldOptions(), place_of, builder);
  });
  const auto recent = world.reader().getRecentMoves();
  ASSERT_EQ(recent.size(), moves_max);
  for (unsigned i = 0; i < recent.size(); ++i)
    EXPECT_EQ(recent[i].getAtNs(),
              absl::ToUnixNanos(moves[moves.size() - 1 - i].proposed.time().wall()))
        << i;
}

class FleetNow : public testing::Test {
 protected:
  Message<schema::World> world(const Fleet& fleet) const {
    const auto spec = Message<schema::VmSpec>::build([](auto vm) { vm.setName("web1"); });
    return Message<schema::World>::build([&](schema::World::Builder builder) {
      builder.initCandidates(1)[0].initPlace().setId("place of n");
      fleet.fill(spec.reader(), Told::start() + absl::Minutes(1), WorldOptions(), place_of,
                 builder);
    });
  }
  Event at(std::int64_t ms, const std::string& vm, Epoch epoch,
           const std::function<void(schema::Payload::Builder)>& fill,
           const Event* migration = nullptr) {
    return told_.tell("n/executor", ms, vm, {.migration = migration, .epoch = epoch}, fill);
  }
  static std::string place_of(const std::string& node) {
    return node.empty() ? "" : "place of " + node;
  }

  Told told_;
};

TEST_F(FleetNow, HasNoVmThatWasDestroyedThoughItIsToldOfItLater) {
  const Event began =
      at(1'000, "web2", 1, [](auto payload) { payload.initVmResumed().setNode("n"); });
  const Event move = told_.proposed("web2", 2'000, "cheaper", nullptr, {});
  const Event end = at(9'000, "web2", 2, [](auto payload) { payload.initVmDestroyed(); });
  Fleet fleet;
  fleet.apply(began, place_of);
  EXPECT_EQ(world(fleet).reader().getFleet().getVms(), 1U);
  fleet.apply(end, place_of);
  for (const Event& event : {began, move, told_.accepted(move, 2'500)})
    fleet.apply(event, place_of);
  EXPECT_EQ(world(fleet).reader().getFleet().getVms(), 0U);
  EXPECT_EQ(world(fleet).reader().getFleet().getMoving(), 0U);
  // Another of the same name.
  fleet.apply(at(10'000, "web2", 1, [](auto payload) { payload.initVmResumed().setNode("n"); }),
              place_of);
  EXPECT_EQ(world(fleet).reader().getCandidates()[0].getVms(), 1U);
}

TEST_F(FleetNow, HasAnotherVmOfTheNameThoughTheEndOfTheFirstIsReadLater) {
  const Event end = at(9'000, "web2", 2, [](auto payload) { payload.initVmDestroyed(); });
  const Event another =
      at(10'000, "web2", 1, [](auto payload) { payload.initVmResumed().setNode("n"); });
  Fleet fleet;
  fleet.apply(another, place_of);
  fleet.apply(end, place_of);
  EXPECT_EQ(world(fleet).reader().getFleet().getVms(), 1U);
}

TEST_F(FleetNow, TakesTurnsAmongThoseOnSuchNodes) {
  Fleet fleet;
  for (const char* vm : {"a", "b", "web1", "z"})
    fleet.apply(at(1'000, vm, 1,
                   [&](auto payload) {
                     payload.initVmResumed().setNode(std::string(vm) == "b" ? "n" : "m");
                   }),
                place_of);
  const auto spec = Message<schema::VmSpec>::build([](auto vm) { vm.setName("web1"); });
  const Fleet::Turn all = fleet.turn_of(spec.reader(), [](const std::string&) { return true; });
  EXPECT_EQ(all.before, 2U);
  EXPECT_EQ(all.of, 4U);
  const Fleet::Turn some =
      fleet.turn_of(spec.reader(), [](const std::string& node) { return node == "n"; });
  EXPECT_EQ(some.before, 1U);
  EXPECT_EQ(some.of, 2U);
}

TEST_F(FleetNow, KnowsWhatBecameOfAMoveThoughItReadThatFirst) {
  const Event move = told_.proposed("web2", 2'000, "cheaper", nullptr, {});
  const Event accepted = told_.accepted(move, 2'500);
  const Event aborted =
      at(3'000, "web2", 1, [](auto payload) { payload.initMigrationAborted(); }, &move);
  Fleet in_order, backwards;
  for (const Event& event : {move, accepted, aborted}) in_order.apply(event, place_of);
  for (const Event& event : {aborted, accepted, move}) backwards.apply(event, place_of);
  EXPECT_EQ(world(in_order).reader().getFleet().getMoving(), 0U);
  EXPECT_EQ(world(in_order).reader().getFleet().getMovesOfDay(), 1U);
  EXPECT_EQ(world(in_order).bytes(), world(backwards).bytes());
}

}  // namespace
}  // namespace supercloud
