// The side channel of repair: what a subscriber missed, it asks the publisher's log for. Question and answer travel as a request to the
// actor `history_actor` of the publisher's node, which the bus itself answers. Untrusted on arrival.
//
//   question = string(origin) number(incarnation) number(after) number(up to) number(count) *string(prefix)
//   answer   = number(through) number(count) *string(event bytes)
//
// Asked of `history_json_actor`, the events are in JSON; of one that has no room in an answer nothing is said. Asked of
// `history_proven_actor`, the answer ends with the checkpoints that list them (bus/checkpoint.h), as far as they are there:
// number(count) *string(checkpoint's bytes).
//
// number and string as in bus/zmq_wire.h. The answer has the events of the range in order of their sequence, as the publisher's log has
// them, up to `through`; it may be less than the range, but never nothing of it.
//
// A node with an archive is asked for the events of a publisher that is gone: where everyone is believed who is heard in the same way, with keys
// for those that are proven.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/bus.h"

namespace supercloud {

inline constexpr std::string_view history_actor = "bus";
inline constexpr std::string_view history_json_actor = "bus.json";
inline constexpr std::string_view history_proven_actor = "bus.proven";
inline constexpr std::size_t history_prefixes_max = 1024;

std::string encode_question(const StreamRange& range);
absl::StatusOr<StreamRange> decode_question(std::string_view bytes);

std::string encode_answer(const StreamPart& part);
std::string encode_proven_answer(const StreamPart& part);
// As much of it as an answer holds.
std::string encode_json_answer(const StreamPart& part);
struct HistoryAnswer {
  std::vector<std::string_view> events;  // in the bytes it was decoded from; not validated
  std::uint64_t through = 0;
  std::vector<std::string_view> checkpoints;  // as `events`; where `range` asks for proofs
};
// InvalidArgument: malformed, or no answer to `range`.
absl::StatusOr<HistoryAnswer> decode_answer(std::string_view bytes, const StreamRange& range);

// Has `receiver` answer a question, in the form that `actor` stands for. `believed`: of the events of others, too, without a proof.
void serve_history(BusReceiver& receiver, std::string_view node, std::string_view actor,
                   StreamRange range, Reply<std::string> answer, bool believed);
// Whether questions for history are addressed to it.
bool is_history_actor(std::string_view actor);

}  // namespace supercloud
