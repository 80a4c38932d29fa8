#include "tests/actors/fabric_conformance.h"

#include <optional>
#include <utility>
#include <vector>

namespace supercloud {
namespace {

template <class Call>
absl::Status status_of(FabricWorld& world, Call call) {
  auto answer = std::make_shared<std::optional<absl::Status>>();
  call(Reply<Done>(world.now() + absl::Seconds(10),
                   [answer](absl::StatusOr<Done> value) { *answer = value.status(); }));
  world.wait(absl::Seconds(10), [answer] { return answer->has_value(); });
  return answer->value_or(absl::DeadlineExceededError("no answer"));
}

}  // namespace

absl::Status FabricConformance::prepare(const std::string& vm, const std::string& address) {
  return status_of(
      *world_, [&](Reply<Done> reply) { world_->fabric().prepare(vm, address, std::move(reply)); });
}

absl::Status FabricConformance::remove(const std::string& vm) {
  return status_of(*world_,
                   [&](Reply<Done> reply) { world_->fabric().remove(vm, std::move(reply)); });
}

AddressOwner FabricConformance::owned_by(const std::string& node, Epoch epoch) const {
  return {address_, vm_, node, "tunnel-of-" + node, epoch};
}

std::string FabricConformance::owner() {
  for (const AddressOwner& known : world_->fabric().owners()) {
    if (known.address == address_) return known.node;
  }
  return "";
}

TEST_P(FabricConformance, APreparedPortIsClosedAndPassesNothing) {
  ASSERT_TRUE(prepare(vm_, address_).ok());
  EXPECT_FALSE(world_->fabric().port(vm_).has_value());
  EXPECT_FALSE(world_->transmit(vm_, 1));
}

TEST_P(FabricConformance, OpenAndCloseAreInEffectWhenTheyReturn) {
  ASSERT_TRUE(prepare(vm_, address_).ok());
  ASSERT_TRUE(world_->fabric().open(vm_, 1).ok());
  EXPECT_TRUE(world_->transmit(vm_, 1));
  EXPECT_EQ(world_->fabric().port(vm_), std::optional<Epoch>(1));
  world_->fabric().close(vm_);
  world_->fabric().close(vm_);
  EXPECT_FALSE(world_->transmit(vm_, 1));
}

TEST_P(FabricConformance, PreparingAgainLeavesAnOpenPortOpen) {
  ASSERT_TRUE(prepare(vm_, address_).ok());
  ASSERT_TRUE(world_->fabric().open(vm_, 1).ok());
  ASSERT_TRUE(prepare(vm_, address_).ok());
  EXPECT_TRUE(world_->transmit(vm_, 1));
}

TEST_P(FabricConformance, AnUnpreparedPortDoesNotOpen) {
  const absl::Status open = world_->fabric().open(vm_, 1);
  EXPECT_EQ(open.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(open.message().find("prepare"), std::string::npos) << open;
}

TEST_P(FabricConformance, FramesOfAnotherEpochThanThePortsDoNotPass) {
  ASSERT_TRUE(prepare(vm_, address_).ok());
  ASSERT_TRUE(world_->fabric().open(vm_, 5).ok());
  EXPECT_FALSE(world_->transmit(vm_, 4));
  EXPECT_FALSE(world_->transmit(vm_, 6));
  EXPECT_TRUE(world_->transmit(vm_, 5));
}

TEST_P(FabricConformance, AHigherEpochElsewhereStopsAnOpenPortInTheSameStep) {
  ASSERT_TRUE(prepare(vm_, address_).ok());
  ASSERT_TRUE(world_->fabric().open(vm_, 5).ok());
  ASSERT_TRUE(world_->fabric().learn(owned_by("elsewhere", 6)));
  EXPECT_FALSE(world_->transmit(vm_, 5));
  EXPECT_EQ(world_->fabric().open(vm_, 5).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(world_->fabric().open(vm_, 6).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(world_->fabric().open(vm_, 7).ok());
  EXPECT_TRUE(world_->transmit(vm_, 7));
}

TEST_P(FabricConformance, ALowerEpochNeverReplacesAHigherOne) {
  EXPECT_TRUE(world_->fabric().learn(owned_by("b", 3)));
  EXPECT_FALSE(world_->fabric().learn(owned_by("a", 2)));
  EXPECT_FALSE(world_->fabric().learn(owned_by("a", 3)));
  EXPECT_EQ(owner(), "b");
  EXPECT_TRUE(world_->fabric().learn(owned_by("b", 3)));
  EXPECT_TRUE(world_->fabric().learn(owned_by("a", 4)));
  EXPECT_EQ(owner(), "a");
}

TEST_P(FabricConformance, ForgettingDoesNotTouchANewerOwner) {
  ASSERT_TRUE(world_->fabric().learn(owned_by("b", 3)));
  world_->fabric().forget(address_, 2);
  EXPECT_EQ(owner(), "b");
  world_->fabric().forget(address_, 3);
  EXPECT_EQ(owner(), "");
  EXPECT_TRUE(world_->fabric().learn(owned_by("a", 1)));  // a new VM starts at the beginning
}

TEST_P(FabricConformance, OneAddressBelongsToOneVm) {
  ASSERT_TRUE(prepare(vm_, address_).ok());
  EXPECT_EQ(prepare("main/web2", address_).code(), absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(world_->fabric().learn(owned_by("b", 3)));
  EXPECT_FALSE(world_->fabric().learn({address_, "main/web2", "c", "", 9}));
  EXPECT_EQ(owner(), "b");
}

TEST_P(FabricConformance, ARemovedPortIsGoneAndRemovingMayBeRepeated) {
  ASSERT_TRUE(prepare(vm_, address_).ok());
  ASSERT_TRUE(world_->fabric().open(vm_, 1).ok());
  ASSERT_TRUE(remove(vm_).ok());
  ASSERT_TRUE(remove(vm_).ok());
  EXPECT_FALSE(world_->transmit(vm_, 1));
  EXPECT_EQ(world_->fabric().open(vm_, 2).code(), absl::StatusCode::kNotFound);
}

TEST_P(FabricConformance, PortsAndOwnersOutliveTheDaemonAndNotTheHost) {
  ASSERT_TRUE(prepare(vm_, address_).ok());
  ASSERT_TRUE(world_->fabric().learn(owned_by(world_->node(), 1)));
  ASSERT_TRUE(world_->fabric().open(vm_, 1).ok());
  world_->restart_daemon();
  EXPECT_TRUE(world_->transmit(vm_, 1));
  EXPECT_EQ(owner(), world_->node());
  world_->reboot();
  EXPECT_FALSE(world_->transmit(vm_, 1));
  EXPECT_EQ(owner(), "");
}

TEST_P(FabricConformance, BlackoutIsTheGapBetweenTheLastFrameOfOneEpochAndTheFirstOfTheNext) {
  ASSERT_TRUE(prepare(vm_, address_).ok());
  ASSERT_TRUE(world_->fabric().open(vm_, 1).ok());
  EXPECT_FALSE(world_->fabric().traffic(vm_, 1).has_value());
  ASSERT_TRUE(world_->transmit(vm_, 1));
  EXPECT_TRUE(world_->fabric().traffic(vm_, 1).has_value());
  EXPECT_FALSE(world_->fabric().blackout(vm_, 1).has_value());
  world_->fabric().close(vm_);
  world_->wait(absl::Milliseconds(120), [] { return false; });
  ASSERT_TRUE(world_->fabric().open(vm_, 2).ok());
  EXPECT_FALSE(world_->fabric().blackout(vm_, 2).has_value());
  ASSERT_TRUE(world_->transmit(vm_, 2));
  const auto blackout = world_->fabric().blackout(vm_, 2);
  ASSERT_TRUE(blackout.has_value());
  EXPECT_GE(*blackout, absl::Milliseconds(120));
  EXPECT_LE(*blackout, absl::Milliseconds(500));
}

}  // namespace supercloud
