// A budget of moves holds where every move takes place between machines that are rented for it and given back.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "actors/spot/generated_feed.h"
#include "core/vm_spec.h"
#include "gtest/gtest.h"
#include "simulation/replay/replay.h"
#include "simulation/replay/vm.h"

namespace supercloud {
namespace {

constexpr std::int64_t budget_cent = 10'000'000;

PlaceName budget_zone(const std::string& letter, bool spot = true) {
  return {"aws", "us-east-1", "us-east-1" + letter, "r3.large", spot};
}

class Budget : public testing::Test {
 protected:
  Budget() {
    options_.from = absl::FromUnixSeconds(1'440'201'600);
    options_.to = options_.from + absl::Hours(24 * 7);
    options_.on_demand = {budget_zone("a", false), Money{17 * budget_cent}, options_.from};
    options_.start = options_.on_demand.place;
    options_.policies = built_in_policies();
    options_.feed = [from = options_.from]() -> absl::StatusOr<std::unique_ptr<PriceFeed>> {
      GeneratedMarket market;
      for (const char* letter : {"a", "b", "c"})
        market.zones.push_back({budget_zone(letter), Money{17 * budget_cent}});
      market.start = from;
      market.seed = 7;
      return std::make_unique<GeneratedFeed>(market);
    };
  }

  void choose(int vms, std::uint32_t each_per_day) {
    options_.vms.clear();
    for (int i = 0; i < vms; ++i) {
      const Message<schema::VmSpec> vm = replay_vm(options_.model, i + 1, "cheapest");
      options_.vms.push_back(Message<schema::VmSpec>::build([&](schema::VmSpec::Builder spec) {
        copy_spec(vm.reader(), spec);
        spec.setMovesPerDay(each_per_day);
      }));
    }
  }

  // The most moves to save money that were accepted within a day: of one VM, and of all together.
  std::pair<std::size_t, std::size_t> most_of_a_day() {
    std::map<std::string, std::vector<absl::Time>> times;
    options_.keep = [&](const LogImage& image) {
      EventPool pool;
      std::map<EventId, absl::Time> proposed;
      for (const Bytes bytes : image.events) {
        const Event event = pool.restore(bytes);
        if (event.type() == schema::Payload::MIGRATION_PROPOSED &&
            !event.payload().getMigrationProposed().getLeaving())
          proposed[event.id()] = event.time().wall();
        if (event.type() != schema::Payload::MIGRATION_ACCEPTED) continue;
        const auto found = proposed.find(event.migration());
        if (found == proposed.end()) continue;
        times[event.subject()].push_back(found->second);
        times[""].push_back(found->second);
      }
      return absl::OkStatus();
    };
    const auto strategy = replay(options_, "tested");
    EXPECT_TRUE(strategy.ok()) << strategy.status();
    const auto most = [](const std::vector<absl::Time>& moves) {
      std::size_t found = 0;
      for (const absl::Time last : moves)
        found = std::max(
            found, static_cast<std::size_t>(std::ranges::count_if(moves, [&](const absl::Time at) {
              return at <= last && at > last - absl::Hours(24);
            })));
      return found;
    };
    std::size_t of_one = 0;
    for (const auto& [vm, moves] : times)
      if (!vm.empty()) of_one = std::max(of_one, most(moves));
    return {of_one, most(times[""])};
  }

  ReplayOptions options_;
};

TEST_F(Budget, without_one_vms_move_more_often) {
  choose(2, 0);
  const auto [one, all] = most_of_a_day();
  EXPECT_GT(one, 2);
  EXPECT_GT(all, one);
}

TEST_F(Budget, of_all_vms_holds_for_a_day) {
  choose(2, 0);
  options_.model.moves_per_day = 2;
  EXPECT_EQ(most_of_a_day().second, 2);
}

TEST_F(Budget, of_a_vm_holds_for_a_day) {
  choose(2, 1);
  EXPECT_EQ(most_of_a_day().first, 1);
}

}  // namespace
}  // namespace supercloud
