// A process policy for virtual time, where nothing happens while a question is open: decide() waits, in real time, and answers before
// it returns.
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
  // `options.deadline` is real time, and best a long one: a decision that depends on how busy this machine is cannot be replayed.
  explicit BlockingPolicy(ProcessPolicyOptions options);

  std::string name() const override { return process_.name(); }
  // The errors of ProcessPolicy.
  void decide(Message<schema::World> world, Reply<Message<schema::Decision>> reply) override;
  // Waits for its hello.
  absl::StatusOr<PolicyGreeting> greeting();
  pid_t pid() const { return process_.pid(); }

 private:
  const Duration deadline_, start_deadline_;
  EventLoop loop_;
  ProcessPolicy process_;
};

}  // namespace supercloud
