#include "actors/policy/fleet.h"

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

}  // namespace
}  // namespace supercloud
