// Whatever bytes the bus brings: parsing does not crash, and what is accepted can be read in full, kept byte for byte and
// caused upon.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "core/event.h"
#include "core/json.h"
#include "core/topic.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  EventPool pool;
  const Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
  const absl::StatusOr<Event> event = pool.parse(bytes);
  if (!event.ok()) return 0;
  if (event->bytes() != bytes) std::abort();
  if (!validate_topic(event->topic()).ok() || event->subject().empty()) std::abort();
  const std::string_view kind = topic_of(event->type());
  if (!kind.empty() && !event->topic().starts_with(kind)) std::abort();
  const std::string json = to_json(*event);
  if (json.empty()) std::abort();

  Draft draft = pool.draft(event->subject(), event->tenant());
  draft.payload().initVmReleased();
  Envelope envelope;
  envelope.origin = "node-a/executor";
  envelope.sequence = 1;
  envelope.cause = &*event;
  const absl::StatusOr<Event> effect = std::move(draft).seal(envelope);
  if (effect.ok() && (effect->cause() != event->id() || !pool.parse(effect->bytes()).ok())) {
    std::abort();
  }
  return 0;
}
