// What every volume store promises (storage/volume.h).
#include "storage/volume.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "storage/replica_protocol.h"
#include "tests/storage/volume_world.h"

namespace supercloud {
namespace {

struct Implementation {
  const char* name;
  std::function<std::unique_ptr<VolumeWorld>()> make;
};
void PrintTo(const Implementation& implementation, std::ostream* out) {
  *out << implementation.name;
}

class VolumeTest : public testing::TestWithParam<Implementation> {
 protected:
  void SetUp() override { world_ = GetParam().make(); }

  template <class T>
  Outcome<T> settle(Outcome<T> outcome, Duration span = absl::Milliseconds(20)) {
    world_->run(span);
    return outcome;
  }
  void create(const std::string& host) {
    Outcome<VolumeStatus> made;
    world_->store(host).create(vm, 1 << 20, made.reply());
    ASSERT_TRUE(settle(made).ok()) << made.status();
  }
  Outcome<VolumeStatus> serve(const std::string& host, Epoch epoch) {
    Outcome<VolumeStatus> served;
    world_->store(host).serve(vm, epoch, served.reply());
    return settle(served);
  }
  Outcome<Seal> seal(const std::string& host, Epoch epoch) {
    Outcome<Seal> sealed;
    world_->store(host).seal(vm, epoch, sealed.reply());
    return settle(sealed);
  }
  Outcome<Done> start_verify(const std::string& host, Seal seal,
                             Duration wait = absl::Seconds(30)) {
    Outcome<Done> verified;
    world_->store(host).verify(vm, seal, verified.reply(world_->now() + wait));
    return verified;
  }
  Outcome<Done> write(const std::string& host, Epoch epoch, std::uint64_t block,
                      std::uint64_t value) {
    Outcome<Done> written;
    world_->guest(host).write(vm, epoch, block, value, written.reply());
    return settle(written);
  }
  Outcome<Done> flush(const std::string& host, Epoch epoch) {
    Outcome<Done> flushed;
    world_->guest(host).flush(vm, epoch, flushed.reply());
    return settle(flushed);
  }
  std::uint64_t read(const std::string& host, Epoch epoch, std::uint64_t block) {
    Outcome<std::uint64_t> got;
    world_->guest(host).read(vm, epoch, block, got.reply());
    settle(got);
    return got.ok() ? *got : ~0ULL;
  }
  VolumeStatus status(const std::string& host) {
    for (const VolumeStatus& volume : world_->store(host).list()) {
      if (volume.vm == vm) return volume;
    }
    return {};
  }
  ReplicaStatus replica(const std::string& host, const std::string& of) {
    for (const ReplicaStatus& each : world_->store(host).replicas(vm)) {
      if (each.node == of) return each;
    }
    return {};
  }
  void replicate(const std::string& from, const std::string& to) {
    world_->store(from).replicate(vm, to, world_->endpoint(to));
  }
  // Serving at epoch 1 on "a" with a caught-up replica on "b".
  void pair() {
    create("a");
    ASSERT_TRUE(serve("a", 1).ok());
    ASSERT_TRUE(write("a", 1, 1, 11).ok());
    replicate("a", "b");
    world_->run(absl::Seconds(1));
    ASSERT_TRUE(replica("a", "b").caught_up) << replica("a", "b").error;
  }
  // ... and moved to "b" at epoch 2.
  void move() {
    pair();
    auto sealed = seal("a", 1);
    ASSERT_TRUE(sealed.ok());
    ASSERT_TRUE(settle(start_verify("b", *sealed)).ok());
    ASSERT_TRUE(serve("b", 2).ok());
  }

  std::unique_ptr<VolumeWorld> world_;
};

TEST_P(VolumeTest, create_is_idempotent_and_makes_an_empty_replica) {
  create("a");
  create("a");
  EXPECT_EQ(world_->store("a").list().size(), 1U);
  EXPECT_EQ(status("a").role, Role::replica);
  EXPECT_EQ(status("a").epoch, 0U);
}

TEST_P(VolumeTest, takes_no_more_volumes_than_its_disk_has_room_for) {
  const auto make = [&](const std::string& of, std::uint64_t bytes) {
    Outcome<VolumeStatus> made;
    world_->store("a").create(of, bytes, made.reply());
    return settle(made).status();
  };
  EXPECT_EQ(world_->store("a").bytes_free(), VolumeWorld::disk_bytes);
  EXPECT_TRUE(make("main/large", VolumeWorld::disk_bytes - (1 << 20)).ok());
  EXPECT_EQ(world_->store("a").bytes_free(), 1U << 20);
  const absl::Status refused = make("main/one-more", 2 << 20);
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_TRUE(make("main/large", VolumeWorld::disk_bytes - (1 << 20)).ok()) << "it is there";
  world_->restart("a");
  EXPECT_EQ(world_->store("a").bytes_free(), 1U << 20);
  EXPECT_TRUE(make("main/small", 1 << 20).ok());
  EXPECT_EQ(world_->store("a").bytes_free(), 0U);
}

TEST_P(VolumeTest, a_replica_waits_for_room) {
  Outcome<VolumeStatus> filled;
  world_->store("b").create("main/other", VolumeWorld::disk_bytes - (1 << 20) + 1, filled.reply());
  ASSERT_TRUE(settle(filled).ok()) << filled.status();
  create("a");
  ASSERT_TRUE(serve("a", 1).ok());
  replicate("a", "b");
  world_->run(absl::Seconds(2));
  EXPECT_FALSE(replica("a", "b").connected);
  EXPECT_NE(replica("a", "b").error.find("MiB left"), std::string::npos) << replica("a", "b").error;
  Outcome<Done> gone;
  world_->store("b").destroy("main/other", gone.reply());
  world_->run(absl::Seconds(5));
  EXPECT_TRUE(replica("a", "b").caught_up) << replica("a", "b").error;
}

TEST_P(VolumeTest, what_was_written_is_read_back_and_beyond_the_end_is_an_error) {
  create("a");
  ASSERT_TRUE(serve("a", 1).ok());
  EXPECT_TRUE(write("a", 1, 3, 33).ok());
  EXPECT_EQ(read("a", 1, 3), 33U);
  EXPECT_EQ(read("a", 1, 4), 0U);
  EXPECT_TRUE(absl::IsOutOfRange(write("a", 1, 1 << 20, 1).status()));
}

TEST_P(VolumeTest, guest_io_of_another_epoch_is_held_and_changes_nothing) {
  create("a");
  EXPECT_FALSE(write("a", 1, 3, 1).answered());
  ASSERT_TRUE(serve("a", 2).ok());
  EXPECT_FALSE(write("a", 1, 3, 33).answered());
  EXPECT_FALSE(write("a", 3, 3, 33).answered());
  EXPECT_FALSE(flush("a", 1).answered());
  EXPECT_EQ(read("a", 2, 3), 0U);
  EXPECT_EQ(status("a").version, 0U);
}

TEST_P(VolumeTest, serving_fences_in_the_same_step) {
  create("a");
  ASSERT_TRUE(serve("a", 1).ok());
  Outcome<VolumeStatus> served;
  Outcome<Done> stale;
  world_->store("a").serve(vm, 2, served.reply());
  world_->guest("a").write(vm, 1, 3, 33, stale.reply());
  settle(served);
  EXPECT_TRUE(served.ok());
  EXPECT_FALSE(stale.answered());
  EXPECT_EQ(status("a").version, 0U);
  EXPECT_TRUE(absl::IsFailedPrecondition(serve("a", 1).status()));
  EXPECT_TRUE(serve("a", 2).ok()) << "idempotent";
}

TEST_P(VolumeTest, sealing_refuses_in_the_same_step_and_has_every_write_before_it) {
  create("a");
  ASSERT_TRUE(serve("a", 1).ok());
  Outcome<Done> before, after;
  Outcome<Seal> sealed;
  world_->guest("a").write(vm, 1, 1, 11, before.reply());
  world_->store("a").seal(vm, 1, sealed.reply());
  world_->guest("a").write(vm, 1, 1, 12, after.reply());
  settle(sealed);
  ASSERT_TRUE(sealed.ok()) << sealed.status();
  EXPECT_TRUE(before.ok());
  EXPECT_FALSE(after.answered());
  EXPECT_EQ(sealed.value->value()->version, 1U);
  EXPECT_EQ(status("a").version_stable, 1U);
  EXPECT_EQ(*seal("a", 1), *sealed) << "idempotent";
  EXPECT_TRUE(absl::IsFailedPrecondition(seal("a", 2).status()));
}

TEST_P(VolumeTest, a_sealed_epoch_is_not_served_again_but_the_next_is) {
  create("a");
  ASSERT_TRUE(serve("a", 1).ok());
  ASSERT_TRUE(seal("a", 1).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(serve("a", 1).status()));
  ASSERT_TRUE(serve("a", 2).ok());
  EXPECT_TRUE(write("a", 2, 1, 5).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(seal("a", 1).status()));
}

TEST_P(VolumeTest, the_digest_does_not_depend_on_the_order_of_writes) {
  for (const char* host : {"a", "b"}) {
    create(host);
    ASSERT_TRUE(serve(host, 1).ok());
  }
  for (std::uint64_t i = 0; i < 5; ++i) ASSERT_TRUE(write("a", 1, i, 100 + i).ok());
  for (std::uint64_t i = 5; i-- > 0;) ASSERT_TRUE(write("b", 1, i, 100 + i).ok());
  EXPECT_EQ(status("a").digest, status("b").digest);
  ASSERT_TRUE(write("b", 1, 0, 7).ok());
  EXPECT_NE(status("a").digest, status("b").digest);
}

TEST_P(VolumeTest, a_replica_follows_and_verifies_the_seal) {
  pair();
  for (std::uint64_t i = 0; i < 20; ++i) write("a", 1, i % 7, i);
  auto sealed = seal("a", 1);
  ASSERT_TRUE(sealed.ok());
  auto verified = settle(start_verify("b", *sealed));
  EXPECT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(status("b").closed, 1U);
  EXPECT_EQ(status("b").version_stable, sealed.value->value()->version);
  EXPECT_TRUE(settle(start_verify("b", *sealed)).ok()) << "idempotent";
  ASSERT_TRUE(serve("b", 2).ok());
  EXPECT_EQ(read("b", 2, 6), 13U);
}

TEST_P(VolumeTest, verify_waits_for_a_replica_that_a_handshake_has_yet_to_make) {
  create("a");
  ASSERT_TRUE(serve("a", 1).ok());
  ASSERT_TRUE(write("a", 1, 1, 11).ok());
  auto sealed = seal("a", 1);
  auto verified = start_verify("b", *sealed);
  world_->run(absl::Seconds(1));
  EXPECT_FALSE(verified.answered());
  replicate("a", "b");
  world_->run(absl::Seconds(1));
  EXPECT_TRUE(verified.ok()) << verified.status();
}

TEST_P(VolumeTest, verify_never_says_yes_to_another_content) {
  pair();
  auto sealed = seal("a", 1);
  Seal wrong = *sealed;
  wrong.digest += 1;
  auto verified = start_verify("b", wrong, absl::Seconds(2));
  world_->run(absl::Seconds(1));
  EXPECT_FALSE(verified.answered());
  world_->run(absl::Seconds(2));
  EXPECT_TRUE(absl::IsDeadlineExceeded(verified.status()));
  EXPECT_EQ(status("b").closed, 0U);
}

TEST_P(VolumeTest, verify_of_an_old_epoch_is_refused) {
  move();
  EXPECT_TRUE(absl::IsFailedPrecondition(settle(start_verify("b", Seal{1, 1, 1})).status()));
}

TEST_P(VolumeTest, a_closed_replica_refuses_its_epoch_and_takes_the_next_after_a_swap_back) {
  pair();
  auto sealed = seal("a", 1);
  ASSERT_TRUE(settle(start_verify("b", *sealed)).ok());
  world_->restart("b");
  world_->run(absl::Seconds(3));
  EXPECT_FALSE(replica("a", "b").connected);
  EXPECT_NE(replica("a", "b").error.find("closed to 1"), std::string::npos)
      << replica("a", "b").error;
  ASSERT_TRUE(serve("a", 2).ok());
  ASSERT_TRUE(write("a", 2, 1, 12).ok());
  world_->run(absl::Seconds(3));
  EXPECT_TRUE(replica("a", "b").caught_up);
  EXPECT_EQ(status("b").epoch, 2U);
  EXPECT_EQ(status("b").digest, status("a").digest);
}

TEST_P(VolumeTest, after_the_commit_the_sealed_source_becomes_a_replica_in_reverse) {
  move();
  ASSERT_TRUE(write("b", 2, 5, 55).ok());
  replicate("b", "a");
  world_->run(absl::Seconds(1));
  EXPECT_TRUE(replica("b", "a").caught_up) << replica("b", "a").error;
  EXPECT_EQ(status("a").role, Role::replica);
  EXPECT_EQ(status("a").epoch, 2U);
  EXPECT_EQ(status("a").digest, status("b").digest);
  EXPECT_FALSE(write("a", 1, 5, 5).answered());
}

TEST_P(VolumeTest, a_holder_that_lost_is_rolled_back_to_the_branch_point) {
  pair();
  world_->set_blocked(true);
  // never reach b
  for (std::uint64_t i = 0; i < 5; ++i) ASSERT_TRUE(write("a", 1, 20 + i, i).ok());
  ASSERT_TRUE(serve("b", 2).ok());  // takeover
  ASSERT_TRUE(write("b", 2, 30, 3).ok());
  world_->set_blocked(false);
  world_->run(absl::Seconds(6));
  replicate("b", "a");
  world_->run(absl::Seconds(5));
  EXPECT_TRUE(replica("b", "a").caught_up) << replica("b", "a").error;
  EXPECT_EQ(status("a").digest, status("b").digest);
  EXPECT_EQ(status("a").version, status("b").version);
  EXPECT_TRUE(status("a").complete);
  EXPECT_FALSE(replica("a", "b").connected) << "it is no source any more";
}

TEST_P(VolumeTest, content_beyond_the_branch_point_is_no_base_until_it_is_resynced) {
  pair();
  world_->set_blocked(true);
  ASSERT_TRUE(write("a", 1, 20, 1).ok());
  ASSERT_TRUE(serve("b", 2).ok());
  world_->set_blocked(false);
  // The handshake alone, and then silence.
  auto* memory = dynamic_cast<MemoryVolumeWorld*>(world_.get());
  ASSERT_NE(memory, nullptr);
  auto link = memory->at("b").network->connect(world_->endpoint("a"), "replica");
  link->set_handler({[](std::string) {}, [](absl::Status) {}});
  link->send(
      replica_protocol::encode(replica_protocol::Hello{vm, "b", 2, 1 << 20, 1, {{1, 1}, {2, 2}}}));
  world_->run(absl::Milliseconds(100));
  EXPECT_EQ(status("a").role, Role::replica);
  EXPECT_FALSE(status("a").complete);
  EXPECT_TRUE(absl::IsFailedPrecondition(serve("a", 3).status()));
}

TEST_P(VolumeTest, older_writes_never_replace_newer_ones) {
  using namespace replica_protocol;
  auto* memory = dynamic_cast<MemoryVolumeWorld*>(world_.get());
  ASSERT_NE(memory, nullptr);
  world_->store("b");
  auto source = memory->hub.network("source", memory->scheduler);
  auto link = source->connect(world_->endpoint("b"), "replica");
  link->set_handler({[](std::string) {}, [](absl::Status) {}});
  const std::string old_content("\1\0\0\0\0\0\0\0", 8);
  const std::string new_content("\2\0\0\0\0\0\0\0", 8);
  link->send(encode(Hello{vm, "source", 1, 1 << 20, 0, {{1, 1}}}));
  link->send(encode(Synced{0, 0, 0}));
  link->send(encode(Writes{{{7, 1, 5, true, new_content}}}));
  link->send(encode(Writes{{{7, 1, 4, true, old_content}}}));
  world_->run(absl::Milliseconds(100));
  EXPECT_EQ(status("b").version, 5U);
  EXPECT_EQ(status("b").digest, block_digest(7, 2));
  // Nor does another epoch's write come through this handshake.
  link->send(encode(Writes{{{7, 2, 6, true, old_content}}}));
  world_->run(absl::Milliseconds(100));
  EXPECT_EQ(status("b").digest, block_digest(7, 2));
}

TEST_P(VolumeTest,
       a_replica_with_other_content_at_the_same_version_is_resynced_before_it_is_verified) {
  pair();
  auto* memory = dynamic_cast<MemoryVolumeWorld*>(world_.get());
  ASSERT_NE(memory, nullptr);
  memory->at("b").disk.volumes().at(vm).corrupt(1, 999);
  auto sealed = seal("a", 1);
  EXPECT_NE(status("b").digest, sealed.value->value()->digest);
  auto verified = settle(start_verify("b", *sealed), absl::Seconds(1));
  EXPECT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(status("b").digest, sealed.value->value()->digest);
}

TEST_P(VolumeTest, handshakes_below_the_fence_are_refused) {
  move();
  // a, sealed at 1, still has its stream to b, which serves 2.
  world_->run(absl::Seconds(5));
  EXPECT_FALSE(replica("a", "b").connected);
  EXPECT_EQ(status("b").role, Role::serving);
  EXPECT_TRUE(write("b", 2, 1, 5).ok());
}

TEST_P(VolumeTest, a_stream_comes_back_after_the_link_or_the_replica_was_gone) {
  pair();
  world_->set_blocked(true);
  for (std::uint64_t i = 0; i < 5; ++i) ASSERT_TRUE(write("a", 1, i, 50 + i).ok());
  world_->run(absl::Seconds(10));
  EXPECT_FALSE(replica("a", "b").connected);
  EXPECT_GT(replica("a", "b").lag, absl::Seconds(5));
  EXPECT_FALSE(replica("a", "b").error.empty());
  world_->set_blocked(false);
  world_->run(absl::Seconds(5));
  EXPECT_TRUE(replica("a", "b").caught_up);
  EXPECT_EQ(replica("a", "b").lag, absl::ZeroDuration());
  world_->restart("b");
  ASSERT_TRUE(write("a", 1, 9, 99).ok());
  world_->run(absl::Seconds(5));
  EXPECT_TRUE(replica("a", "b").caught_up);
  EXPECT_EQ(status("a").digest, status("b").digest);
}

TEST_P(VolumeTest, in_sync_mode_a_flush_waits_for_the_peer_and_goes_on_without_it_when_told) {
  pair();
  int looks = 0;
  world_->store("a").watch([&](const std::string&) { ++looks; });
  world_->store("a").set_sync_peers(vm, {"b"});
  ASSERT_TRUE(write("a", 1, 1, 5).ok());
  EXPECT_TRUE(flush("a", 1).ok());
  EXPECT_EQ(status("a").version_flushed, 2U);
  EXPECT_EQ(status("b").version_stable, 2U);
  world_->set_blocked(true);
  ASSERT_TRUE(write("a", 1, 1, 6).ok());
  looks = 0;
  auto waiting = flush("a", 1);
  world_->run(absl::Seconds(10));
  EXPECT_FALSE(waiting.answered());
  EXPECT_EQ(status("a").flushes_waiting, 1U);
  EXPECT_FALSE(replica("a", "b").connected);
  EXPECT_GT(looks, 0);
  world_->store("a").set_sync_peers(vm, {});
  settle(waiting);
  EXPECT_TRUE(waiting.ok());
}

TEST_P(VolumeTest, a_waiting_flush_is_answered_when_the_peer_returns) {
  pair();
  world_->store("a").set_sync_peers(vm, {"b"});
  world_->crash("b", nullptr);
  ASSERT_TRUE(write("a", 1, 1, 6).ok());
  Outcome<Done> waiting;
  world_->guest("a").flush(vm, 1, waiting.reply());
  world_->run(absl::Seconds(5));
  EXPECT_TRUE(waiting.ok());
  EXPECT_EQ(status("b").version_stable, 2U);
}

TEST_P(VolumeTest, a_crash_loses_only_what_was_not_flushed_and_ends_the_epoch) {
  create("a");
  ASSERT_TRUE(serve("a", 1).ok());
  ASSERT_TRUE(write("a", 1, 1, 11).ok());
  ASSERT_TRUE(flush("a", 1).ok());
  ASSERT_TRUE(write("a", 1, 2, 22).ok());
  world_->crash("a", nullptr);
  EXPECT_TRUE(status("a").crashed);
  EXPECT_FALSE(write("a", 1, 3, 3).answered());
  EXPECT_TRUE(absl::IsFailedPrecondition(seal("a", 1).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(serve("a", 1).status()));
  ASSERT_TRUE(serve("a", 2).ok());
  EXPECT_EQ(read("a", 2, 1), 11U);
  EXPECT_EQ(read("a", 2, 2), 0U);
}

TEST_P(VolumeTest, a_restarted_process_finds_its_volume_serving) {
  create("a");
  ASSERT_TRUE(serve("a", 1).ok());
  ASSERT_TRUE(write("a", 1, 2, 22).ok());
  world_->restart("a");
  EXPECT_EQ(read("a", 1, 2), 22U);
  EXPECT_TRUE(write("a", 1, 3, 3).ok());
}

TEST_P(VolumeTest, a_seal_that_was_answered_survives_a_crash) {
  pair();
  auto sealed = seal("a", 1);
  world_->crash("a", nullptr);
  EXPECT_EQ(status("a").role, Role::sealed);
  EXPECT_EQ(*seal("a", 1), *sealed);
}

TEST_P(VolumeTest, destroy_is_idempotent_and_ends_the_streams) {
  pair();
  for (int i = 0; i < 2; ++i) {
    Outcome<Done> gone;
    world_->store("a").destroy(vm, gone.reply());
    EXPECT_TRUE(settle(gone).ok());
  }
  EXPECT_TRUE(world_->store("a").list().empty());
  EXPECT_FALSE(status("b").streaming);
  EXPECT_TRUE(absl::IsNotFound(serve("a", 3).status()));
}

TEST_P(VolumeTest, a_replica_that_is_being_filled_is_no_base) {
  create("a");
  ASSERT_TRUE(serve("a", 1).ok());
  for (std::uint64_t i = 0; i < 200; ++i) write("a", 1, i, i);
  replicate("a", "b");
  while (world_->store("b").list().empty()) world_->run(absl::Microseconds(50));
  EXPECT_FALSE(status("b").complete);
  EXPECT_TRUE(absl::IsFailedPrecondition([&] {
    Outcome<VolumeStatus> served;
    world_->store("b").serve(vm, 2, served.reply());
    world_->run(absl::Microseconds(60));
    return served.status();
  }()));
  world_->run(absl::Seconds(1));
  EXPECT_TRUE(status("b").complete);
}

TEST_P(VolumeTest, bytes_that_are_no_message_end_the_stream_and_harm_nothing) {
  pair();
  auto* memory = dynamic_cast<MemoryVolumeWorld*>(world_.get());
  ASSERT_NE(memory, nullptr);
  auto stranger = memory->hub.network("stranger", memory->scheduler);
  auto link = stranger->connect(world_->endpoint("b"), "replica");
  std::string answer;
  link->set_handler({[&](std::string frame) { answer = std::move(frame); }, [](absl::Status) {}});
  link->send("GET / HTTP/1.1");
  world_->run(absl::Milliseconds(100));
  auto refusal = replica_protocol::decode(answer);
  ASSERT_TRUE(refusal.ok());
  EXPECT_TRUE(std::holds_alternative<replica_protocol::Refuse>(*refusal));
  EXPECT_TRUE(replica("a", "b").caught_up);
}

INSTANTIATE_TEST_SUITE_P(Stores, VolumeTest,
                         testing::Values(Implementation{
                             "memory", [] { return std::make_unique<MemoryVolumeWorld>(); }}),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace supercloud
