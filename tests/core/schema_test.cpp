// What must hold of every event type there is: found through the schema, so that a new one is covered when it is added.

#include <capnp/any.h>
#include <capnp/dynamic.h>
#include <capnp/message.h>
#include <capnp/schema.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

#include "core/codec.h"
#include "core/event.h"
#include "core/json.h"
#include "core/shape.h"
#include "core/topic.h"
#include "tests/core/filled.h"
#include "tests/core/sealed.h"

namespace supercloud {
namespace {

std::string canonical(const Event& event) {
  const kj::Array<capnp::word> words = capnp::canonicalize(event.reader());
  return {words.asChars().begin(), words.asChars().size()};
}

template <class Each>
void for_each_type(Each each) {
  for (const auto field : capnp::Schema::from<schema::Payload>().getUnionFields()) {
    if (field.getProto().getDiscriminantValue() == 0) continue;  // unknown
    SCOPED_TRACE(field.getProto().getName().cStr());
    each(field, static_cast<schema::Payload::Which>(field.getProto().getDiscriminantValue()));
  }
}

Event filled_event(EventPool& pool, capnp::StructSchema::Field field, Random& random) {
  Draft draft = pool.draft("web1");
  capnp::DynamicStruct::Builder payload = draft.payload();
  fill_field(payload, field, random);
  draft.epoch(random.next());
  draft.migration({"node-b/policy", 1, 77});
  return *std::move(draft).seal(test_envelope(8));
}

TEST(EveryPayloadType, has_a_topic_of_two_tokens_of_its_own) {
  std::set<std::string> topics;
  for_each_type([&](auto, schema::Payload::Which type) {
    const std::string topic(topic_of(type));
    EXPECT_TRUE(validate_topic(topic + ".main.web1").ok()) << topic;
    EXPECT_FALSE(topic_token(topic, 1).empty()) << topic;
    EXPECT_TRUE(topic_token(topic, 2).empty()) << topic;
    EXPECT_TRUE(topics.insert(topic).second) << topic;
  });
  EXPECT_GE(topics.size(), 48);
}

TEST(EveryPayloadType, is_checked_without_the_library_as_builders_write_it) {
  EventPool pool;
  Random random(11);
  for_each_type([&](capnp::StructSchema::Field field, schema::Payload::Which) {
    const Event event = filled_event(pool, field, random);
    const Bytes bytes = event.bytes();
    const absl::Span<const capnp::word> segment(
        reinterpret_cast<const capnp::word*>(bytes.data() + codec::framing_bytes),
        (bytes.size() - codec::framing_bytes) / sizeof(capnp::word));
    EXPECT_TRUE(codec::has_shape(segment, capnp::Schema::from<schema::Event>()));
    EXPECT_TRUE(pool.restore(bytes).bytes() == bytes);
  });
}

TEST(EveryPayloadType, is_named_as_its_topic) {
  for_each_type([&](capnp::StructSchema::Field field, schema::Payload::Which type) {
    std::string name;
    for (const char c : topic_of(type)) {
      const bool upper = !name.empty() && (name.back() == '.' || name.back() == '_');
      if (upper) name.pop_back();
      name.push_back(upper ? static_cast<char>(std::toupper(c)) : c);
    }
    EXPECT_EQ(std::string(field.getProto().getName().cStr()), name);
  });
}

TEST(EveryPayloadType, survives_its_bytes) {
  EventPool pool;
  Random random(1);
  for_each_type([&](capnp::StructSchema::Field field, schema::Payload::Which type) {
    const Event event = filled_event(pool, field, random);
    EXPECT_EQ(event.type(), type);
    EXPECT_EQ(event.topic(), std::string(topic_of(type)) + ".main.web1");
    const absl::StatusOr<Event> parsed = pool.parse(event.bytes());
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->bytes(), event.bytes());
  });
}

TEST(EveryPayloadType, survives_its_json) {
  EventPool pool;
  Random random(2);
  for_each_type([&](capnp::StructSchema::Field field, schema::Payload::Which) {
    for (int round = 0; round < 10; ++round) {
      const Event event = filled_event(pool, field, random);
      const std::string json = to_json(event);
      EXPECT_EQ(json.find('\n'), std::string::npos) << json;
      const absl::StatusOr<Event> parsed = event_from_json(pool, json);
      ASSERT_TRUE(parsed.ok()) << parsed.status() << json;
      EXPECT_EQ(canonical(*parsed), canonical(event)) << json;
    }
  });
}

TEST(EveryPayloadType, survives_bytes_and_json_with_nothing_filled_in) {
  EventPool pool;
  for_each_type([&](capnp::StructSchema::Field field, schema::Payload::Which type) {
    Draft draft = pool.draft("web1");
    capnp::DynamicStruct::Builder payload = draft.payload();
    payload.init(field);
    const Event event = *std::move(draft).seal(test_envelope(8));
    ASSERT_EQ(event.type(), type);
    const absl::StatusOr<Event> parsed = event_from_json(pool, to_json(event));
    ASSERT_TRUE(parsed.ok()) << parsed.status() << to_json(event);
    EXPECT_EQ(canonical(*parsed), canonical(event)) << to_json(event);
  });
}

TEST(Delivery, is_the_schemas) {
  EXPECT_EQ(delivery_of(schema::Payload::NODE_HEARTBEAT), schema::Delivery::VOLATILE);
  EXPECT_EQ(delivery_of(schema::Payload::VM_PAUSED), schema::Delivery::NOTED);
  EXPECT_EQ(delivery_of(schema::Payload::MIGRATION_PROPOSED), schema::Delivery::DURABLE);
}

TEST(Delivery, of_a_type_that_this_build_does_not_know_is_durable_and_its_topic_unknown) {
  const auto future = static_cast<schema::Payload::Which>(60'000);
  EXPECT_EQ(delivery_of(future), schema::Delivery::DURABLE);
  EXPECT_EQ(retention_of(schema::Payload::MIGRATION_PROPOSED), schema::Retention::AGED);
  EXPECT_EQ(retention_of(schema::Payload::VM_DEFINED), schema::Retention::LATEST);
  EXPECT_EQ(retention_of(future), schema::Retention::LATEST);
  EXPECT_EQ(topic_of(future), "");
  EXPECT_EQ(topic_of(schema::Payload::UNKNOWN), "");
}

// ---- the wire format stands still

Event golden_event(EventPool& pool) {
  Draft draft = pool.draft("web.1");
  auto proposed = draft.payload().initMigrationProposed();
  proposed.setVm("web.1");
  proposed.setTargetPlace("aws/us-east-1/us-east-1d/m3.medium/spot");
  proposed.setReason("12 % cheaper over the next hour");
  proposed.setGainNanoUsd(9'300'000);
  proposed.setCostNanoUsd(1'200'000);
  auto evidence = proposed.initEvidence(1);
  EventId{"node-b/watcher", 2, 41}.write(evidence[0]);
  proposed.setDeadlineNs(30'000'000'000);
  proposed.setProposer("policy cheapest");
  proposed.setSourceNode("node-a");
  draft.epoch(4).migration({"node-a/policy", 3, 17});
  Envelope envelope = test_envelope(17);
  envelope.origin = "node-a/policy";
  envelope.previous[1] = 15;
  envelope.previous[2] = 12;
  envelope.previous[3] = 9;
  return *std::move(draft).seal(envelope);
}

TEST(WireFormat, of_today_is_that_of_the_golden_event) {
  std::ifstream file(GOLDEN_DIRECTORY "/migration_proposed.event", std::ios::binary);
  const std::string golden((std::istreambuf_iterator<char>(file)),
                           std::istreambuf_iterator<char>());
  EventPool pool;
  const absl::StatusOr<Event> event =
      pool.parse({reinterpret_cast<const std::byte*>(golden.data()), golden.size()});
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->topic(), "migration.proposed.main.web%2E1");
  EXPECT_EQ(event->id().to_string(), "node-a/policy:3:17");
  EXPECT_EQ(event->root(), event->id());
  EXPECT_EQ(event->reader().getPrevious3(), 9);
  EXPECT_EQ(event->epoch(), 4);
  const auto proposed = event->payload().getMigrationProposed();
  EXPECT_EQ(text(proposed.getReason()), "12 % cheaper over the next hour");
  EXPECT_EQ(proposed.getGainNanoUsd(), 9'300'000);
  EXPECT_EQ(EventId::from(proposed.getEvidence()[0]).to_string(), "node-b/watcher:2:41");
  // Added fields may make a new event longer; what the old fields say must be the same.
  EXPECT_EQ(to_json(*event), to_json(golden_event(pool)));
}

}  // namespace
}  // namespace supercloud
