#include "actors/migration/transfer_plan.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

// Passes that shrink by less than a tenth do not end in any time that matters.
constexpr double shrinks_at_least = 0.9;
// A guest is slowed down step by step, pass by pass: that is begun while there is time for it.
constexpr double throttle_from = 0.5;
// A rate may get better: hopeless is what would take this much longer than there is time.
constexpr double hopeless_from = 1.5;
constexpr int passes_foreseen = 100;

std::string mebibytes(std::uint64_t bytes) { return absl::StrCat((bytes >> 19U) / 2, " MiB"); }

TransferPlan by_post_copy(TransferPlan plan, Duration rest) {
  plan.method = schema::Method::POST_COPY;
  plan.total = rest;
  plan.blackout = absl::ZeroDuration();
  return plan;
}

}  // namespace

TransferPlan plan_transfer(const TransferProgress& progress, std::uint64_t falls_per_second,
                           const TransferBudget& budget, schema::Method method) {
  TransferPlan plan;
  plan.method = method;
  plan.dirty_bytes_per_second = progress.dirty_pages_per_second * guest_page_bytes;
  plan.total = absl::InfiniteDuration();
  if (progress.bytes_per_second == 0) return plan;
  const auto rate = static_cast<double>(progress.bytes_per_second);
  const double shrinks = static_cast<double>(plan.dirty_bytes_per_second) / rate;

  double left = static_cast<double>(progress.remaining_bytes);
  double seconds = 0;
  const double fits = rate * absl::ToDoubleSeconds(budget.blackout_max);
  const bool shrinking = shrinks < shrinks_at_least;
  for (int pass = 0; pass < passes_foreseen && left > fits && shrinking; ++pass) {
    seconds += left / rate;
    left *= shrinks;
  }
  plan.blackout = absl::Seconds(left / rate);
  if (left <= fits) plan.total = absl::Seconds(seconds) + plan.blackout;

  const Duration at_least = absl::Seconds(static_cast<double>(progress.remaining_bytes) /
                                          std::max(rate, static_cast<double>(falls_per_second)));
  // Its pause is near, and nothing is known better any more.
  if (method == schema::Method::POST_COPY) return by_post_copy(std::move(plan), at_least);
  const bool may_follow = budget.post_copy && method == schema::Method::PRE_COPY;
  if (!budget.leaves && at_least > budget.left * hopeless_from) {
    plan.hopeless =
        absl::StrCat(mebibytes(progress.remaining_bytes), " are left, which takes ",
                     absl::FormatDuration(absl::Trunc(at_least, absl::Seconds(1))), " at ",
                     mebibytes(progress.bytes_per_second), "/s, and ",
                     absl::FormatDuration(absl::Trunc(std::max(budget.left, absl::ZeroDuration()),
                                                      absl::Seconds(1))),
                     " of ", absl::FormatDuration(absl::Trunc(budget.total_max, absl::Seconds(1))),
                     " are left; give it more time, or a faster way");
    return plan;
  }
  // Before all of memory was sent once nothing is known of what is dirtied.
  if (method == schema::Method::THROTTLED || progress.converged || progress.pass < 2) return plan;
  if (!shrinking) {
    plan.method = schema::Method::THROTTLED;
    plan.why = absl::StrCat("it writes ", mebibytes(plan.dirty_bytes_per_second),
                            "/s, and the way carries ", mebibytes(progress.bytes_per_second), "/s");
  } else if (plan.total > budget.left * throttle_from) {
    plan.method = schema::Method::THROTTLED;
    plan.why = absl::StrCat(
        "as it writes, ", absl::FormatDuration(absl::Trunc(plan.total, absl::Milliseconds(100))),
        " are foreseen, and ",
        absl::FormatDuration(absl::Trunc(budget.left, absl::Milliseconds(100))), " are left");
  }
  return plan.method == schema::Method::THROTTLED && may_follow
             ? by_post_copy(std::move(plan), at_least)
             : plan;
}

}  // namespace supercloud
