#include "actors/migration/transfer_plan.h"

#include <gmock/gmock.h>

namespace supercloud {
namespace {

using schema::Method;
using testing::HasSubstr;

constexpr std::uint64_t mib = 1 << 20U;
constexpr std::uint64_t pages_of_a_mib = 256;

TransferProgress progress(std::uint64_t left_mib, std::uint64_t rate_mib, std::uint64_t dirty_mib,
                          std::uint32_t pass = 2) {
  TransferProgress progress;
  progress.pass = pass;
  progress.remaining_bytes = left_mib * mib;
  progress.bytes_per_second = rate_mib * mib;
  progress.dirty_pages_per_second = dirty_mib * pages_of_a_mib;
  return progress;
}
TransferBudget budget(Duration left = absl::Minutes(1), bool leaves = false) {
  return {.blackout_max = absl::Milliseconds(300),
          .total_max = absl::Minutes(1),
          .left = left,
          .leaves = leaves};
}

TEST(TransferPlan, what_shrinks_fast_enough_goes_on_as_it_is) {
  const TransferPlan plan = plan_transfer(progress(400, 100, 50), 0, budget(), Method::PRE_COPY);
  EXPECT_EQ(plan.method, Method::PRE_COPY);
  EXPECT_EQ(plan.hopeless, "");
  // 4 s, 2 s, 1 s, 0.5 s; then 25 MiB are left, which fit.
  EXPECT_EQ(plan.total, absl::Milliseconds(7750));
  EXPECT_EQ(plan.blackout, absl::Milliseconds(250));
}

TEST(TransferPlan, who_writes_faster_than_the_way_carries_is_slowed_down) {
  const TransferPlan plan = plan_transfer(progress(400, 100, 95), 0, budget(), Method::PRE_COPY);
  EXPECT_EQ(plan.method, Method::THROTTLED);
  EXPECT_EQ(plan.why, "it writes 95 MiB/s, and the way carries 100 MiB/s");
  EXPECT_EQ(plan.total, absl::InfiniteDuration());
  EXPECT_EQ(plan_transfer(progress(400, 100, 10), 0, budget(), Method::THROTTLED).method,
            Method::THROTTLED)
      << "and is not let go before it has converged";
}

TransferBudget with_post_copy(Duration left = absl::Minutes(1)) {
  TransferBudget allowed = budget(left);
  allowed.post_copy = true;
  return allowed;
}

TEST(TransferPlan,
     what_does_not_converge_follows_where_that_is_allowed_rather_than_be_slowed_down) {
  const TransferPlan plan =
      plan_transfer(progress(400, 100, 95), 0, with_post_copy(), Method::PRE_COPY);
  EXPECT_EQ(plan.method, Method::POST_COPY);
  EXPECT_EQ(plan.why, "it writes 95 MiB/s, and the way carries 100 MiB/s");
  EXPECT_EQ(plan.total, absl::Seconds(4));
  EXPECT_EQ(plan.blackout, absl::ZeroDuration());
  EXPECT_EQ(plan_transfer(progress(400, 100, 10), 0, with_post_copy(), Method::POST_COPY).method,
            Method::POST_COPY)
      << "and does until it is over";
  EXPECT_EQ(plan_transfer(progress(1600, 100, 80), 0, with_post_copy(), Method::PRE_COPY).method,
            Method::POST_COPY)
      << "nor does it wait for most of its time";
  EXPECT_EQ(plan_transfer(progress(400, 100, 50), 0, with_post_copy(), Method::PRE_COPY).method,
            Method::PRE_COPY)
      << "what converges is not in need of it";
  EXPECT_EQ(plan_transfer(progress(400, 100, 95), 0, with_post_copy(), Method::THROTTLED).method,
            Method::THROTTLED);
}

TEST(TransferPlan, what_cannot_be_sent_in_time_cannot_follow_in_time_either) {
  const TransferPlan plan = plan_transfer(progress(4000, 100, 0, 1), 0,
                                          with_post_copy(absl::Seconds(10)), Method::PRE_COPY);
  EXPECT_THAT(plan.hopeless, HasSubstr("4000 MiB are left"));
}

TEST(TransferPlan, who_would_take_most_of_its_time_is_slowed_down) {
  EXPECT_EQ(plan_transfer(progress(1600, 100, 80), 0, budget(), Method::PRE_COPY).method,
            Method::THROTTLED);
  EXPECT_THAT(plan_transfer(progress(1600, 100, 80), 0, budget(), Method::PRE_COPY).why,
              HasSubstr("are foreseen"));
}

TEST(TransferPlan, before_all_of_memory_was_sent_nothing_is_known_of_what_is_written) {
  EXPECT_EQ(plan_transfer(progress(400, 100, 200, 1), 0, budget(), Method::PRE_COPY).method,
            Method::PRE_COPY);
}

TEST(TransferPlan, what_cannot_be_sent_in_time_is_hopeless_unless_the_source_is_left_anyway) {
  const TransferPlan plan =
      plan_transfer(progress(1000, 10, 0, 1), 0, budget(absl::Seconds(30)), Method::PRE_COPY);
  EXPECT_EQ(
      plan.hopeless,
      "1000 MiB are left, which takes 1m40s at 10 MiB/s, and 30s of 1m are left; give it more "
      "time, or a faster way");
  EXPECT_EQ(
      plan_transfer(progress(1000, 10, 0, 1), 0, budget(absl::Seconds(30), true), Method::PRE_COPY)
          .hopeless,
      "");
}

TEST(TransferPlan, pages_that_are_hardly_sent_count_as_what_they_are) {
  EXPECT_EQ(
      plan_transfer(progress(60'000, 10, 0, 1), 2000 * mib, budget(), Method::PRE_COPY).hopeless,
      "");
}

TEST(TransferPlan, while_no_rate_is_known_nothing_is_foreseen) {
  const TransferPlan plan = plan_transfer(progress(1000, 0, 50), 0, budget(), Method::PRE_COPY);
  EXPECT_EQ(plan.method, Method::PRE_COPY);
  EXPECT_EQ(plan.hopeless, "");
}

}  // namespace
}  // namespace supercloud
