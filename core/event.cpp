#include "core/event.h"

#include <capnp/message.h>

#include <cassert>
#include <charconv>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/event_buffer.h"
#include "core/text.h"
#include "core/topic.h"

namespace supercloud {

// ---- EventId

EventId EventId::from(schema::EventId::Reader reader) {
  return {std::string(supercloud::text(reader.getOrigin())), reader.getIncarnation(),
          reader.getSequence()};
}

void EventId::write(schema::EventId::Builder builder) const {
  builder.setOrigin(capnp_text(origin));
  builder.setIncarnation(incarnation);
  builder.setSequence(sequence);
}

std::string EventId::to_string() const {
  return absl::StrCat(origin, ":", incarnation, ":", sequence);
}

std::string EventId::short_id() const {
  // FNV-1a, then SplitMix64's finalizer: neighbours in sequence get unlike digits. Fixed for ever: people write these down.
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : to_string()) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }
  hash = (hash ^ (hash >> 30U)) * 0xbf58476d1ce4e5b9U;
  hash = (hash ^ (hash >> 27U)) * 0x94d049bb133111ebU;
  hash ^= hash >> 31U;
  return absl::StrFormat("%08x", hash >> 32U);
}

absl::StatusOr<EventId> EventId::parse(std::string_view text) {
  const auto invalid = [&] {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", absl_view(text), "' is no event id: expected node/actor:incarnation:sequence"));
  };
  const std::size_t second = text.rfind(':');
  if (second == std::string_view::npos || second == 0) return invalid();
  const std::size_t first = text.rfind(':', second - 1);
  if (first == std::string_view::npos || first == 0) return invalid();
  EventId id;
  id.origin = std::string(text.substr(0, first));
  const auto number = [](std::string_view digits, std::uint64_t& out) {
    const char* end = digits.data() + digits.size();
    const auto [at, error] = std::from_chars(digits.data(), end, out);
    return error == std::errc() && at == end;
  };
  if (!number(text.substr(first + 1, second - first - 1), id.incarnation)) return invalid();
  if (!number(text.substr(second + 1), id.sequence)) return invalid();
  return id;
}

// ---- Event

Event::Event(const Event& other) : buffer_(other.buffer_) {
  if (buffer_ != nullptr) buffer_->references.fetch_add(1, std::memory_order_relaxed);
}

Event::Event(Event&& other) noexcept : buffer_(std::exchange(other.buffer_, nullptr)) {}

Event& Event::operator=(Event other) noexcept {
  std::swap(buffer_, other.buffer_);
  return *this;
}

Event::~Event() {
  if (buffer_ != nullptr) buffer_->drop();
}

schema::Event::Reader Event::reader() const {
  assert(buffer_ != nullptr);
  return buffer_->root;
}

std::uint64_t Event::previous(std::size_t tokens) const {
  const auto event = reader();
  switch (tokens) {
    case 0:
      return event.getPrevious0();
    case 1:
      return event.getPrevious1();
    case 2:
      return event.getPrevious2();
    default:
      return event.getPrevious3();
  }
}

Bytes Event::bytes() const {
  assert(buffer_ != nullptr);
  return {buffer_->framed(), buffer_->framed_bytes()};
}

std::string Event::tenant() const {
  // valid: it was checked, or encoded here
  return decode_token(topic_token(topic(), 2)).value_or("");
}

std::string Event::subject() const { return decode_token(topic_token(topic(), 3)).value_or(""); }

// ---- Draft

Draft::Draft(Draft&& other) noexcept : parts_(std::exchange(other.parts_, nullptr)) {}

Draft& Draft::operator=(Draft&& other) noexcept {
  std::swap(parts_, other.parts_);
  return *this;
}

Draft::~Draft() {
  if (parts_ != nullptr) parts_->drop();
}

schema::Payload::Builder Draft::payload() { return parts_->root.getPayload(); }

Draft& Draft::epoch(Epoch epoch) {
  parts_->root.setEpoch(epoch);
  return *this;
}

Draft& Draft::migration(const EventId& id) {
  id.write(parts_->root.initMigration());
  return *this;
}

Draft& Draft::reconstructed() {
  parts_->root.setReconstructed(true);
  return *this;
}

absl::Status Draft::set_topic() {
  constexpr std::size_t envelope_bytes_max = 2048;  // topic, three ids and slack
  const std::string_view kind = topic_of(parts_->root.asReader().getPayload().which());
  if (kind.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("an event about '", parts_->subject,
                                                   "' has no payload: fill in one type of it"));
  }
  std::string& topic = parts_->topic;
  topic.assign(kind);
  for (const std::string* name : {&parts_->tenant, &parts_->subject}) {
    topic.push_back('.');
    append_token(*name, topic);
  }
  if (absl::Status status = validate_topic(topic); !status.ok()) {
    topic.clear();
    return status;
  }
  std::size_t words = 0;
  for (const auto segment : parts_->builder->getSegmentsForOutput()) words += segment.size();
  if (words * sizeof(capnp::word) + envelope_bytes_max > event_bytes_max) {
    const absl::Status status = absl::InvalidArgumentError(
        absl::StrCat("event ", topic, " has ", words * sizeof(capnp::word), " bytes, more than ",
                     event_bytes_max - envelope_bytes_max, ": say less, or in several events"));
    topic.clear();
    return status;
  }
  return absl::OkStatus();
}

std::string_view Draft::topic() const { return parts_->topic; }

absl::StatusOr<Event> Draft::seal(const Envelope& envelope) && {
  if (parts_->topic.empty()) {
    if (absl::Status status = set_topic(); !status.ok()) return status;
  }
  if (!is_origin(envelope.origin)) {  // parse() would refuse it, in the log too
    return absl::InvalidArgumentError(absl::StrCat(
        "'", absl_view(envelope.origin), "' cannot publish: an origin is node/actor, each 1 to ",
        token_bytes_max, " of A-Z a-z 0-9 _ -, or percent-encoded"));
  }
  const auto write_id = [&](schema::EventId::Builder id) {
    id.setOrigin(capnp_text(envelope.origin));
    id.setIncarnation(envelope.incarnation);
    id.setSequence(envelope.sequence);
  };
  schema::Event::Builder root = parts_->root;
  write_id(root.initId());
  root.setPrevious0(envelope.previous[0]);
  root.setPrevious1(envelope.previous[1]);
  root.setPrevious2(envelope.previous[2]);
  root.setPrevious3(envelope.previous[3]);
  root.setTopic(capnp_text(parts_->topic));
  root.setTime(envelope.time.value);
  if (envelope.cause != nullptr) {
    const schema::Event::Reader cause = envelope.cause->reader();
    root.setCause(cause.getId());
    root.setRoot(cause.getRoot());
  } else {
    write_id(root.initRoot());
  }

  const auto segments = parts_->builder->getSegmentsForOutput();
  EventBuffer* buffer = nullptr;
  if (segments.size() == 1) {
    buffer = std::exchange(parts_->buffer, nullptr);
    buffer->used_words = static_cast<std::uint32_t>(segments[0].size());
    codec::write_framing(buffer->used_words, buffer->framed());
  } else {
    const kj::Array<capnp::word> flat = codec::flatten(*parts_->builder);
    buffer = parts_->pool->take(flat.size() - 1);
    buffer->used_words = static_cast<std::uint32_t>(flat.size() - 1);
    std::memcpy(buffer->framed(), flat.begin(), flat.asBytes().size());
  }
  std::exchange(parts_, nullptr)->drop();
  buffer->root = capnp::readMessageUnchecked<schema::Event>(buffer->segment());
  return Event(buffer);
}

}  // namespace supercloud
