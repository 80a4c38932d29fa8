#include "bus/history.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/wire_format.h"
#include "core/json.h"
#include "core/text.h"
#include "core/topic.h"

namespace supercloud {

std::string encode_question(const StreamRange& range) {
  WireWriter writer;
  writer.string(range.origin).number(range.incarnation).number(range.after).number(range.up_to);
  writer.number(range.prefixes.size());
  for (const std::string& prefix : range.prefixes) writer.string(prefix);
  return writer.take();
}

absl::StatusOr<StreamRange> decode_question(std::string_view bytes) {
  WireParser parser(bytes);
  StreamRange range;
  range.origin = parser.name();
  range.incarnation = parser.number();
  range.after = parser.number();
  range.up_to = parser.number();
  const std::size_t count = parser.count(8, history_prefixes_max);
  for (std::size_t i = 0; i < count; ++i) range.prefixes.push_back(parser.string(topic_bytes_max));
  if (absl::Status done = parser.done("question for history"); !done.ok()) return done;
  if (!is_origin(range.origin) || range.after >= range.up_to) {
    return absl::InvalidArgumentError("a question for history that asks for nothing");
  }
  return range;
}

std::string encode_answer(const StreamPart& part) {
  WireWriter writer;
  writer.number(part.through).number(part.events.size());
  for (const Event& event : part.events) {
    const Bytes bytes = event.bytes();
    writer.string({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  return writer.take();
}

std::string encode_proven_answer(const StreamPart& part) {
  WireWriter writer(encode_answer(part));
  writer.number(part.checkpoints.size());
  for (const Event& checkpoint : part.checkpoints) {
    const Bytes bytes = checkpoint.bytes();
    writer.string({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  return writer.take();
}

std::string encode_json_answer(const StreamPart& part) {
  std::vector<std::string> said;
  std::uint64_t through = part.through;
  std::uint64_t last = 0;
  std::size_t size = 16;
  for (const Event& event : part.events) {
    std::string json = to_json(event);
    if (size + 8 + json.size() > request_bytes_max) {
      // What does not fit is asked for in the next question; if not even alone, it cannot be had.
      through = said.empty() ? event.sequence() : last;
      break;
    }
    size += 8 + json.size();
    last = event.sequence();
    said.push_back(std::move(json));
  }
  WireWriter writer;
  writer.number(through).number(said.size());
  for (const std::string& json : said) writer.string(json);
  return writer.take();
}

absl::StatusOr<HistoryAnswer> decode_answer(std::string_view bytes, const StreamRange& range) {
  WireParser parser(bytes);
  HistoryAnswer answer;
  answer.through = parser.number();
  const std::size_t count = parser.count(8, request_bytes_max / 8);
  for (std::size_t i = 0; i < count; ++i) answer.events.push_back(parser.view(event_bytes_max));
  const std::size_t proofs = range.proofs ? parser.count(8, request_bytes_max / 8) : 0;
  for (std::size_t i = 0; i < proofs; ++i)
    answer.checkpoints.push_back(parser.view(event_bytes_max));
  if (absl::Status done = parser.done("answer about history"); !done.ok()) return done;
  if (answer.through <= range.after || answer.through > range.up_to) {
    return absl::InvalidArgumentError(absl::StrCat("an answer about history through ",
                                                   answer.through, " to a question for ",
                                                   range.after + 1, " to ", range.up_to));
  }
  return answer;
}

bool is_history_actor(std::string_view actor) {
  return actor == history_actor || actor == history_json_actor || actor == history_proven_actor;
}

void serve_history(BusReceiver& receiver, std::string_view node, std::string_view actor,
                   StreamRange range, Reply<std::string> answer, bool believed) {
  range.proofs = actor == history_proven_actor;
  if (!believed && !range.proofs && node_of(range.origin) != node) {
    return answer(absl::UnimplementedError(
        absl::StrCat(absl_view(node), " tells of others' events only what is proven")));
  }
  using Encode = std::string (*)(const StreamPart& part);
  const Encode encode = range.proofs                  ? encode_proven_answer
                        : actor == history_json_actor ? encode_json_answer
                                                      : encode_answer;
  auto shared = std::make_shared<Reply<std::string>>(std::move(answer));
  receiver.on_history(
      std::move(range),
      Reply<StreamPart>(shared->deadline(), [shared, encode](absl::StatusOr<StreamPart> part) {
        if (part.ok()) {
          (*shared)(encode(*part));
        } else {
          (*shared)(part.status());
        }
      }));
}

}  // namespace supercloud
