#include "actors/policy/plugin/blocking_policy.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace supercloud {
namespace {

// The process policy answers at its deadline by itself.
constexpr Duration slack = absl::Seconds(5);
constexpr int failures_in_virtual_time = 3;

// Runs the loop until `slot` is filled.
template <class T>
absl::StatusOr<T> wait_for(EventLoop& loop, const std::optional<absl::StatusOr<T>>& slot,
                           Duration limit) {
  loop.run_until([&] { return slot.has_value(); }, limit + slack);
  if (!slot) return absl::DeadlineExceededError("the policy's process was not heard of");
  return *slot;
}

}  // namespace

BlockingPolicy::BlockingPolicy(ProcessPolicyOptions options)
    : deadline_(options.deadline),
      start_deadline_(options.start_deadline * std::max(1, options.failures_max)),
      process_(loop_, std::move(options)) {}

ProcessPolicyOptions BlockingPolicy::of_virtual_time(ProcessPolicyOptions options) {
  options.pause_min = options.pause_max = absl::ZeroDuration();
  options.silences_max = 1;
  options.failures_max = failures_in_virtual_time;
  return options;
}

void BlockingPolicy::decide(Message<schema::World> world, Reply<Message<schema::Decision>> reply) {
  using Decided = absl::StatusOr<Message<schema::Decision>>;
  loop_.run_until([this] { return !process_.starting(); }, start_deadline_ + slack);
  const auto slot = std::make_shared<std::optional<Decided>>();
  process_.decide(std::move(world),
                  Reply<Message<schema::Decision>>(
                      far_future, [slot](Decided decided) { *slot = std::move(decided); }));
  reply(wait_for(loop_, *slot, deadline_));
}

absl::StatusOr<PolicyGreeting> BlockingPolicy::greeting() {
  const auto slot = std::make_shared<std::optional<absl::StatusOr<PolicyGreeting>>>();
  process_.on_greeting(
      [slot](absl::StatusOr<PolicyGreeting> greeting) { *slot = std::move(greeting); });
  return wait_for(loop_, *slot, start_deadline_);
}

}  // namespace supercloud
