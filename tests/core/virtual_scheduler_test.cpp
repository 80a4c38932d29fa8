#include "core/virtual_scheduler.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/random.h"
#include "gtest/gtest.h"

namespace supercloud {
namespace {

TEST(VirtualSchedulerTest, TasksRunInOrderOfTimeAndThenOfArming) {
  VirtualScheduler scheduler;
  std::string order;
  scheduler.at({20}, [&] { order += 'd'; });
  scheduler.at({10}, [&] {
    order += 'b';
    scheduler.post([&] { order += 'c'; });
  });
  scheduler.at({20}, [&] { order += 'e'; });
  scheduler.post([&] { order += 'a'; });
  scheduler.run_until({15});
  EXPECT_EQ(order, "abc");
  EXPECT_EQ(scheduler.now(), Instant{15});
  scheduler.run_for(absl::Nanoseconds(5));
  EXPECT_EQ(order, "abcde");
  EXPECT_TRUE(scheduler.empty());
}

TEST(VirtualSchedulerTest, APostRunsAfterTimersOfTheSameMomentThatWereArmedBefore) {
  VirtualScheduler scheduler;
  std::string order;
  scheduler.at({0}, [&] { order += '1'; });
  scheduler.post([&] { order += '2'; });
  scheduler.at({0}, [&] { order += '3'; });
  scheduler.at({-5}, [&] { order += '4'; });  // the past is now
  while (scheduler.step()) {
  }
  EXPECT_EQ(order, "1234");
  EXPECT_EQ(scheduler.now(), Instant{0});
}

TEST(VirtualSchedulerTest, TimeMovesOnlyWhenTold) {
  VirtualScheduler scheduler(absl::FromUnixSeconds(100));
  scheduler.at({1'000'000'000}, [] {});
  EXPECT_EQ(scheduler.next_due(), Instant{1'000'000'000});
  EXPECT_EQ(scheduler.now(), Instant{0});
  EXPECT_TRUE(scheduler.step());
  EXPECT_EQ(scheduler.wall(), absl::FromUnixSeconds(101));
  EXPECT_FALSE(scheduler.step());
  EXPECT_EQ(scheduler.next_due(), std::nullopt);
}

TEST(VirtualSchedulerTest, ACancelledTimerDoesNotRunAndItsIdIsNotReused) {
  VirtualScheduler scheduler;
  int ran = 0;
  const TimerId first = scheduler.at({10}, [&] { ++ran; });
  scheduler.cancel(first);
  scheduler.cancel(first);
  scheduler.cancel(0);
  EXPECT_TRUE(scheduler.empty());
  const TimerId second = scheduler.at({10}, [&] { ran += 10; });
  EXPECT_NE(first, second);
  scheduler.cancel(first);
  scheduler.run_until({10});
  EXPECT_EQ(ran, 10);
  scheduler.cancel(second);
}

TEST(VirtualSchedulerTest, ManyTimersArmedAndCancelledAtRandomRunAsAModelSays) {
  VirtualScheduler scheduler;
  Random random(7);
  std::vector<std::pair<std::int64_t, int>> expected;
  std::vector<std::pair<std::int64_t, int>> ran;
  for (int i = 0; i < 5000; ++i) {
    const auto when = static_cast<std::int64_t>(random.below(500));
    const TimerId id = scheduler.at({when}, [&ran, when, i] { ran.emplace_back(when, i); });
    if (random.chance(800'000)) {
      scheduler.cancel(id);
    } else {
      expected.emplace_back(when, i);
    }
  }
  std::ranges::sort(expected);
  scheduler.run_until({500});
  EXPECT_EQ(ran, expected);
}

}  // namespace
}  // namespace supercloud
