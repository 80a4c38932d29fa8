// The side channel of repair: what a subscriber missed, it asks the publisher's log for. Question and answer travel as a request to the
// actor `history_actor` of the publisher's node, which the bus itself answers. Untrusted on arrival.
//
//   question = string(origin) number(incarnation) number(after) number(up to) number(count) *string(prefix)
//   answer   = number(through) number(count) *string(event bytes)
//
// Asked of `history_json_actor`, the events are in JSON; of one that has no room in an answer nothing is said.
//
// number and string as in bus/zmq_wire.h. The answer has the events of the range in order of their sequence, as the publisher's log has
// them, up to `through`; it may be less than the range, but never nothing of it.
//
// Where everyone is believed who is heard, a node with an archive is asked the same for the events of a publisher that is gone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/bus.h"

namespace supercloud {

inline constexpr std::string_view history_actor = "bus";
inline constexpr std::string_view history_json_actor = "bus.json";
inline constexpr std::size_t history_prefixes_max = 1024;

std::string encode_question(const StreamRange& range);
absl::StatusOr<StreamRange> decode_question(std::string_view bytes);

std::string encode_answer(const StreamPart& part);
// As much of it as an answer holds.
std::string encode_json_answer(const StreamPart& part);
struct HistoryAnswer {
  std::vector<std::string_view> events;  // in the bytes it was decoded from; not validated
  std::uint64_t through = 0;
};
// InvalidArgument: malformed, or no answer to `range`.
absl::StatusOr<HistoryAnswer> decode_answer(std::string_view bytes, const StreamRange& range);

// Has `receiver` answer a question for the log of `node`; with `archives`, for others' events too, as far as it keeps them.
using EncodeAnswer = std::string (*)(const StreamPart& part);
void serve_history(BusReceiver& receiver, std::string_view node, std::string_view question,
                   Reply<std::string> answer, EncodeAnswer encode, bool archives);

}  // namespace supercloud
