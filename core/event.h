// Events: immutable, reference-counted, shared by all actors of a process without a copy.
//
// An Event owns the very bytes that go to the log and the wire. It is built in a Draft, in a pooled and zeroed segment, and
// sealed by the runtime, which alone fills in the envelope; or it is parsed from outside bytes, which are validated once. What never
// left this program (a simulation's wire and disks) need not be validated again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/hybrid_clock.h"
#include "core/schema/annotations.capnp.h"
#include "core/schema/event.capnp.h"
#include "core/text.h"
#include "core/units.h"

namespace supercloud {

inline constexpr std::size_t event_bytes_max = 1 << 20;

using Bytes = absl::Span<const std::byte>;

struct EventId {
  std::string origin;  // "node/actor"
  std::uint64_t incarnation = 0;
  std::uint64_t sequence = 0;

  static EventId from(schema::EventId::Reader reader);
  void write(schema::EventId::Builder builder) const;
  bool empty() const { return origin.empty(); }
  // Eight hexadecimal digits by which people name it.
  std::string short_id() const;
  // "node/actor:incarnation:sequence"
  std::string to_string() const;
  static absl::StatusOr<EventId> parse(std::string_view text);

  friend auto operator<=>(const EventId&, const EventId&) = default;
};

class EventPool;
struct EventBuffer;  // core/event_buffer.h
class BufferPool;
struct DraftParts;

// Thread-safe to copy, read and drop; dropping the last one returns the buffer to its pool, which must outlive it.
class Event {
 public:
  Event() = default;
  Event(const Event& other);
  Event(Event&& other) noexcept;
  Event& operator=(Event other) noexcept;
  ~Event();

  explicit operator bool() const { return buffer_ != nullptr; }

  schema::Event::Reader reader() const;
  schema::Payload::Reader payload() const { return reader().getPayload(); }
  schema::Payload::Which type() const { return payload().which(); }

  EventId id() const { return EventId::from(reader().getId()); }
  std::string_view origin() const { return text(reader().getId().getOrigin()); }
  std::uint64_t incarnation() const { return reader().getId().getIncarnation(); }
  std::uint64_t sequence() const { return reader().getId().getSequence(); }
  std::string_view topic() const { return text(reader().getTopic()); }
  // The fourth token, decoded: a VM, a node, a place.
  std::string subject() const;
  std::string tenant() const;
  HybridTime time() const { return {reader().getTime()}; }
  Epoch epoch() const { return reader().getEpoch(); }
  EventId cause() const { return EventId::from(reader().getCause()); }
  EventId root() const { return EventId::from(reader().getRoot()); }
  EventId migration() const { return EventId::from(reader().getMigration()); }
  // The sequence of its origin's event before it, in this incarnation, that shares its first `tokens` (0 to 3) topic tokens; 0: none.
  std::uint64_t previous(std::size_t tokens) const;

  // The standard stream framing, one segment: what log and wire carry.
  Bytes bytes() const;

 private:
  friend class EventPool;
  friend class Draft;
  explicit Event(EventBuffer* buffer) : buffer_(buffer) {}

  EventBuffer* buffer_ = nullptr;
};

// What the runtime fills in; an actor cannot forget or forge it.
struct Envelope {
  std::string_view origin;
  std::uint64_t incarnation = 0;
  std::uint64_t sequence = 0;
  std::uint64_t previous[4] = {0, 0, 0, 0};
  HybridTime time;
  const Event* cause = nullptr;  // its root becomes this one's; null: this is a first event
};

// An event under construction. Thread-bound; move-only.
class Draft {
 public:
  Draft(Draft&& other) noexcept;
  Draft& operator=(Draft&& other) noexcept;
  ~Draft();

  schema::Payload::Builder payload();
  Draft& epoch(Epoch epoch);
  Draft& migration(const EventId& id);
  Draft& reconstructed();

  // For the runtime: the topic follows from payload type, tenant and subject. InvalidArgument if it is no valid topic or the event is too large.
  absl::Status set_topic();
  std::string_view topic() const;
  absl::StatusOr<Event> seal(const Envelope& envelope) &&;

 private:
  friend class EventPool;
  explicit Draft(DraftParts* parts) : parts_(parts) {}

  DraftParts* parts_ = nullptr;  // its pool's
};

// Buffers for events, reused: no allocation in steady state. Thread-safe.
class EventPool {
 public:
  EventPool();
  ~EventPool();  // every Event of it must be gone
  EventPool(const EventPool&) = delete;
  EventPool& operator=(const EventPool&) = delete;

  Draft draft(std::string_view subject, std::string_view tenant = "main");
  // Copies and validates bytes from outside: size, depth, the whole structure walked, topic and id well-formed.
  absl::StatusOr<Event> parse(Bytes bytes);
  // Copies what an event of this program gave as its bytes(), and validates nothing: not for bytes from a wire or a disk.
  Event restore(Bytes bytes);

  // Buffers taken from the allocator so far: constant in steady state.
  std::size_t allocated() const;

 private:
  Event copy(Bytes bytes, std::size_t words);

  std::unique_ptr<BufferPool> buffers_;
};

// "domain.event" and delivery class of a payload type, from the schema's annotations; empty for types this build does not know.
std::string_view topic_of(schema::Payload::Which type);
schema::Delivery delivery_of(schema::Payload::Which type);
// Of types that this build does not know, LATEST: what it cannot judge it does not forget.
schema::Retention retention_of(schema::Payload::Which type);

}  // namespace supercloud
