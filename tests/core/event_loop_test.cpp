#include "core/event_loop.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace supercloud {
namespace {

constexpr Duration patience = absl::Seconds(20);

TEST(EventLoopTest, PostedTasksRunInTheirOrderAndNeverInsidePost) {
  EventLoop loop;
  std::string order;
  loop.post([&] {
    order += '1';
    loop.post([&] { order += '3'; });
    order += '2';
  });
  EXPECT_EQ(order, "");
  EXPECT_TRUE(loop.run_until([&] { return order.size() == 3; }, patience));
  EXPECT_EQ(order, "123");
}

TEST(EventLoopTest, WhatTheConditionPostsRunsAtOnce) {
  EventLoop loop;
  int posted = 0;
  int ran = 0;
  const auto three = [&] {
    if (posted == ran && ran < 3) {
      ++posted;
      loop.post([&] { ++ran; });
    }
    return ran == 3;
  };
  EXPECT_TRUE(loop.run_until(three, patience));
}

TEST(EventLoopTest, WhatIsLeftToTheTurnsEndRunsBeforeTheNextTaskOrTimer) {
  EventLoop loop;
  std::string order;
  loop.at_turn_end([&] { order += 'a'; });  // outside of any: when the loop goes on
  loop.post([&] {
    loop.at_turn_end([&] {
      order += 'c';
      loop.at_turn_end([&] { order += 'd'; });
    });
    order += 'b';
  });
  loop.post([&] { order += 'e'; });
  loop.at(loop.clock().now(), [&] {
    loop.at_turn_end([&] { order += 'g'; });
    order += 'f';
  });
  EXPECT_TRUE(loop.run_until([&] { return order.size() == 7; }, patience));
  EXPECT_EQ(order, "abcdefg");
  // The condition's own does not wait for something else to happen.
  bool asked = false, ran = false;
  EXPECT_TRUE(loop.run_until(
      [&] {
        if (!std::exchange(asked, true)) loop.at_turn_end([&] { ran = true; });
        return ran;
      },
      patience));
}

TEST(EventLoopTest, TimersRunWhenDueInTheOrderTheyWereSet) {
  EventLoop loop;
  std::string order;
  const Instant start = loop.clock().now();
  const Instant soon = start + absl::Milliseconds(5);
  loop.at(soon, [&] { order += 'b'; });
  loop.at(soon, [&] { order += 'c'; });
  loop.at(start, [&] { order += 'a'; });
  const TimerId cancelled = loop.at(soon, [&] { order += 'x'; });
  loop.at(soon, [&] {
    order += 'd';
    EXPECT_GE(loop.clock().now(), soon);
  });
  loop.cancel(cancelled);
  EXPECT_TRUE(loop.run_until([&] { return order.size() == 4; }, patience));
  EXPECT_EQ(order, "abcd");
}

TEST(EventLoopTest, AnEarlierTimerSetWhileItWaitsIsNotLate) {
  EventLoop loop;
  bool early = false;
  loop.at(loop.clock().now() + absl::Hours(1), [] { FAIL(); });
  std::thread other([&] {
    loop.post([&] { loop.at(loop.clock().now() + absl::Milliseconds(1), [&] { early = true; }); });
  });
  EXPECT_TRUE(loop.run_until([&] { return early; }, patience));
  other.join();
}

TEST(EventLoopTest, TasksPostedByOtherThreadsAllRunEachThreadsInOrder) {
  EventLoop loop;
  constexpr int each = 20'000;  // together more than may wait at once: the threads wait for room
  std::vector<std::vector<int>> seen(5);
  std::size_t total = 0;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < seen.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < each; ++i) {
        loop.post([&, t, i] {
          seen[t].push_back(i);
          ++total;
        });
      }
    });
  }
  EXPECT_TRUE(loop.run_until([&] { return total == seen.size() * each; }, patience));
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<int>& one : seen) {
    for (int i = 0; i < each; ++i) ASSERT_EQ(one[static_cast<std::size_t>(i)], i);
  }
}

TEST(EventLoopTest, StopEndsRunFromAnotherThreadAndFreesThreadsThatWaitForRoom) {
  EventLoop loop;
  std::thread poster([&] {
    for (std::size_t i = 0; i < EventLoop::posted_max + 10; ++i) loop.post([] {});
  });
  loop.stop();
  poster.join();
  loop.run();  // at once
}

TEST(EventLoopTest, RunReturnsAfterTheTaskThatStops) {
  EventLoop loop;
  int ran = 0;
  loop.post([&] {
    ++ran;
    loop.stop();
  });
  loop.post([&] { ++ran; });
  loop.run();
  EXPECT_EQ(ran, 1);
}

TEST(EventLoopTest, WhatATimerPostsRunsBeforeTheLoopSleeps) {
  EventLoop loop;
  bool ran = false;
  const Instant start = loop.clock().now();
  loop.at(start, [&] { loop.post([&] { ran = true; }); });
  loop.at(start + absl::Hours(1), [] { FAIL(); });  // a loop that sleeps does so until this one
  EXPECT_TRUE(loop.run_until([&] { return ran; }, patience));
  EXPECT_LT(loop.clock().now() - start, patience);
}

TEST(EventLoopTest, RunUntilGivesUpAtItsLimit) {
  EventLoop loop;
  EXPECT_FALSE(loop.run_until([] { return false; }, absl::Milliseconds(2)));
}

TEST(EventLoopTest, AWatchedDescriptorIsReportedUntilItIsUnwatched) {
  EventLoop loop;
  int pipe_fds[2];
  ASSERT_EQ(pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC), 0);
  std::string got;
  ASSERT_TRUE(loop.watch_fd(pipe_fds[0], EPOLLIN,
                            [&](std::uint32_t events) {
                              EXPECT_TRUE((events & EPOLLIN) != 0U);
                              char byte = 0;
                              if (read(pipe_fds[0], &byte, 1) == 1) got += byte;
                              if (got.size() == 2)
                                loop.unwatch_fd(pipe_fds[0]);  // from inside its own call
                            })
                  .ok());
  EXPECT_EQ(write(pipe_fds[1], "abc", 3), 3);
  EXPECT_TRUE(loop.run_until([&] { return got.size() == 2; }, patience));
  EXPECT_FALSE(loop.run_until([&] { return got.size() == 3; }, absl::Milliseconds(2)));
  EXPECT_EQ(got, "ab");
  close(pipe_fds[0]);
  close(pipe_fds[1]);
  EXPECT_FALSE(loop.watch_fd(pipe_fds[0], EPOLLIN, [](std::uint32_t) {}).ok()) << "closed";
}

TEST(EventLoopTest, ADescriptorUnwatchedByAnotherInTheSameRoundIsNotReported) {
  EventLoop loop;
  const int one = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
  const int two = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
  int calls = 0;
  const auto only_once = [&](std::uint32_t) {
    ++calls;
    loop.unwatch_fd(one);
    loop.unwatch_fd(two);
  };
  ASSERT_TRUE(loop.watch_fd(one, EPOLLIN, only_once).ok());
  ASSERT_TRUE(loop.watch_fd(two, EPOLLIN, only_once).ok());
  EXPECT_FALSE(loop.run_until([&] { return calls > 1; }, absl::Milliseconds(2)));
  EXPECT_EQ(calls, 1);
  close(one);
  close(two);
}

TEST(EventLoopTest, ItsClockRunsForward) {
  const LiveClock clock;
  const Instant before = clock.now();
  EXPECT_LE(before, clock.now());
  EXPECT_GT(clock.wall(), absl::FromUnixSeconds(1'600'000'000));
}

}  // namespace
}  // namespace supercloud
