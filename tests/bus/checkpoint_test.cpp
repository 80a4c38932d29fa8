#include "bus/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/bus/bus_process.h"
#include "tests/bus/test_keys.h"

namespace supercloud {
namespace {

using testing::HasSubstr;

class CheckpointTest : public testing::Test {
 protected:
  // What is left of `events` when `checkpoint` is all that proves them.
  std::size_t proven(const Event& checkpoint) {
    std::vector<Event> left = events_;
    wrong_ = keep_proven(trust_, {checkpoint}, left);
    return left.size();
  }
  // The checkpoint with one thing in it changed.
  Event changed(const std::function<void(schema::Checkpoint::Builder)>& change) {
    Draft draft = pool_.draft("a");
    draft.payload().setBusCheckpoint(checkpoint_.payload().getBusCheckpoint());
    change(draft.payload().getBusCheckpoint());
    Envelope envelope;
    envelope.origin = "a/log";
    envelope.incarnation = envelope.sequence = 1;
    EXPECT_TRUE(draft.set_topic().ok());
    return *std::move(draft).seal(envelope);
  }

  EventPool pool_;
  TestStreams streams_{"a"};
  Trust trust_ = test_trust({"a", "b"});
  std::vector<Event> events_ = {streams_.event(pool_, "executor", "web1"),
                                streams_.event(pool_, "policy", "web1"),
                                streams_.event(pool_, "executor", "web2")};
  Event checkpoint_ = streams_.checkpoint(pool_, events_, "a");
  absl::Status wrong_;
};

TEST_F(CheckpointTest, proves_all_that_it_lists) {
  EXPECT_EQ(proven(checkpoint_), 3);
  EXPECT_TRUE(wrong_.ok()) << wrong_;
}

TEST_F(CheckpointTest, proves_nothing_else) {
  events_.push_back(streams_.event(pool_, "executor", "web1"));
  EXPECT_EQ(proven(checkpoint_), 3);
  EXPECT_TRUE(wrong_.ok()) << "not to list an event is no mistake: " << wrong_;
}

TEST_F(CheckpointTest, proves_nothing_that_says_something_else) {
  TestStreams other("a");
  events_[0] = other.event(pool_, "executor", "web3");  // with the same number
  EXPECT_EQ(proven(checkpoint_), 2);
  EXPECT_THAT(wrong_.message(), HasSubstr("is not what its checkpoint lists"));
}

TEST_F(CheckpointTest, of_another_incarnation_proves_nothing) {
  TestStreams later("a");
  later.incarnation = 2;
  events_ = {later.event(pool_, "executor", "web1")};
  EXPECT_EQ(proven(checkpoint_), 0);
}

TEST_F(CheckpointTest, is_forged_if_another_has_signed_it) {
  EXPECT_EQ(proven(streams_.checkpoint(pool_, events_, "b")), 0);
  EXPECT_THAT(wrong_.message(), HasSubstr("signed by no key that is enrolled as a"));
}

TEST_F(CheckpointTest, is_forged_if_it_lists_what_is_another_nodes) {
  TestStreams others("b");
  EXPECT_EQ(proven(others.checkpoint(pool_, events_, "b")), 0);
  EXPECT_THAT(wrong_.message(), HasSubstr("lists what is another node's"));
}

TEST_F(CheckpointTest, is_forged_if_anything_in_it_is_changed) {
  const auto stream = [](schema::Checkpoint::Builder it) { return it.getStreams()[0]; };
  const std::vector<std::pair<std::string, std::function<void(schema::Checkpoint::Builder)>>>
      changes = {
          {"nothing", [](auto) {}},
          {"origin", [&](auto it) { stream(it).setOrigin("a/other"); }},
          {"incarnation", [&](auto it) { stream(it).setIncarnation(7); }},
          {"sequence", [&](auto it) { stream(it).getSequences().set(0, 7); }},
          {"digest",
           [&](auto it) {
             stream(it).getDigests().set(0, it.getStreams()[1].getDigests()[0].asReader());
           }},
          {"no digest", [&](auto it) { stream(it).getDigests().set(0, "x"); }},
          {"fewer digests", [&](auto it) { stream(it).initDigests(1); }},
          {"a stream less", [](auto it) { it.initStreams(1); }},
          {"signature",
           [](auto it) {
             std::string text(it.getSignature().cStr());
             text[0] = text[0] == 'A' ? 'B' : 'A';
             it.setSignature(text);
           }},
          {"no signature", [](auto it) { it.setSignature(""); }},
      };
  for (const auto& [what, change] : changes) {
    const bool good = what == "nothing";
    EXPECT_EQ(proven(changed(change)), good ? 3 : 0) << what;
    EXPECT_EQ(wrong_.ok(), good) << what << ": " << wrong_;
  }
}

TEST_F(CheckpointTest, of_an_earlier_key_proves_as_long_as_that_is_enrolled) {
  ASSERT_TRUE(trust_.enrol(test_key("new")->public_key(), "a").ok());
  EXPECT_EQ(proven(checkpoint_), 3);
  EXPECT_EQ(proven(streams_.checkpoint(pool_, events_, "new")), 3);
  trust_ = test_trust({"b"});
  ASSERT_TRUE(trust_.enrol(test_key("new")->public_key(), "a").ok());
  EXPECT_EQ(proven(checkpoint_), 0) << "revoked";
}

TEST_F(CheckpointTest, that_is_forged_does_not_harm_one_that_is_not) {
  std::vector<Event> left = events_;
  const absl::Status wrong =
      keep_proven(trust_, {streams_.checkpoint(pool_, events_, "b"), checkpoint_}, left);
  EXPECT_EQ(left.size(), 3);
  EXPECT_FALSE(wrong.ok());
}

TEST_F(CheckpointTest, is_an_event_that_is_a_checkpoint) {
  EXPECT_EQ(proven(events_[0]), 0);
  EXPECT_THAT(wrong_.message(), HasSubstr("is none"));
}

class ProofsTest : public CheckpointTest {
 protected:
  Event logged() { return streams_.started(pool_, "executor", "web1"); }
  Event signed_now(const std::vector<Event>& events) {
    return streams_.checkpoint(pool_, events, "a");
  }
};

TEST_F(ProofsTest, remember_what_the_newest_checkpoints_list) {
  Proofs proofs(test_keys_of, {.events = 2});
  const Event first = logged(), second = logged(), third = logged();
  const Event early = signed_now({first}), late = signed_now({second, third});
  EXPECT_TRUE(proofs.take(early).ok());
  EXPECT_TRUE(proofs.judge(first).ok());
  EXPECT_EQ(proofs.checkpoint_of(first)->id(), early.id());
  EXPECT_TRUE(absl::IsNotFound(proofs.judge(second)));
  EXPECT_TRUE(proofs.take(late).ok());
  EXPECT_TRUE(absl::IsNotFound(proofs.judge(first))) << "there is room for two";
  EXPECT_TRUE(proofs.judge(second).ok() && proofs.judge(third).ok());
}

TEST_F(ProofsTest, keep_a_checkpoint_that_lists_more_than_there_is_room_for) {
  Proofs proofs(test_keys_of, {.events = 1});
  const Event first = logged(), second = logged();
  EXPECT_TRUE(proofs.take(signed_now({first, second})).ok());
  EXPECT_TRUE(proofs.judge(first).ok() && proofs.judge(second).ok());
}

TEST_F(ProofsTest, have_room_for_so_many_bytes) {
  const Event first = logged(), second = logged();
  const Event early = signed_now({first}), late = signed_now({second});
  Proofs proofs(test_keys_of, {.bytes = early.bytes().size() + late.bytes().size() - 1});
  EXPECT_TRUE(proofs.take(early).ok() && proofs.take(late).ok());
  EXPECT_EQ(proofs.checkpoints(), 1);
  EXPECT_TRUE(proofs.judge(second).ok());
}

TEST_F(ProofsTest, keep_no_checkpoint_that_lists_nothing_new) {
  Proofs proofs(test_keys_of);
  const Event first = logged();
  const Event checkpoint = signed_now({first});
  const Event again = signed_now({first});  // another, of the same
  const Event of_nothing = signed_now({});
  for (int i = 0; i < 3; ++i)
    for (const Event& event : {checkpoint, again, of_nothing}) EXPECT_TRUE(proofs.take(event).ok());
  EXPECT_EQ(proofs.checkpoints(), 1);
}

TEST_F(ProofsTest, take_no_checkpoint_for_what_it_lists_alone) {
  Proofs proofs(test_keys_of);
  const Event first = logged();
  EXPECT_TRUE(proofs.take(signed_now({first})).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(proofs.take(streams_.checkpoint(pool_, {first}, "b"))))
      << "that is proven, and this is forged all the same";
}

TEST_F(ProofsTest, hold_to_what_a_node_has_signed_first) {
  Proofs proofs(test_keys_of);
  TestStreams here("a"), there("a");
  const Event first = here.started(pool_, "executor", "web1");
  const Event other = there.started(pool_, "executor", "web2");  // with the same number
  EXPECT_TRUE(proofs.take(signed_now({first})).ok());
  EXPECT_TRUE(proofs.take(signed_now({other})).ok());
  EXPECT_TRUE(proofs.judge(first).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(proofs.judge(other)));
  EXPECT_EQ(proofs.checkpoints(), 1) << "however often it contradicts itself";
}

TEST_F(ProofsTest, are_for_what_is_logged) {
  EXPECT_TRUE(needs_proof(logged()));
  EXPECT_TRUE(needs_proof(checkpoint_));
  EXPECT_FALSE(needs_proof(streams_.event(pool_, "executor", "web1"))) << "telemetry";
}

}  // namespace
}  // namespace supercloud
