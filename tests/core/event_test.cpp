#include "core/event.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "tests/core/sealed.h"

namespace supercloud {
namespace {

TEST(Event, carries_its_envelope_and_payload) {
  EventPool pool;
  const Event event = released_event(pool, 5);
  EXPECT_EQ(event.topic(), "vm.released.main.web1");
  EXPECT_EQ(event.type(), schema::Payload::VM_RELEASED);
  EXPECT_EQ(text(event.payload().getVmReleased().getNode()), "node-a");
  EXPECT_EQ(event.id(), (EventId{"node-a/executor", 3, 5}));
  EXPECT_EQ(event.epoch(), 7);
  EXPECT_EQ(event.time(), HybridTime{1'700'000'000'000'000U << 12});
  EXPECT_EQ(event.reader().getPrevious0(), 4);
  EXPECT_EQ(event.subject(), "web1");
  EXPECT_EQ(event.tenant(), "main");
}

TEST(Event, that_is_first_of_a_chain_is_its_own_root_and_has_no_cause) {
  EventPool pool;
  const Event event = released_event(pool, 5);
  EXPECT_TRUE(event.cause().empty());
  EXPECT_EQ(event.root(), event.id());
}

TEST(Event, takes_cause_and_root_from_the_event_that_caused_it) {
  EventPool pool;
  const Event first = released_event(pool, 1);
  const Event second = released_event(pool, 2, &first);
  const Event third = released_event(pool, 3, &second);
  EXPECT_EQ(third.cause(), second.id());
  EXPECT_EQ(third.root(), first.id());
}

TEST(Event, survives_its_bytes_even_unaligned) {
  EventPool pool;
  const Event event = released_event(pool, 5);
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
  for (unsigned i = 0; i < 1000; ++i)
    candidates[i].setPlace("aws/us-east-1/us-east-1a/m3.medium/spot");
  const absl::StatusOr<Event> event = std::move(draft).seal(test_envelope(1));
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
  EXPECT_EQ(std::move(draft).seal(test_envelope(1)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Event, without_payload_is_refused) {
  EventPool pool;
  EXPECT_EQ(pool.draft("web1").set_topic().code(), absl::StatusCode::kInvalidArgument);
}

TEST(EventPool, allocates_no_buffer_twice) {
  EventPool pool;
  for (std::uint64_t i = 1; i < 100; ++i) released_event(pool, i);
  EXPECT_EQ(pool.allocated(), 1);
}

TEST(EventPool, takes_buffers_back_from_other_threads) {
  EventPool pool;
  for (int round = 0; round < 10; ++round) {
    std::vector<Event> events;
    for (std::uint64_t i = 1; i <= 50; ++i) events.push_back(released_event(pool, i));
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
  const Event event = released_event(pool, 1);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(event.bytes().data()), event.bytes().size())
                .find("xx"),
            std::string::npos);
}

TEST(Event, copies_share_one_buffer_and_moves_leave_nothing) {
  EventPool pool;
  Event event = released_event(pool, 1);
  Event copy = event;
  EXPECT_EQ(copy.bytes().data(), event.bytes().data());
  const Event moved = std::move(event);
  EXPECT_FALSE(event);  // NOLINT(bugprone-use-after-move): that is the question
  copy = Event();
  EXPECT_EQ(moved.subject(), "web1");
}

TEST(Event, subject_and_tenant_may_be_any_text) {
  EventPool pool;
  Draft draft = pool.draft("web 1.example/ü", "acme corp");
  draft.payload().initVmReleased();
  const absl::StatusOr<Event> event = std::move(draft).seal(test_envelope(1));
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->topic(), "vm.released.acme%20corp.web%201%2Eexample%2F%C3%BC");
  EXPECT_EQ(event->subject(), "web 1.example/ü");
  EXPECT_EQ(event->tenant(), "acme corp");
}

TEST(Event, whose_subject_makes_no_topic_is_refused_with_the_reason) {
  EventPool pool;
  for (const std::string& subject : {std::string(), std::string(65, 'x'), std::string(22, '.')}) {
    Draft draft = pool.draft(subject);
    draft.payload().initVmReleased();
    const absl::Status status = draft.set_topic();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << subject;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr("token 4")) << subject;
  }
}

TEST(Event, keeps_migration_epoch_and_the_mark_of_reconstruction) {
  EventPool pool;
  Draft draft = pool.draft("web1");
  draft.payload().initVmPaused().setNode("node-a");
  draft.epoch(9).migration({"node-b/policy", 1, 77}).reconstructed();
  const Event event = *std::move(draft).seal(test_envelope(1));
  EXPECT_EQ(event.migration(), (EventId{"node-b/policy", 1, 77}));
  EXPECT_EQ(event.epoch(), 9);
  EXPECT_TRUE(event.reader().getReconstructed());
}

TEST(Event, may_be_read_by_many_threads_at_once) {
  EventPool pool;
  const Event event = released_event(pool, 1);
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([copy = event] {
      for (int round = 0; round < 1000; ++round) {
        // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): the copy is what is tested
        const Event again = copy;
        ASSERT_EQ(again.subject(), "web1");
        ASSERT_EQ(text(again.payload().getVmReleased().getNode()), "node-a");
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
}

TEST(EventId, is_named_by_the_same_eight_digits_for_ever) {
  EXPECT_EQ((EventId{"node-a/executor", 3, 5}).short_id(), "07a6b6a6");
  EXPECT_EQ((EventId{"node-a/executor", 3, 6}).short_id(), "8aead5ce");
}

TEST(EventId, is_parsed_from_what_it_prints) {
  const EventId id{"node-a/executor", 3, 18446744073709551615U};
  EXPECT_EQ(id.to_string(), "node-a/executor:3:18446744073709551615");
  EXPECT_EQ(*EventId::parse(id.to_string()), id);
}

TEST(EventId, that_is_malformed_is_refused) {
  for (const char* bad : {"", ":", "::", ":1:2", "node-a/executor", "node-a/executor:1",
                          "node-a/executor:1:", "node-a/executor:x:2", "node-a/executor:1:2x",
                          "node-a/executor:1:-2", "node-a/executor:1:18446744073709551616"}) {
    EXPECT_EQ(EventId::parse(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(Event, with_an_origin_that_nobody_would_read_back_is_refused) {
  EventPool pool;
  Draft draft = pool.draft("web1");
  draft.payload().initVmReleased().setNode("host1.example.com");
  Envelope envelope = test_envelope(1);
  envelope.origin = "host1.example.com/executor";
  const absl::StatusOr<Event> event = std::move(draft).seal(envelope);
  EXPECT_TRUE(absl::IsInvalidArgument(event.status())) << event.status();
  EXPECT_NE(event.status().message().find("host1.example.com/executor"), std::string::npos);
}

}  // namespace
}  // namespace supercloud
