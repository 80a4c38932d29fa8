// What the suites of the Bus seam have in common.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "tests/bus/bus_world.h"

namespace supercloud {

class BusConformance : public testing::TestWithParam<MakeBusWorld> {
 protected:
  std::unique_ptr<BusWorld> world_ = GetParam()();

  bool run_until(const std::function<bool()>& condition) { return world_->run_until(condition); }

  void meet(BusProcess& a, BusProcess& b) { ASSERT_TRUE(world_->meet(a, b)); }
  void subscribe(BusProcess& process, std::string prefix) {
    bool ready = false;
    process.bus->subscribe(std::move(prefix),
                           Reply<Done>(far_future, [&](absl::StatusOr<Done> done) {
                             EXPECT_TRUE(done.ok());
                             ready = true;
                           }));
    ASSERT_TRUE(run_until([&] { return ready; }));
  }
  absl::StatusOr<std::string> ask(BusProcess& from, Address to, std::string bytes,
                                  Duration patience = absl::Seconds(5)) {
    std::optional<absl::StatusOr<std::string>> answer;
    from.bus->request(
        std::move(to), std::move(bytes),
        Reply<std::string>(world_->scheduler().clock().now() + patience,
                           [&](absl::StatusOr<std::string> value) { answer = std::move(value); }));
    if (!run_until([&] { return answer.has_value(); }))
      return absl::InternalError("no reply at all");
    return *std::move(answer);
  }
  static std::vector<std::uint64_t> range(std::uint64_t from, std::uint64_t to) {
    std::vector<std::uint64_t> numbers(to - from + 1);
    std::iota(numbers.begin(), numbers.end(), from);
    return numbers;
  }
};

}  // namespace supercloud
