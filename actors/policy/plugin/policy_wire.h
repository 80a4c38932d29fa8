// What a node and the process of a policy say to each other, over ZeroMQ: the node binds a ROUTER, the process connects a DEALER to
// the endpoint that it got as its last argument. A message is a few frames:
//
//   hello    = "hello" greeting            process to node, once, first
//   decide   = "decide" id world           node to process
//   decision = "decision" id decision      process to node
//   failed   = "failed" id why             process to node: it cannot decide; why = a sentence, at most 1000 bytes
//   id       = 1*20DIGIT                   given back as it came
//   greeting = {"protocol": 1, "name": TEXT, "version": TEXT, "decidesOn": TEXT}    JSON; TEXT at most 200 bytes
//   world, decision = JSON of World and Decision in core/schema/world.capnp; a decision has at most decision_json_max bytes
//
// One question is asked at a time; only when its deadline has passed may the next come before an answer. An answer to a question
// that is not waited for any more is dropped by its id; what is no answer and has no id is taken for one to the question that has
// waited longest for its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/message.h"

namespace supercloud {

inline constexpr int policy_protocol = 1;
inline constexpr std::size_t decision_json_max = 1 << 20;
inline constexpr std::size_t greeting_text_max = 200;
inline constexpr std::size_t failure_text_max = 1000;

struct PolicyGreeting {
  std::string name, version, decides_on;
};

std::string to_json(const PolicyGreeting& greeting);

// What a process said; pure, for bytes from outside.
struct PolicyWord {
  enum class Kind { hello, decision, failed };
  Kind kind = Kind::hello;
  PolicyGreeting greeting;  // hello
  std::uint64_t id = 0;     // the others
  absl::StatusOr<Message<schema::Decision>> decision = Message<schema::Decision>();
};

// InvalidArgument: not of the grammar above. What is wrong but has the id of a question is a PolicyWord with that error.
absl::StatusOr<PolicyWord> parse_policy_word(absl::Span<const std::string_view> frames);

// Of what a program says to people: without control characters, and cut to `bytes_max`.
std::string printable(std::string_view said, std::size_t bytes_max);

}  // namespace supercloud
