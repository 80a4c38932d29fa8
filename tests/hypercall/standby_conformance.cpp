// The suite of the hypervisor seam, of standbys: what a move there finds ready.
#include "tests/hypercall/hypervisor_conformance.h"

namespace supercloud {

using State = GuestStatus::State;

namespace {

constexpr Duration standby_patience = absl::Seconds(10);

}  // namespace

TEST_P(HypervisorConformance, AStandbyIsNoCopyAndHoldsTheRoomOfOne) {
  const std::uint64_t free = b_.host().memory_free_bytes();
  ASSERT_EQ(b_.keep(spec_), absl::OkStatus());
  EXPECT_FALSE(b_.status(vm_).has_value());
  EXPECT_EQ(b_.host().standby_bytes(vm_), spec_.reader().getMemoryBytes());
  EXPECT_EQ(b_.host().memory_free_bytes(), free - spec_.reader().getMemoryBytes());
  b_.host().arm(vm_, world_->now() + absl::Hours(1));
  EXPECT_EQ(b_.resume(vm_, 1).code(), absl::StatusCode::kNotFound);
  ASSERT_EQ(b_.prepare(spec_, test_migration(), 1), absl::OkStatus());
  EXPECT_EQ(b_.status(vm_)->state, State::incoming);
  EXPECT_EQ(b_.host().standby_bytes(vm_), 0U);
  EXPECT_EQ(b_.host().memory_free_bytes(), free - spec_.reader().getMemoryBytes());
}

TEST_P(HypervisorConformance, AGuestMovesIntoAStandbyWithItsMemoryUnbroken) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  ASSERT_EQ(b_.keep(spec_), absl::OkStatus());
  EXPECT_FALSE(a_.send(vm_, test_migration(), world_->endpoint(1)).ok()) << "to a mere standby";
  ASSERT_TRUE(b_.prepare(spec_, test_migration(), 1).ok());
  EXPECT_TRUE(b_.prepare(spec_, test_migration(), 1).ok());
  EXPECT_EQ(b_.prepare(spec_, test_migration(2), 1).code(), absl::StatusCode::kAlreadyExists);
  ASSERT_EQ(a_.send(vm_, test_migration(), world_->endpoint(1)), absl::OkStatus());
  ASSERT_TRUE(a_.pause(vm_).ok());
  ASSERT_TRUE(a_.finish_send(vm_).ok());
  ASSERT_TRUE(b_.start(vm_, 2).ok());
  ASSERT_TRUE(a_.destroy(vm_).ok());
  EXPECT_TRUE(b_.executes(vm_));
  EXPECT_TRUE(world_->memory_intact(vm_));
}

TEST_P(HypervisorConformance, AStandbyThatIsStillBeingMadeIsTakenToo) {
  world_->host(1).keep_standby(spec_, world_->now() + absl::Hours(1), {});
  ASSERT_EQ(b_.prepare(spec_, test_migration(), 1), absl::OkStatus());
  EXPECT_EQ(b_.status(vm_)->state, State::incoming);
  EXPECT_EQ(b_.host().standby_bytes(vm_), 0U);
}

TEST_P(HypervisorConformance, AStandbyEndsAtItsTimeUnlessItIsAskedForAgain) {
  const std::uint64_t free = b_.host().memory_free_bytes();
  ASSERT_EQ(b_.keep(spec_, absl::Seconds(3)), absl::OkStatus());
  ASSERT_EQ(b_.keep(spec_), absl::OkStatus());
  world_->wait(absl::Seconds(4), [] { return false; });
  EXPECT_GT(b_.host().standby_bytes(vm_), 0U);
  ASSERT_EQ(b_.keep(spec_, absl::Milliseconds(300)), absl::OkStatus());
  EXPECT_TRUE(world_->wait(standby_patience, [&] { return b_.host().standby_bytes(vm_) == 0; }));
  EXPECT_EQ(b_.host().memory_free_bytes(), free);
}

TEST_P(HypervisorConformance, AStandbyOfAnotherDescriptionIsReplaced) {
  const auto larger = test_vm("web1", 2 * world_->memory_bytes());
  ASSERT_EQ(b_.keep(spec_), absl::OkStatus());
  ASSERT_EQ(b_.keep(larger), absl::OkStatus());
  EXPECT_EQ(b_.host().standby_bytes(vm_), larger.reader().getMemoryBytes());
  const std::uint64_t free = b_.host().memory_free_bytes();
  ASSERT_EQ(b_.prepare(spec_, test_migration(), 1), absl::OkStatus());
  EXPECT_EQ(b_.host().memory_free_bytes() - free, world_->memory_bytes());
}

TEST_P(HypervisorConformance, BesideACopyThereIsNoStandbyAndACopyThatIsCreatedEndsIt) {
  ASSERT_EQ(a_.keep(spec_), absl::OkStatus());
  ASSERT_EQ(a_.create(spec_, 1), absl::OkStatus());
  EXPECT_EQ(a_.host().standby_bytes(vm_), 0U);
  EXPECT_EQ(a_.keep(spec_).code(), absl::StatusCode::kAlreadyExists);
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  EXPECT_TRUE(a_.executes(vm_));
}

TEST_P(HypervisorConformance, AStandbyGivesItsRoomToWhatIsCreatedAndTakesNobodysOwn) {
  ASSERT_EQ(a_.keep(vm_named("other")), absl::OkStatus());
  const std::uint64_t free = a_.host().memory_free_bytes();
  EXPECT_EQ(a_.prepare(test_vm("web1", free + world_->memory_bytes()), test_migration(), 1).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(a_.keep(test_vm("web2", free + world_->memory_bytes())).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_GT(a_.host().standby_bytes("main/other"), 0U);
  ASSERT_EQ(a_.create(test_vm("web1", free + world_->memory_bytes()), 1), absl::OkStatus());
  EXPECT_EQ(a_.host().standby_bytes("main/other"), 0U);
}

TEST_P(HypervisorConformance, StandbysEndWithDestroyWithADropAndWithTheDaemon) {
  const std::uint64_t free = a_.host().memory_free_bytes();
  ASSERT_EQ(a_.keep(spec_), absl::OkStatus());
  ASSERT_TRUE(a_.destroy(vm_).ok());
  EXPECT_EQ(a_.host().memory_free_bytes(), free);
  ASSERT_EQ(a_.keep(spec_), absl::OkStatus());
  ASSERT_TRUE(a_.create(vm_named("web2"), 1).ok());
  a_.host().drop_standbys();
  EXPECT_TRUE(world_->wait(standby_patience, [&] { return a_.host().standby_bytes(vm_) == 0; }));
  EXPECT_TRUE(a_.status("main/web2").has_value());
  ASSERT_EQ(a_.keep(spec_), absl::OkStatus());
  world_->restart_daemon(0);
  EXPECT_TRUE(world_->wait(standby_patience, [&] { return a_.host().standby_bytes(vm_) == 0; }));
  EXPECT_FALSE(a_.status(vm_).has_value());
  EXPECT_TRUE(a_.status("main/web2").has_value());
  ASSERT_EQ(a_.keep(spec_), absl::OkStatus());
}

}  // namespace supercloud
