// What the actors beside the choreography tell in a whole cluster.
#include <gtest/gtest.h>

#include <map>
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
      : bus_("listener", cluster.network(), cluster.scheduler(), pool_) {
    bus_.start(*this);
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

}  // namespace
}  // namespace supercloud
