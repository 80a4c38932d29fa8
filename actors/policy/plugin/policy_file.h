// From a file of its user's to a policy: a shared object (its name ends in .so) is run by this program's own policy-host, anything
// else is a program that is run as it is.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "actors/policy/plugin/process_policy.h"
#include "actors/policy/policies.h"
#include "core/event_loop.h"

namespace supercloud {

using PolicyFactory = PolicyRegistry::mapped_type;

struct PolicyFileOptions {
  std::string name;  // in the registry
  std::string file;
  // What has the command `policy-host FILE.so ENDPOINT`.
  std::string host_program = "/proc/self/exe";
  Duration deadline =
      absl::ZeroDuration();  // for an answer; 0: 800 ms, or the one below where it blocks
};

// Of real time, in virtual time.
inline constexpr Duration default_answer_within = absl::Seconds(10);

// Whether there is a file that may be run or loaded: NotFound, InvalidArgument or PermissionDenied, with the cure. Runs nothing.
absl::Status check_policy_file(const std::string& file);

// Live: each policy that the factory makes has a process of its own. `loop` is the one of the actors that ask, and outlives them.
absl::StatusOr<PolicyFactory> policy_from_file(EventLoop& loop, const PolicyFileOptions& options);
// For virtual time: decide() waits for the answer, in real time (blocking_policy.h). All nodes are in one thread there, and what a
// copy of the factory makes for them shares one process, which ends with the last of both.
absl::StatusOr<PolicyFactory> blocking_policy_from_file(const PolicyFileOptions& options);

// Starts it, waits for its hello, and ends it. The errors of check_policy_file() and of ProcessPolicy.
absl::StatusOr<PolicyGreeting> greet_policy(const PolicyFileOptions& options);

}  // namespace supercloud
