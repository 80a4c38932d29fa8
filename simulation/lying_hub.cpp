#include "simulation/lying_hub.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/history.h"
#include "core/json.h"
#include "simulation/lying_log.h"

namespace supercloud {
namespace {

void set_number(std::string& json, std::string_view key, std::uint64_t before,
                std::uint64_t after) {
  const std::string old = absl::StrCat("\"", absl_view(key), "\":\"", before, "\"");
  const std::size_t at = json.find(old);
  if (at != std::string::npos)
    json.replace(at, old.size(), absl::StrCat("\"", absl_view(key), "\":\"", after, "\""));
}

// The same again, as its origin's next.
Event next_of(EventPool& pool, const Event& event) {
  std::string json = to_json(event);
  set_number(json, "sequence", event.sequence(), event.sequence() + 1);
  for (std::size_t tokens = 0; tokens < 4; ++tokens)
    set_number(json, absl::StrCat("previous", tokens), event.previous(tokens), event.sequence());
  absl::StatusOr<Event> lie = event_from_json(pool, json);
  return lie.ok() ? *std::move(lie) : event;
}

// Its signature is of another list.
Event forged(EventPool& pool, const Event& checkpoint) {
  std::string json = to_json(checkpoint);
  constexpr std::string_view digests = "\"digests\":[\"";
  const std::size_t at = json.find(digests);
  if (at == std::string::npos) return checkpoint;
  char& letter = json[at + digests.size()];
  letter = letter == 'A' ? 'B' : 'A';
  absl::StatusOr<Event> lie = event_from_json(pool, json);
  return lie.ok() ? *std::move(lie) : checkpoint;
}

Event changed(EventPool& pool, const Event& event) {
  return event.type() == schema::Payload::BUS_CHECKPOINT ? forged(pool, event)
                                                         : reconstructed(pool, event);
}

}  // namespace

// What a checkpoint says in its envelope nobody signs.
void LyingHub::say_checkpoint(const Event& checkpoint, const ChangedRelay::Pass& pass) {
  switch (random_.below(12)) {
    case 0:
      return;
    case 1:
      return pass(changed(pool_, checkpoint));
    default:
      return pass(checkpoint);
  }
}

void LyingHub::say(const Event& event, const ChangedRelay::Pass& pass) {
  if (delivery_of(event.type()) != schema::Delivery::DURABLE) return pass(event);
  if (event.type() == schema::Payload::BUS_CHECKPOINT) return say_checkpoint(event, pass);
  if (old_.size() < old_max)
    old_.push_back(event);
  else
    old_[random_.below(old_max)] = event;
  switch (random_.below(24)) {
    case 0:
      return;
    case 1:
      return pass(changed(pool_, event));
    case 2:
      pass(event);
      return pass(next_of(pool_, event));
    case 3:
      pass(next_of(pool_, event));  // before its time: what is true comes too late
      return pass(event);
    case 4:
      pass(event);
      return pass(old_[random_.below(old_.size())]);
    default:
      return pass(event);
  }
}

std::string LyingHub::answer(const Address& to, std::string_view question, std::string answer) {
  if (to.actor != history_actor && to.actor != history_proven_actor) return answer;
  absl::StatusOr<StreamRange> range = decode_question(question);
  if (!range.ok()) return answer;
  range->proofs = to.actor == history_proven_actor;
  const absl::StatusOr<HistoryAnswer> told = decode_answer(answer, *range);
  if (!told.ok()) return answer;
  StreamPart part{.through = told->through};
  for (const std::string_view bytes : told->events) {
    const absl::StatusOr<Event> event = parse(bytes);
    if (!event.ok()) return answer;
    part.events.push_back(random_.below(8) == 0 ? changed(pool_, *event) : *event);
  }
  for (const std::string_view bytes : told->checkpoints) {
    const absl::StatusOr<Event> checkpoint = parse(bytes);
    if (!checkpoint.ok()) return answer;
    part.checkpoints.push_back(random_.below(8) == 0 ? forged(pool_, *checkpoint) : *checkpoint);
  }
  return range->proofs ? encode_proven_answer(part) : encode_answer(part);
}

absl::StatusOr<Event> LyingHub::parse(std::string_view bytes) {
  return pool_.parse(Bytes(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()));
}

HubMachineOptions::InPlace lying_relay(std::uint64_t seed) {
  return [seed](RelayingBus& real, EventPool& pool) {
    const auto liar = std::make_shared<LyingHub>(pool, Random(seed));
    return std::make_unique<ChangedRelay>(
        real,
        [liar](const Event& event, const ChangedRelay::Pass& pass) { liar->say(event, pass); },
        [liar](const Address& to, std::string_view question, std::string answer) {
          return liar->answer(to, question, std::move(answer));
        });
  };
}

}  // namespace supercloud
