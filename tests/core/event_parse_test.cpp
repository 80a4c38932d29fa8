// Bytes from outside: what is taken, and that everything else is refused with a reason and without harm.

#include <capnp/any.h>
#include <capnp/message.h>
#include <capnp/schema.h>
#include <capnp/serialize.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/event.h"
#include "core/json.h"
#include "tests/core/sealed.h"

namespace supercloud {
namespace {

using testing::HasSubstr;

Bytes as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

std::string bytes_of(const Event& event) {
  return {reinterpret_cast<const char*>(event.bytes().data()), event.bytes().size()};
}

std::string framed(capnp::MessageBuilder& message) {
  const kj::Array<capnp::word> flat = capnp::messageToFlatArray(message);
  return {flat.asChars().begin(), flat.asChars().size()};
}

// A valid event, then changed.
std::string changed(const std::function<void(schema::Event::Builder)>& change) {
  EventPool pool;
  capnp::MallocMessageBuilder message(8192);
  message.setRoot(released_event(pool, 5).reader());
  change(message.getRoot<schema::Event>());
  return framed(message);
}

std::string refusal(const std::string& bytes) {
  EventPool pool;
  const absl::Status status = pool.parse(as_bytes(bytes)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  return std::string(status.message());
}

// A segment of hand-made words.
std::string segment(const std::vector<std::uint64_t>& words) {
  std::string bytes(8 + words.size() * 8, '\0');
  const auto count = static_cast<std::uint32_t>(words.size());
  std::memcpy(bytes.data() + 4, &count, 4);
  if (!words.empty()) std::memcpy(bytes.data() + 8, words.data(), words.size() * 8);
  return bytes;
}

constexpr std::uint64_t struct_pointer(std::int32_t offset, std::uint64_t data,
                                       std::uint64_t pointers) {
  return (static_cast<std::uint32_t>(offset) << 2) | (data << 32) | (pointers << 48);
}

TEST(EventBytes, cut_short_anywhere_are_refused) {
  EventPool pool;
  const std::string bytes = bytes_of(released_event(pool, 5));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_FALSE(pool.parse(as_bytes(bytes.substr(0, size))).ok()) << size;
  }
  EXPECT_FALSE(pool.parse(as_bytes(bytes + "x")).ok());
}

TEST(EventBytes, with_any_bit_flipped_are_refused_or_read_in_full) {
  EventPool pool;
  std::string bytes = bytes_of(released_event(pool, 5));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    const auto flip = [&] {
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    };
    flip();
    const absl::StatusOr<Event> event = pool.parse(as_bytes(bytes));
    if (event.ok()) {
      EXPECT_FALSE(to_json(*event).empty());
    }
    flip();
  }
}

TEST(EventBytes, beyond_the_limit_are_refused) {
  EXPECT_THAT(refusal(std::string(event_bytes_max + 8, '\0')), HasSubstr("limit"));
}

TEST(EventBytes, of_several_segments_are_refused) {
  capnp::MallocMessageBuilder message(16, capnp::AllocationStrategy::FIXED_SIZE);
  EventPool pool;
  auto event = message.initRoot<schema::Event>();
  event.setTopic("vm.released.main.web1");
  event.initPayload().initVmReleased().setNode(std::string(1000, 'x').c_str());
  ASSERT_GT(message.getSegmentsForOutput().size(), 1);
  EXPECT_THAT(refusal(framed(message)), HasSubstr("segments"));
}

TEST(EventBytes, that_are_nothing_are_refused) {
  EXPECT_THAT(refusal(segment({})), HasSubstr("empty"));
  EXPECT_THAT(refusal(segment({0})), HasSubstr("null"));
  EXPECT_THAT(refusal(segment({1})), HasSubstr("not a struct"));
}

TEST(EventBytes, with_pointers_to_outside_are_refused) {
  EXPECT_THAT(refusal(segment({struct_pointer(0, 1, 0)})), HasSubstr("outside"));
  EXPECT_THAT(refusal(segment({struct_pointer(-5, 1, 0)})), HasSubstr("outside"));
  EXPECT_THAT(refusal(segment({struct_pointer(0, 0, 1), 1U | (7ULL << 32) | (100ULL << 35)})),
              HasSubstr("outside"));
  EXPECT_THAT(
      refusal(segment({struct_pointer(0, 0, 1), 1U | (6ULL << 32) | (0x1fffffffULL << 35)})),
      HasSubstr("outside"));
}

TEST(EventBytes, with_far_pointers_or_capabilities_are_refused) {
  EXPECT_THAT(refusal(segment({struct_pointer(0, 0, 1), 2})), HasSubstr("far pointer"));
  EXPECT_THAT(refusal(segment({struct_pointer(0, 0, 1), 3})), HasSubstr("capability"));
}

TEST(EventBytes, that_nest_too_deeply_are_refused_even_where_no_schema_looks) {
  std::vector<std::uint64_t> words(100, struct_pointer(0, 0, 1));
  words.push_back(0);
  EXPECT_THAT(refusal(segment(words)), HasSubstr("deep"));
}

TEST(EventBytes, that_point_in_a_circle_are_refused) {
  EXPECT_THAT(refusal(segment({struct_pointer(0, 0, 1), struct_pointer(-1, 0, 1)})),
              HasSubstr("same words"));
}

TEST(EventBytes, that_multiply_themselves_by_shared_pointers_are_refused) {
  // Each level is a list of pointers that all lead to the next one: 2^n objects in n words.
  EXPECT_THAT(
      refusal(segment({struct_pointer(0, 0, 2), struct_pointer(1, 0, 2), struct_pointer(0, 0, 2),
                       struct_pointer(1, 0, 2), struct_pointer(0, 0, 2), 0, 0})),
      HasSubstr("same words"));
}

TEST(EventBytes, with_more_list_elements_than_room_are_refused) {
  EXPECT_THAT(refusal(segment({struct_pointer(0, 0, 1), 1U | (7ULL << 32) | (1ULL << 35),
                               struct_pointer(5, 1, 0), 0})),
              HasSubstr("more elements"));
}

TEST(EventBytes, with_a_field_of_another_kind_than_its_schemas_are_refused) {
  const std::string bytes = changed([](schema::Event::Builder event) {
    capnp::toAny(event).getPointerSection()[1].initAsAnyStruct(1, 1);  // where the topic is
  });
  EXPECT_THAT(refusal(bytes), HasSubstr("field 'topic'"));
}

TEST(EventBytes, with_text_that_does_not_end_are_refused) {
  const std::string bytes = changed([](schema::Event::Builder event) {
    capnp::toAny(event).getPointerSection()[1].setAs<capnp::Data>(
        capnp::Data::Reader(reinterpret_cast<const kj::byte*>("vm.released.main.web1"), 21));
  });
  EXPECT_THAT(refusal(bytes), HasSubstr("field 'topic'"));
}

TEST(EventEnvelope, that_is_not_in_order_is_refused_and_the_field_named) {
  using Builder = schema::Event::Builder;
  EXPECT_THAT(refusal(changed([](Builder e) { e.initId(); })), HasSubstr("id"));
  EXPECT_THAT(refusal(changed([](Builder e) { e.getId().setSequence(0); })),
              HasSubstr("sequence 0"));
  EXPECT_THAT(refusal(changed([](Builder e) { e.getId().setOrigin("node-a"); })),
              HasSubstr("node/actor"));
  EXPECT_THAT(refusal(changed([](Builder e) { e.getId().setOrigin("node-a/"); })),
              HasSubstr("node/actor"));
  EXPECT_THAT(refusal(changed([](Builder e) { e.getId().setOrigin("/executor"); })),
              HasSubstr("node/actor"));
  EXPECT_THAT(refusal(changed([](Builder e) { e.getId().setOrigin("a/b/c"); })),
              HasSubstr("node/actor"));
  EXPECT_THAT(refusal(changed([](Builder e) { e.getId().setOrigin("a b/c"); })),
              HasSubstr("node/actor"));
  EXPECT_THAT(refusal(changed([](Builder e) { e.initRoot(); })), HasSubstr("root"));
  EXPECT_THAT(refusal(changed([](Builder e) { e.initCause().setOrigin("x"); })),
              HasSubstr("cause"));
  EXPECT_THAT(refusal(changed([](Builder e) { e.initMigration().setOrigin("x"); })),
              HasSubstr("migration"));
  EXPECT_THAT(refusal(changed([](Builder e) { e.setPrevious2(5); })), HasSubstr("previous"));
}

TEST(EventTopic, that_is_not_its_payloads_is_refused) {
  const auto with = [](const char* topic) {
    return refusal(changed([&](schema::Event::Builder event) { event.setTopic(topic); }));
  };
  EXPECT_THAT(with("vm.paused.main.web1"), HasSubstr("vm.released"));
  EXPECT_THAT(with("vm.released2.main.web1"), HasSubstr("vm.released"));
  EXPECT_THAT(with("vm.released.main"), HasSubstr("domain.event.tenant.subject"));
  EXPECT_THAT(with("vm.released.main.web1.x"), HasSubstr("domain.event.tenant.subject"));
  EXPECT_THAT(with("vm.released.main.web1."), HasSubstr("empty"));
  EXPECT_THAT(with("vm.released.main.web%4"), HasSubstr("%"));
  EXPECT_THAT(with(""), HasSubstr("empty"));
  EXPECT_THAT(with(std::string(300, 'x').c_str()), HasSubstr("300 bytes"));
}

// ---- what a newer build may have added

std::string from_the_future() {
  return changed([](schema::Event::Builder event) {
    event.setTopic("quantum.entangled.main.web1");
    const auto offset =
        capnp::Schema::from<schema::Payload>().getProto().getStruct().getDiscriminantOffset();
    const std::uint16_t member = 60'000;
    std::memcpy(capnp::toAny(event.getPayload()).getDataSection().begin() + std::size_t{offset} * 2,
                &member, 2);
  });
}

TEST(EventFromTheFuture, of_an_unknown_type_is_taken_and_kept_byte_for_byte) {
  const std::string bytes = from_the_future();
  EventPool pool;
  const absl::StatusOr<Event> event = pool.parse(as_bytes(bytes));
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(bytes_of(*event), bytes);
  EXPECT_EQ(topic_of(event->type()), "");
  EXPECT_EQ(event->topic(), "quantum.entangled.main.web1");
}

TEST(EventFromTheFuture, says_unknown_in_json) {
  EventPool pool;
  const absl::StatusOr<Event> event = pool.parse(as_bytes(from_the_future()));
  ASSERT_TRUE(event.ok()) << event.status();
  const std::string json = to_json(*event);
  EXPECT_THAT(json, HasSubstr(R"("payload":{"unknown":null})"));
  EXPECT_THAT(json, HasSubstr("quantum.entangled.main.web1"));
  const absl::StatusOr<Event> again = event_from_json(pool, json);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->type(), schema::Payload::UNKNOWN);
  EXPECT_EQ(to_json(*again), json);
}

TEST(EventFromTheFuture, with_unknown_fields_is_taken_and_kept_byte_for_byte) {
  EventPool pool;
  const Event event = released_event(pool, 5);
  const auto old = capnp::toAny(event.reader());
  capnp::MallocMessageBuilder message(8192);
  const auto data_words = static_cast<std::uint16_t>(old.getDataSection().size() / 8 + 1);
  const auto pointers = static_cast<std::uint16_t>(old.getPointerSection().size() + 1);
  auto grown = message.initRoot<capnp::AnyPointer>().initAsAnyStruct(data_words, pointers);
  std::memcpy(grown.getDataSection().begin(), old.getDataSection().begin(),
              old.getDataSection().size());
  std::memset(grown.getDataSection().begin() + old.getDataSection().size(), 0x5a, 8);
  for (unsigned i = 0; i + 1u < pointers; ++i)
    grown.getPointerSection()[i].set(old.getPointerSection()[i]);
  grown.getPointerSection()[pointers - 1u].setAs<capnp::Text>("news");
  const std::string bytes = framed(message);
  const absl::StatusOr<Event> parsed = pool.parse(as_bytes(bytes));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(bytes_of(*parsed), bytes);
  EXPECT_EQ(parsed->topic(), event.topic());
  // As a cause it goes into another event without harm.
  EXPECT_EQ(released_event(pool, 6, &*parsed).cause(), event.id());
}

TEST(EventFromThePast, with_fewer_fields_reads_as_defaults) {
  const std::string bytes = changed([](schema::Event::Builder event) {
    event.getPayload().initVmStarted();
    event.setTopic("vm.started.main.web1");
    // A payload struct without any word: what a writer knew before the first field was added.
    capnp::toAny(event.getPayload()).getPointerSection()[0].initAsAnyStruct(0, 0);
  });
  EventPool pool;
  const absl::StatusOr<Event> event = pool.parse(as_bytes(bytes));
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(text(event->payload().getVmStarted().getNode()), "");
  EXPECT_EQ(event->payload().getVmStarted().getSilentNs(), 0);
}

}  // namespace
}  // namespace supercloud
