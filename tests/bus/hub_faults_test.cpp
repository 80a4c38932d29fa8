// Links that lose, double and turn around, partitions between clouds, and hubs that are killed: in the end everyone has all.
#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bus/rights.h"
#include "tests/bus/simulated_clouds.h"
#include "tests/bus/test_keys.h"

namespace supercloud {
namespace {

std::string told(const BusProcess& process) {
  std::string told;
  for (const BusGap& gap : process.gaps)
    absl::StrAppend(&told, "; gap of ", gap.origin, " behind ", gap.after, " to ", gap.up_to,
                    " under \"", gap.prefix, "\": ", gap.why);
  for (const std::string& rejected : process.rejected)
    absl::StrAppend(&told, "; rejected ", rejected);
  return told;
}

enum class Among {
  equals,  // everyone may subscribe what it does
  narrow,  // some are granted a part of what they subscribe; later everyone, hubs too
  older,   // one of the hubs is of an older build
  keyed,   // what they say is logged, and has to be proven
};

class HubFaults : public testing::TestWithParam<std::tuple<Among, std::uint64_t>> {
 protected:
  HubFaults() {
    if (among_ == Among::narrow)
      options_.grant = [this](std::string_view node, const std::string& prefix) {
        return rights_.allowed(node, prefix);
      };
    if (among_ == Among::keyed) options_.keys_of = test_keys_of;
  }
  void grant(const std::string& name, bool narrow) {
    NameRights rights = all_rights();
    if (narrow)
      rights.subscribe = {Pattern::of("migration.>"), Pattern::of("node.>"),
                          Pattern::of("vm.dirty_rate.>")};
    rights_.grant(name, rights);
  }
  // Whoever publishes cuts off whose rights changed.
  static void cut_all(SimulatedNetwork& network, const std::vector<std::string>& names) {
    for (const std::string& from : names)
      for (const std::string& to : names)
        if (from != to) network.half_open(from, to, SimulatedNetwork::End::publisher);
  }

  const Among among_ = std::get<0>(GetParam());
  const std::uint64_t seed_ = std::get<1>(GetParam());
  SimulatedBusOptions options_;
  Rights rights_;
};

TEST_P(HubFaults, lose_nothing_that_is_in_a_log_and_keep_its_order) {
  constexpr std::size_t clouds_count = 3, nodes_each = 3;
  std::vector<std::vector<std::string>> names(clouds_count);
  std::vector<std::string> hubs;
  for (std::size_t i = 0; i < clouds_count; ++i) {
    hubs.push_back(SimulatedClouds::hub_name(i));
    names[i].push_back(hubs.back());
    grant(hubs.back(), false);
  }
  SimulatedClouds clouds(
      clouds_count, seed_, options_,
      among_ == Among::older ? std::set<std::size_t>{1} : std::set<std::size_t>());
  Random random(seed_);
  std::vector<std::unique_ptr<BusProcess>> nodes;
  std::vector<BusProcess*> all;
  for (std::size_t i = 0; i < clouds_count * nodes_each; ++i) {
    const std::string name = absl::StrCat("node-", i);
    names[i % clouds_count].push_back(name);
    grant(name, i % 2 == 0);
    SimulatedBusOptions options = options_;
    options.repair = RepairTimes();
    nodes.push_back(clouds.start(i % clouds_count, name, TestStreams(name), options));
    nodes.back()->keeps_log = true;
    all.push_back(nodes.back().get());
  }
  ASSERT_TRUE(clouds.run_until([&] { return clouds.joined(all); }));
  for (BusProcess* node : all) node->heartbeat();  // as every node does in its first second
  clouds.scheduler.run_for(absl::Seconds(1));
  std::size_t ready = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool everything = (among_ != Among::equals || seed_ % 2 == 0) && i < clouds_count;
    all[i]->bus->subscribe(everything ? "" : "vm.",
                           Reply<Done>(far_future, [&](absl::StatusOr<Done>) { ++ready; }));
  }
  ASSERT_TRUE(clouds.run_until([&] { return ready == all.size(); }));
  const LinkFaults faults{
      .loss_per_million = 20'000, .duplicate_per_million = 20'000, .reorder_per_million = 20'000};
  for (const auto& network : clouds.networks) network->set_faults(faults);
  clouds.wide.set_faults(faults);
  std::vector<std::uint64_t> published(all.size()), late(all.size());
  for (int round = 0; round < 400; ++round) {
    const std::size_t who = random.below(all.size());
    // Another origin begins in the middle of it, and other subscriptions come and go.
    const bool is_late = round >= 200 && random.chance(300'000);
    const std::string_view actor = is_late ? "late" : "executor";
    if (among_ == Among::keyed)
      all[who]->publish_started(actor, "web1");
    else
      all[who]->publish(actor, "web1");
    if (random.chance(700'000)) all[who]->end_commit();
    ++(is_late ? late : published)[who];
    if (random.chance(20'000))
      all[random.below(all.size())]->bus->subscribe(
          "migration.", Reply<Done>(far_future, [](const absl::StatusOr<Done>&) {}));
    all[who]->bus->publish(all[who]->streams.other(*all[who]->pool, "network", "web1"));
    if (random.chance(200'000)) all[who]->heartbeat();
    if (random.chance(10'000))
      clouds.wide.partition({SimulatedClouds::hub_name(random.below(clouds_count))});
    if (random.chance(20'000)) clouds.wide.heal();
    if (random.chance(10'000)) {
      const std::size_t cloud = random.below(clouds_count);
      clouds.kill_hub(cloud);
      clouds.scheduler.run_for(absl::Milliseconds(random.between(1, 5000)));
      clouds.start_hub(cloud);
    }
    if (among_ == Among::narrow && round == 150) {
      cut_all(clouds.wide, hubs);
      for (std::size_t i = 0; i < clouds_count; ++i) {
        for (const std::string& name : names[i]) grant(name, true);
        cut_all(*clouds.networks[i], names[i]);
      }
    }
    clouds.scheduler.run_for(absl::Milliseconds(random.between(0, 50)));
  }
  for (BusProcess* node : all) node->end_commit();
  for (const auto& network : clouds.networks) network->calm();
  clouds.wide.calm();
  const auto complete = [&] {
    for (BusProcess* node : all) node->heartbeat();
    clouds.scheduler.run_for(absl::Milliseconds(500));
    for (BusProcess* node : all)
      for (std::size_t other = 0; other < all.size(); ++other)
        if (all[other] != node &&
            (node->sequences(all[other]->name + "/executor").size() != published[other] ||
             node->sequences(all[other]->name + "/late").size() != late[other]))
          return false;
    return true;
  };
  clouds.run_until(complete, absl::Seconds(60));
  for (BusProcess* node : all) {
    for (std::size_t other = 0; other < all.size(); ++other) {
      if (all[other] == node) continue;
      EXPECT_EQ(node->sequences(all[other]->name + "/executor"), range(1, published[other]))
          << node->name << " of " << all[other]->name << told(*node);
      EXPECT_EQ(node->sequences(all[other]->name + "/late"), range(1, late[other]))
          << node->name << " of " << all[other]->name << told(*node);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AmongEquals, HubFaults,
                         testing::Combine(testing::Values(Among::equals),
                                          testing::Range<std::uint64_t>(1, 101)));
INSTANTIATE_TEST_SUITE_P(AmongNarrowRights, HubFaults,
                         testing::Combine(testing::Values(Among::narrow),
                                          testing::Range<std::uint64_t>(1, 61)));
INSTANTIATE_TEST_SUITE_P(AmongAnOlderBuild, HubFaults,
                         testing::Combine(testing::Values(Among::older),
                                          testing::Range<std::uint64_t>(1, 61)));
INSTANTIATE_TEST_SUITE_P(AmongKeys, HubFaults,
                         testing::Combine(testing::Values(Among::keyed),
                                          testing::Range<std::uint64_t>(1, 61)));

}  // namespace
}  // namespace supercloud
