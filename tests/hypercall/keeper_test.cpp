#include "hypercall/keeper.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/random.h"
#include "core/virtual_scheduler.h"

namespace supercloud {
namespace {

TEST(FencePolicyTest, DefaultsAreSafe) { EXPECT_TRUE(FencePolicy().validate().ok()); }

TEST(FencePolicyTest, BoundIsTheFormulaOfRule8RoundedDown) {
  FencePolicy policy;
  policy.ttl = absl::Seconds(3);
  policy.drift_ppm = 1000;
  policy.stop_time = absl::Milliseconds(200);
  // 3 s * 0.999/1.001 = 2.994005994..., minus 0.999 * 0.2 s = 0.1998 s
  EXPECT_EQ(policy.fence_limit(), absl::Nanoseconds(2'994'005'994 - 199'800'000));
}

TEST(FencePolicyTest, FenceAtTheBoundIsRefusedAndJustBelowItIsTaken) {
  FencePolicy policy;
  policy.fence_after = policy.fence_limit();
  EXPECT_EQ(policy.validate().code(), absl::StatusCode::kInvalidArgument);
  policy.fence_after -= absl::Nanoseconds(1);
  EXPECT_TRUE(policy.validate().ok()) << policy.validate();
}

TEST(FencePolicyTest, RefusalNamesTheFiguresAndTheCure) {
  FencePolicy policy;
  policy.fence_after = absl::Seconds(3);
  const std::string message(policy.validate().message());
  for (const char* part : {"TTL 3s", "F 3s", "1000 ppm", "200ms", "2.794205994s", "lower F"}) {
    EXPECT_NE(message.find(part), std::string::npos) << part << " is not in: " << message;
  }
}

TEST(FencePolicyTest, FiguresOutOfRangeAreRefused) {
  for (const Duration bad : {absl::ZeroDuration(), -absl::Seconds(1), absl::Hours(2)}) {
    FencePolicy policy;
    policy.ttl = bad;
    EXPECT_FALSE(policy.validate().ok());
  }
  FencePolicy slow;
  slow.stop_time = absl::Seconds(3);
  EXPECT_FALSE(slow.validate().ok());
  FencePolicy wild;
  wild.drift_ppm = 1'000'000;
  EXPECT_FALSE(wild.validate().ok());
}

// A clock that runs wrong: node or table time at a true time.
std::int64_t shown(std::int64_t true_ns, std::int64_t drift_ppm) {
  return true_ns + true_ns / 1'000'000 * drift_ppm;
}

// The true time at which a clock shows `ns`, rounded up.
std::int64_t reached(std::int64_t ns, std::int64_t drift_ppm) {
  return static_cast<std::int64_t>(static_cast<long double>(ns) * 1e6L /
                                   static_cast<long double>(1'000'000 + drift_ppm)) +
         1;
}

TEST(FencePolicyTest,
     NoSessionEndsAtTheTableWhileItsGuestExecutesHoweverClocksDriftAndMessagesAreDelayed) {
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    Random random(seed);
    FencePolicy policy;
    policy.ttl = absl::Milliseconds(random.between(100, 60'000));
    policy.drift_ppm = static_cast<std::uint32_t>(random.between(0, 100'000));
    policy.stop_time = absl::Milliseconds(random.between(0, 50));
    policy.fence_after = policy.fence_limit() - absl::Nanoseconds(1);
    if (!policy.validate().ok()) continue;
    const std::int64_t rho = policy.drift_ppm;
    const std::int64_t node_drift = random.between(-rho, rho);
    const std::int64_t table_drift = random.between(-rho, rho);

    // Renewals: sent, arriving at the table after a delay, answered or not. True time throughout.
    std::int64_t sent = 0;
    std::int64_t renewed_at_table = 0;  // the newest renewal that reached it
    std::int64_t answered_sent = -1;    // the newest that was answered
    const std::int64_t ttl = absl::ToInt64Nanoseconds(policy.ttl);
    const std::int64_t renewals = random.between(1, 20);
    for (std::int64_t i = 0; i < renewals; ++i) {
      const std::int64_t arrival = sent + random.between(0, ttl / 8);
      const bool arrived = i == 0 || !random.chance(300'000);
      const bool answered = i == 0 || (arrived && !random.chance(300'000));
      if (arrived) renewed_at_table = std::max(renewed_at_table, arrival);
      if (answered) answered_sent = sent;
      sent += random.between(1, ttl / 4);
    }
    // At worst, the session ends TTL after the very renewal that was answered, which arrived in the
    // moment it was sent.
    const std::int64_t session_ends =
        reached(shown(std::min(answered_sent, renewed_at_table), table_drift) + ttl, table_drift) -
        2;
    const Instant fence = policy.fence_deadline(Instant{shown(answered_sent, node_drift)});
    const std::int64_t last_instruction =
        reached(fence.ns, node_drift) + absl::ToInt64Nanoseconds(policy.stop_time);
    EXPECT_LE(last_instruction, session_ends + 2'000'000)
        << "seed " << seed;  // shown() rounds to whole microparts
  }
}

struct Freezes {
  VirtualScheduler scheduler;
  std::vector<std::pair<std::string, Instant>> frozen;
  Keeper keeper{scheduler,
                [this](const std::string& vm) { frozen.emplace_back(vm, scheduler.now()); }};
};

TEST(KeeperTest, AGuestWithoutADeadlineNeverRuns) {
  Freezes world;
  EXPECT_FALSE(world.keeper.allows("main/web1"));
}

TEST(KeeperTest, FreezesAtTheDeadlineToTheNanosecondAndAllowsNothingAfterIt) {
  Freezes world;
  const Instant deadline{1'234'567'891};
  world.keeper.arm("main/web1", deadline);
  EXPECT_TRUE(world.keeper.allows("main/web1"));
  world.scheduler.run_until(deadline - absl::Nanoseconds(1));
  EXPECT_TRUE(world.keeper.allows("main/web1"));
  EXPECT_TRUE(world.frozen.empty());
  world.scheduler.run_until(deadline);
  ASSERT_EQ(world.frozen.size(), 1U);
  EXPECT_EQ(world.frozen[0].second, deadline);
  EXPECT_FALSE(world.keeper.allows("main/web1"));
}

TEST(KeeperTest, DeadlineMovesInEitherDirection) {
  Freezes world;
  world.keeper.arm("main/web1", Instant{1000});
  world.keeper.arm("main/web1", Instant{3000});
  world.scheduler.run_until(Instant{2000});
  EXPECT_TRUE(world.frozen.empty());
  world.keeper.arm("main/web1", Instant{2500});
  world.scheduler.run_until(Instant{2500});
  EXPECT_EQ(world.frozen.size(), 1U);
}

TEST(KeeperTest, ADeadlineInThePastFreezesAtOnce) {
  Freezes world;
  world.scheduler.run_until(Instant{5000});
  world.keeper.arm("main/web1", Instant{4000});
  EXPECT_EQ(world.frozen.size(), 1U);
}

TEST(KeeperTest, AForgottenGuestIsNotFrozenAndNotAllowed) {
  Freezes world;
  world.keeper.arm("main/web1", Instant{1000});
  world.keeper.forget("main/web1");
  world.scheduler.run_until(Instant{5000});
  EXPECT_TRUE(world.frozen.empty());
  EXPECT_FALSE(world.keeper.allows("main/web1"));
}

}  // namespace
}  // namespace supercloud
