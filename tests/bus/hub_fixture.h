// Processes in clouds that hubs join, simulated.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/bus/simulated_clouds.h"

namespace supercloud {

class CloudsTest : public testing::Test {
 protected:
  // `hubs`, `processes`: what theirs are told.
  CloudsTest(std::size_t clouds, SimulatedBusOptions hubs, SimulatedBusOptions processes)
      : clouds_(clouds, 7, std::move(hubs)), options_(std::move(processes)) {}

  std::unique_ptr<BusProcess> start(std::size_t cloud, const std::string& name) {
    auto process = clouds_.start(cloud, name, TestStreams(name), options_);
    process->keeps_log = true;
    return process;
  }
  void join(const std::vector<BusProcess*>& processes) {
    ASSERT_TRUE(clouds_.run_until([&] { return clouds_.joined(processes); }));
  }
  void subscribe(BusProcess& process, std::string prefix) {
    bool ready = false;
    process.bus->subscribe(std::move(prefix),
                           Reply<Done>(far_future, [&](absl::StatusOr<Done>) { ready = true; }));
    ASSERT_TRUE(clouds_.run_until([&] { return ready; }));
  }
  void run_for(Duration span) { clouds_.scheduler.run_for(span); }

  SimulatedClouds clouds_;

 private:
  const SimulatedBusOptions options_;
};

}  // namespace supercloud
