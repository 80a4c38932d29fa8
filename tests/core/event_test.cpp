#include "core/event.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "core/json.h"

namespace supercloud {
namespace {

Envelope envelope(std::uint64_t sequence, const Event* cause = nullptr) {
  Envelope e;
  e.origin = "node-a/executor";
  e.incarnation = 3;
  e.sequence = sequence;
  e.previous[0] = sequence - 1;
  e.time = {42 << 12};
  e.cause = cause;
  return e;
}

Event released(EventPool& pool, std::uint64_t sequence, const Event* cause = nullptr) {
  Draft draft = pool.draft("web1");
  draft.payload().initVmReleased().setNode("node-a");
  draft.epoch(7);
  return *std::move(draft).seal(envelope(sequence, cause));
}

TEST(Event, carries_its_envelope_and_payload) {
  EventPool pool;
  const Event event = released(pool, 5);
  EXPECT_EQ(event.topic(), "vm.released.main.web1");
  EXPECT_EQ(event.type(), schema::Payload::VM_RELEASED);
  EXPECT_EQ(text(event.payload().getVmReleased().getNode()), "node-a");
  EXPECT_EQ(event.id(), (EventId{"node-a/executor", 3, 5}));
  EXPECT_EQ(event.epoch(), 7);
  EXPECT_EQ(event.time(), HybridTime{42 << 12});
  EXPECT_EQ(event.reader().getPrevious0(), 4);
  EXPECT_EQ(event.subject(), "web1");
  EXPECT_EQ(event.tenant(), "main");
}

TEST(Event, that_is_first_of_a_chain_is_its_own_root_and_has_no_cause) {
  EventPool pool;
  const Event event = released(pool, 5);
  EXPECT_TRUE(event.cause().empty());
  EXPECT_EQ(event.root(), event.id());
}

TEST(Event, takes_cause_and_root_from_the_event_that_caused_it) {
  EventPool pool;
  const Event first = released(pool, 1);
  const Event second = released(pool, 2, &first);
  const Event third = released(pool, 3, &second);
  EXPECT_EQ(third.cause(), second.id());
  EXPECT_EQ(third.root(), first.id());
}

TEST(Event, survives_its_bytes_even_unaligned) {
  EventPool pool;
  const Event event = released(pool, 5);
  const Bytes bytes = event.bytes();
  std::vector<std::byte> shifted(bytes.size() + 1);
  std::memcpy(shifted.data() + 1, bytes.data(), bytes.size());
  const absl::StatusOr<Event> parsed = pool.parse({shifted.data() + 1, bytes.size()});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->bytes(), bytes);
  EXPECT_EQ(parsed->id(), event.id());
}

TEST(Event, larger_than_a_pooled_segment_is_still_one_segment) {
  EventPool pool;
  Draft draft = pool.draft("web1");
  auto candidates = draft.payload().initPolicyConsidered().initCandidates(1000);
  for (unsigned i = 0; i < 1000; ++i) candidates[i].setPlace("aws/us-east-1/us-east-1a/m3.medium/spot");
  const absl::StatusOr<Event> event = std::move(draft).seal(envelope(1));
  ASSERT_TRUE(event.ok()) << event.status();
  const absl::StatusOr<Event> parsed = pool.parse(event->bytes());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->payload().getPolicyConsidered().getCandidates().size(), 1000);
  EXPECT_EQ(text(parsed->payload().getPolicyConsidered().getCandidates()[999].getPlace()),
            "aws/us-east-1/us-east-1a/m3.medium/spot");
}

TEST(Event, of_more_than_the_limit_is_refused) {
  EventPool pool;
  Draft draft = pool.draft("web1");
  draft.payload().initPolicyConsidered().initReason(2 << 20);
  const absl::Status status = draft.set_topic();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(std::move(draft).seal(envelope(1)).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Event, without_payload_is_refused) {
  EventPool pool;
  EXPECT_EQ(pool.draft("web1").set_topic().code(), absl::StatusCode::kInvalidArgument);
}

TEST(EventPool, allocates_no_buffer_twice) {
  EventPool pool;
  for (std::uint64_t i = 1; i < 100; ++i) released(pool, i);
  EXPECT_EQ(pool.allocated(), 1);
}

TEST(EventPool, takes_buffers_back_from_other_threads) {
  EventPool pool;
  for (int round = 0; round < 10; ++round) {
    std::vector<Event> events;
    for (std::uint64_t i = 1; i <= 50; ++i) events.push_back(released(pool, i));
    std::thread dropper([taken = std::move(events)]() mutable { taken.clear(); });
    dropper.join();
  }
  EXPECT_EQ(pool.allocated(), 50);
}

TEST(EventPool, hands_out_buffers_without_traces_of_their_past) {
  EventPool pool;
  {
    Draft draft = pool.draft("web1");
    draft.payload().initPolicyConsidered().setReason(std::string(1500, 'x').c_str());
  }
  const Event event = released(pool, 1);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(event.bytes().data()), event.bytes().size())
                .find("xx"), std::string::npos);
}

}  // namespace
}  // namespace supercloud
