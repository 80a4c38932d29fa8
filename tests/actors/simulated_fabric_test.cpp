#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "actors/network/simulated/fabric.h"
#include "core/virtual_scheduler.h"
#include "tests/actors/fabric_conformance.h"

namespace supercloud {
namespace {

class SimulatedFabricWorld final : public FabricWorld {
 public:
  SimulatedFabricWorld() { reboot(); }
  Fabric& fabric() override { return *fabric_; }
  std::string node() override { return "a"; }
  Instant now() override { return scheduler_.now(); }
  bool wait(Duration limit, const std::function<bool()>& condition) override {
    const Instant end = scheduler_.now() + limit;
    while (!condition()) {
      const auto due = scheduler_.next_due();
      if (!due.has_value() || *due > end) {
        scheduler_.run_until(end);
        return condition();
      }
      scheduler_.step();
    }
    return true;
  }
  bool transmit(const std::string& vm, Epoch epoch) override { return host_->transmit(vm, epoch); }
  void restart_daemon() override { fabric_ = std::make_unique<SimulatedFabric>(*host_); }
  void reboot() override {
    fabric_.reset();
    host_ = std::make_unique<FabricHost>(scheduler_, node());
    restart_daemon();
  }

 private:
  VirtualScheduler scheduler_;
  std::unique_ptr<FabricHost> host_;
  std::unique_ptr<SimulatedFabric> fabric_;
};

INSTANTIATE_TEST_SUITE_P(Simulated, FabricConformance,
                         ::testing::Values(FabricWorldFactory{
                             "simulated", [] { return std::make_unique<SimulatedFabricWorld>(); }}),
                         [](const auto& world) { return world.param.name; });

TEST(SimulatedFabricTest, ACheckerIsToldOfEveryDeliveredFrameAndOfNoOther) {
  VirtualScheduler scheduler;
  std::vector<std::tuple<std::string, std::string, Epoch>> delivered;
  FabricHost host(scheduler, "a", [&](const std::string& node, const std::string& vm, Epoch epoch) {
    delivered.emplace_back(node, vm, epoch);
  });
  SimulatedFabric fabric(host);
  fabric.prepare("main/web1", "10.0.0.5", Reply<Done>());
  scheduler.run_for(absl::Seconds(1));
  host.transmit("main/web1", 1);
  ASSERT_TRUE(fabric.open("main/web1", 1).ok());
  host.transmit("main/web1", 1);
  host.transmit("main/web1", 2);
  EXPECT_EQ(delivered,
            (std::vector<std::tuple<std::string, std::string, Epoch>>{{"a", "main/web1", 1}}));
}

TEST(SimulatedFabricTest, ADaemonThatIsGoneHearsNothing) {
  VirtualScheduler scheduler;
  FabricHost host(scheduler, "a");
  int answers = 0;
  {
    SimulatedFabric fabric(host);
    fabric.prepare("main/web1", "10.0.0.5",
                   Reply<Done>(far_future, [&](absl::StatusOr<Done>) { ++answers; }));
  }
  scheduler.run_for(absl::Seconds(1));
  EXPECT_EQ(answers, 0);
  SimulatedFabric next(host);
  EXPECT_TRUE(next.open("main/web1", 1).ok());
}

}  // namespace
}  // namespace supercloud
