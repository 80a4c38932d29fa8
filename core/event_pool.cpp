#include <capnp/message.h>
#include <capnp/schema.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/event.h"
#include "core/event_buffer.h"
#include "core/text.h"
#include "core/topic.h"

namespace supercloud {
namespace {

// What the schema's annotations say of a payload type.
struct PayloadType {
  std::string_view topic;
  schema::Delivery delivery = schema::Delivery::DURABLE;
  schema::Retention retention = schema::Retention::AGED;
};

const std::vector<PayloadType>& payload_types() {
  static const auto* const types = [] {
    // core/schema/annotations.capnp
    constexpr std::uint64_t topic_annotation = 0xe1a9c4d27b6f8053;
    constexpr std::uint64_t delivery_annotation = 0x93f0b5e8d1c62a47;
    constexpr std::uint64_t retention_annotation = 0xb4d2a1f07c9e6385;
    auto* table = new std::vector<PayloadType>;
    for (const auto field : capnp::Schema::from<schema::Payload>().getUnionFields()) {
      const std::size_t which = field.getProto().getDiscriminantValue();
      if (table->size() <= which) table->resize(which + 1);
      PayloadType& type = (*table)[which];
      for (const auto annotation : field.getProto().getAnnotations()) {
        if (annotation.getId() == topic_annotation) {
          type.topic = text(annotation.getValue().getText());
        } else if (annotation.getId() == delivery_annotation) {
          type.delivery = static_cast<schema::Delivery>(annotation.getValue().getEnum());
        } else if (annotation.getId() == retention_annotation) {
          type.retention = static_cast<schema::Retention>(annotation.getValue().getEnum());
        }
      }
    }
    return table;
  }();
  return *types;
}

absl::Status fault(std::string_view field, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("event ", absl_view(field), ": ", absl_view(why)));
}

// "node/actor", both of them tokens, which `good` is known to be.
absl::Status check_id(std::string_view field, schema::EventId::Reader id,
                      std::string_view good = {}) {
  const std::string_view origin = text(id.getOrigin());
  if ((origin.empty() || origin != good) && !is_origin(origin)) {
    return fault(field, absl::StrCat("origin '", absl_view(origin), "' is not node/actor"));
  }
  if (id.getSequence() == 0) return fault(field, "sequence 0; they count from 1");
  return absl::OkStatus();
}

absl::Status check_topic(schema::Event::Reader event) {
  const std::string_view topic = text(event.getTopic());
  if (absl::Status status = validate_topic(topic); !status.ok()) {
    return fault("topic", std::string(status.message()));
  }
  if (std::count(topic.begin(), topic.end(), '.') != 3) {  // none of its tokens is empty
    return fault("topic",
                 absl::StrCat("'", absl_view(topic), "' is not domain.event.tenant.subject"));
  }
  const std::string_view kind = topic_of(event.getPayload().which());
  if (!kind.empty() && (!topic.starts_with(kind) || topic[kind.size()] != '.')) {
    return fault("topic", absl::StrCat("'", absl_view(topic), "' is not that of its payload, ",
                                       absl_view(kind)));
  }
  return absl::OkStatus();
}

absl::Status check_event(schema::Event::Reader event) {
  const schema::EventId::Reader own = event.getId();
  if (absl::Status status = check_id("id", own); !status.ok()) return status;
  const std::string_view origin = text(own.getOrigin());
  if (absl::Status status = check_id("root", event.getRoot(), origin); !status.ok()) return status;
  for (const auto& [field, id] :
       {std::pair("cause", event.getCause()), std::pair("migration", event.getMigration())}) {
    if (id.getOrigin().size() == 0) continue;
    if (absl::Status status = check_id(field, id, origin); !status.ok()) return status;
  }
  const std::uint64_t sequence = own.getSequence();
  for (const std::uint64_t previous :
       {event.getPrevious0(), event.getPrevious1(), event.getPrevious2(), event.getPrevious3()}) {
    if (previous >= sequence) return fault("previous", "not before the event itself");
  }
  return check_topic(event);
}

}  // namespace

std::string_view topic_of(schema::Payload::Which type) {
  const auto& types = payload_types();
  const auto which = static_cast<std::size_t>(type);
  return which < types.size() ? types[which].topic : std::string_view();
}

schema::Delivery delivery_of(schema::Payload::Which type) {
  const auto& types = payload_types();
  const auto which = static_cast<std::size_t>(type);
  return which < types.size() ? types[which].delivery : schema::Delivery::DURABLE;
}

schema::Retention retention_of(schema::Payload::Which type) {
  const auto& types = payload_types();
  const auto which = static_cast<std::size_t>(type);
  return which < types.size() ? types[which].retention : schema::Retention::LATEST;
}

EventPool::EventPool() : buffers_(std::make_unique<BufferPool>()) {}

EventPool::~EventPool() = default;

std::size_t EventPool::allocated() const { return buffers_->allocated(); }

Draft EventPool::draft(std::string_view subject, std::string_view tenant) {
  DraftParts* parts = buffers_->take_draft();
  parts->subject.assign(subject);
  parts->tenant.assign(tenant);
  parts->topic.clear();
  return Draft(parts);
}

Event EventPool::copy(Bytes bytes, std::size_t words) {
  Event event(buffers_->take(words));  // aligned, where the bytes may not be
  event.buffer_->used_words = static_cast<std::uint32_t>(words);
  std::memcpy(event.buffer_->framed(), bytes.data(), bytes.size());
  return event;
}

Event EventPool::restore(Bytes bytes) {
  const absl::StatusOr<std::size_t> words = codec::segment_words(bytes, event_bytes_max);
  assert(words.ok() && "these are no event's bytes");
  Event event = copy(bytes, *words);
  event.buffer_->root = capnp::readMessageUnchecked<schema::Event>(event.buffer_->segment());
  return event;
}

absl::StatusOr<Event> EventPool::parse(Bytes bytes) {
  const absl::StatusOr<std::size_t> words = codec::segment_words(bytes, event_bytes_max);
  if (!words.ok()) return words.status();
  Event event = copy(bytes, *words);
  absl::Status status = codec::check_segment({event.buffer_->segment(), *words},
                                             capnp::Schema::from<schema::Event>());
  if (!status.ok()) return fault("bytes", std::string(status.message()));
  event.buffer_->root = capnp::readMessageUnchecked<schema::Event>(event.buffer_->segment());
  status = check_event(event.reader());
  if (!status.ok()) return status;
  return event;
}

}  // namespace supercloud
