#include "tests/core/golden_events.h"

#include <capnp/any.h>
#include <capnp/dynamic.h>
#include <capnp/message.h>
#include <capnp/schema.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/codec.h"
#include "tests/core/filled.h"

namespace supercloud {
namespace {

constexpr std::uint64_t first_time = 1'790'000'000'000'000U << 12;

Envelope golden_envelope(std::uint64_t sequence, const Event* cause) {
  Envelope envelope;
  envelope.origin = "node-a/executor";
  envelope.incarnation = 1'790'000'000'000;
  envelope.sequence = sequence;
  envelope.previous[0] = sequence - 1;  // each type has a domain.event of its own
  envelope.time = {first_time + (sequence << 12) + 1};
  envelope.cause = cause;
  return envelope;
}

// A struct as a builder of a newer schema makes it: with `more` words of data and as many pointers that ours does not know.
constexpr unsigned more = 2;

template <class Schema>
typename Schema::Builder init_newer(capnp::AnyPointer::Builder at, const std::string& says) {
  const auto size = capnp::Schema::from<Schema>().getProto().getStruct();
  const unsigned data = size.getDataWordCount();
  const unsigned pointers = size.getPointerCount();
  capnp::AnyStruct::Builder made = at.initAsAnyStruct(static_cast<std::uint16_t>(data + more),
                                                      static_cast<std::uint16_t>(pointers + more));
  const std::uint64_t number = 0x0123456789abcdef;
  std::memcpy(made.getDataSection().begin() + std::size_t{data} * 8, &number, sizeof number);
  made.getPointerSection()[pointers + 1].setAs<capnp::Text>(says.c_str());
  return made.as<Schema>();
}

Event parsed(EventPool& pool, capnp::MallocMessageBuilder& message) {
  const kj::Array<capnp::word> framed = codec::flatten(message);
  const auto bytes = framed.asBytes();
  absl::StatusOr<Event> event =
      pool.parse({reinterpret_cast<const std::byte*>(bytes.begin()), bytes.size()});
  EXPECT_TRUE(event.ok()) << event.status();
  return event.ok() ? *std::move(event) : Event();
}

void fill_envelope(schema::Event::Builder event, std::string_view topic, std::uint64_t sequence) {
  const EventId id{"node-a/executor", 1'790'000'000'000, sequence};
  id.write(event.initId());
  id.write(event.initRoot());
  event.setPrevious0(sequence - 1);
  event.setTopic(std::string(topic));
  event.setTime(first_time + (sequence << 12));
}

Event of_unknown_type(EventPool& pool, std::uint64_t sequence) {
  constexpr std::uint16_t far_type = 60'000;
  capnp::MallocMessageBuilder message;
  auto event = message.initRoot<schema::Event>();
  fill_envelope(event, "future.happened.main.web1", sequence);
  const auto layout = capnp::Schema::from<schema::Payload>().getProto().getStruct();
  capnp::AnyStruct::Builder payload{event.initPayload()};
  std::memcpy(payload.getDataSection().begin() + std::size_t{layout.getDiscriminantOffset()} * 2,
              &far_type, sizeof far_type);
  // What it says, in the pointer that all types share.
  payload.getPointerSection()[0].initAsAnyStruct(0, 1).getPointerSection()[0].setAs<capnp::Text>(
      "nobody here knows what this means");
  return parsed(pool, message);
}

Event with_unknown_fields(EventPool& pool, std::uint64_t sequence) {
  capnp::MallocMessageBuilder message;
  auto event = init_newer<schema::Event>(message.getRoot<capnp::AnyPointer>(), "of the event");
  fill_envelope(event, "vm.started.main.web1", sequence);
  event.setEpoch(7);
  capnp::AnyStruct::Builder parts{schema::Event::Builder(event)};
  const auto slot = capnp::Schema::from<schema::Event>().getFieldByName("payload").getProto();
  auto payload = init_newer<schema::Payload>(parts.getPointerSection()[slot.getSlot().getOffset()],
                                             "of the payload");
  payload.initVmStarted();  // for the discriminant
  capnp::AnyStruct::Builder inner{schema::Payload::Builder(payload)};
  auto started = init_newer<schema::VmStarted>(inner.getPointerSection()[0], "of what started");
  started.setNode("node-a");
  started.setWhy("created");
  started.setVersion(3);
  return parsed(pool, message);
}

}  // namespace

std::vector<Event> golden_events(EventPool& pool) {
  Random random(1);
  std::vector<Event> events;
  for (const auto field : capnp::Schema::from<schema::Payload>().getUnionFields()) {
    if (field.getProto().getDiscriminantValue() == 0) continue;  // unknown
    Draft draft = pool.draft("web1");
    capnp::DynamicStruct::Builder payload = draft.payload();
    fill_field(payload, field, random);
    draft.epoch(random.next());
    draft.migration({"node-b/policy", 1, 77});
    if (events.size() % 2 == 1) draft.reconstructed();
    const Event* cause = events.empty() ? nullptr : &events.back();
    absl::StatusOr<Event> event = std::move(draft).seal(golden_envelope(events.size() + 1, cause));
    EXPECT_TRUE(event.ok()) << event.status();
    events.push_back(*std::move(event));
  }
  events.push_back(of_unknown_type(pool, events.size() + 1));
  events.push_back(with_unknown_fields(pool, events.size() + 1));
  return events;
}

}  // namespace supercloud
