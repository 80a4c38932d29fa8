// What the actors beside the choreography tell in a whole cluster: dirty rates, round trips, accesses to what stays behind.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "simulation/cluster.h"

namespace supercloud {
namespace {

// A process that hears what is published, as `supercloud events --follow` does: these events are in no log.
class Listener final : private BusReceiver {
  EventPool pool_;  // outlives the events

 public:
  Listener(SimulatedCluster& cluster, const std::string& prefix)
      : bus_("listener", cluster.networks().of("listener"), cluster.scheduler(), pool_) {
    bus_.start(*this, {});
    bus_.subscribe(prefix, Reply<Done>());
  }
  std::vector<Event> heard;

 private:
  void on_event(Event event) override { heard.push_back(std::move(event)); }
  void on_gap(const BusGap&) override {}
  void on_request(std::string, std::string, Reply<std::string>) override {}
  void on_rejected(std::string, std::string) override {}
  void on_peer(std::string, bool) override {}

  SimulatedBus bus_;
};

class Telemetry : public testing::Test {
 protected:
  static ClusterOptions options() {
    ClusterOptions options;
    options.nodes = 3;
    options.market = false;
    return options;
  }
  void TearDown() override {
    for (const Violation& violation : cluster_.checker().violations())
      ADD_FAILURE() << violation.rule << ": " << violation.what;
  }
  std::vector<Event> accesses() {
    std::vector<Event> found;
    for (const Event& event : cluster_.history())
      if (event.type() == schema::Payload::RESOURCE_ACCESSED) found.push_back(event);
    return found;
  }
  SimulatedCluster cluster_{options()};
};

TEST_F(Telemetry, the_dirty_rate_of_each_running_guest_is_told_at_a_bounded_rate) {
  Listener listener(cluster_, "vm.dirty_rate.");
  cluster_.run_for(absl::Seconds(3));
  cluster_.create_vm("node-0", "web1", schema::DiskLoss::SYNC);
  cluster_.create_vm("node-1", "web2", schema::DiskLoss::WAIT);
  cluster_.run_for(absl::Seconds(60));
  std::map<std::string, int> told;
  for (const Event& event : listener.heard) {
    ++told[std::string(event.origin()) + " " + std::string(event.subject())];
    EXPECT_EQ(event.epoch(), 1U);
  }
  const int most = static_cast<int>(absl::Seconds(60) / DirtyRateOptions().every) + 1;
  ASSERT_EQ(told.size(), 2U);
  for (const char* by : {"node-0/dirty_rate web1", "node-1/dirty_rate web2"}) {
    EXPECT_GE(told[by], most - 2) << by;
    EXPECT_LE(told[by], most) << by;
  }
  // The guests write 200 pages a second.
  const auto last = listener.heard.back().payload().getVmDirtyRate();
  EXPECT_GT(last.getPagesPerSecond(), 100U);
  EXPECT_LT(last.getPagesPerSecond(), 400U);
  EXPECT_GE(last.getWorkingSetPages(), last.getPagesPerSecond());

  cluster_.ask("node-0", Message<schema::Request>::build([](schema::Request::Builder request) {
                 request.initPauseVm().setName("web1");
               }));
  cluster_.run_for(absl::Seconds(2));
  listener.heard.clear();
  cluster_.run_for(absl::Seconds(30));
  EXPECT_FALSE(listener.heard.empty());
  for (const Event& event : listener.heard)
    EXPECT_EQ(event.subject(), "web2") << "only of what runs";
}

TEST_F(Telemetry, measured_latencies_are_those_of_the_network) {
  LinkFaults far;
  far.delay_min = far.delay_max = absl::Milliseconds(30);
  cluster_.networks().set_faults(far);
  Listener listener(cluster_, "latency.measured.");
  cluster_.run_for(absl::Seconds(65));
  std::set<std::pair<std::string, std::string>> ways;
  for (const Event& event : listener.heard) {
    const auto measured = event.payload().getLatencyMeasured();
    ways.emplace(text(measured.getClient()), text(measured.getPlace()));
    EXPECT_GE(measured.getMilliseconds(), 59.0);
    EXPECT_LE(measured.getMilliseconds(), 70.0);
  }
  EXPECT_EQ(ways.size(), 6U) << "each of three from each other";
  EXPECT_LE(listener.heard.size(), 3U * 6U) << "one of each node every ten seconds";
}

TEST_F(Telemetry, accesses_to_a_resource_are_told_by_its_home_wherever_the_vm_runs) {
  cluster_.run_for(absl::Seconds(3));
  cluster_.create_vm("node-0", "web1", schema::DiskLoss::SYNC);
  cluster_.run_for(absl::Seconds(30));
  const std::size_t before = accesses().size();
  EXPECT_GE(before, 4U);
  EXPECT_LE(before, 6U);
  cluster_.migrate("node-0", "web1", "node-1");
  cluster_.run_for(absl::Seconds(30));
  const std::vector<Event> all = accesses();
  EXPECT_GE(all.size(), before + 4);
  for (const Event& event : all) {
    const auto accessed = event.payload().getResourceAccessed();
    EXPECT_EQ(event.origin(), "node-2/resource");
    EXPECT_EQ(event.subject(), "web1");
    EXPECT_EQ(text(accessed.getResource()), "genome");
    EXPECT_EQ(text(accessed.getHome()),
              cluster_.machine("node-2")->options().description.place.id());
    EXPECT_GT(accessed.getBytes(), 0U);
  }
  EXPECT_EQ(cluster_.checker().accesses().at("main/web1"), all.size());
}

}  // namespace
}  // namespace supercloud
