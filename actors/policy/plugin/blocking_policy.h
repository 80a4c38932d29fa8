// A process policy for virtual time, where nothing happens while a question is open: decide() waits, in real time, and answers before
// it returns. A decision must not depend on how busy this machine is: time for an answer is best long, and counts from when the
// process is there to be asked; one that has failed is started again at once, and, in `of_virtual_time`, a few times only.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "actors/policy/plugin/process_policy.h"
#include "actors/policy/policy.h"
#include "core/event_loop.h"

namespace supercloud {

// Thread-bound, with an event loop of its own that runs inside of calls only.
class BlockingPolicy final : public Policy {
 public:
  explicit BlockingPolicy(ProcessPolicyOptions options);
  // So that the same failures come at the same questions, and soon end.
  static ProcessPolicyOptions of_virtual_time(ProcessPolicyOptions options);

  std::string name() const override { return process_.name(); }
  // The errors of ProcessPolicy.
  void decide(Message<schema::World> world, Reply<Message<schema::Decision>> reply) override;
  // Waits for its hello.
  absl::StatusOr<PolicyGreeting> greeting();
  pid_t pid() const { return process_.pid(); }

 private:
  const Duration deadline_, start_deadline_;  // of all its starts, one after the other
  EventLoop loop_;
  ProcessPolicy process_;
};

}  // namespace supercloud
