#include "tests/hypercall/hypervisor_conformance.h"

#include <memory>
#include <optional>
#include <set>
#include <vector>

namespace supercloud {

using State = GuestStatus::State;

Message<schema::VmSpec> test_vm(const std::string& name, std::uint64_t memory) {
  return Message<schema::VmSpec>::build([&](schema::VmSpec::Builder spec) {
    spec.setName(name);
    spec.setMemoryBytes(memory);
    spec.setDiskBytes(16 << 20);
    spec.setAddress("10.0.0.5");
    spec.setDirtyPagesPerSecond(200);
    spec.setWritesPerSecond(50);
  });
}

EventId test_migration(std::uint64_t number) { return {"a/policy", 1, number}; }

absl::Status HostCalls::create(const Message<schema::VmSpec>& spec, Epoch epoch) const {
  return status_of<Done>(world, [&](Reply<Done> r) { host().create(spec, epoch, std::move(r)); });
}
absl::Status HostCalls::prepare(const Message<schema::VmSpec>& spec, const EventId& migration,
                                Epoch epoch) const {
  return status_of<Done>(
      world, [&](Reply<Done> r) { host().prepare_incoming(spec, migration, epoch, std::move(r)); });
}
absl::Status HostCalls::keep(const Message<schema::VmSpec>& spec, Duration time) const {
  return status_of<Done>(
      world, [&](Reply<Done> r) { host().keep_standby(spec, world.now() + time, std::move(r)); });
}
absl::Status HostCalls::resume(const std::string& vm, Epoch epoch) const {
  return status_of<Done>(world, [&](Reply<Done> r) { host().resume(vm, epoch, std::move(r)); });
}
absl::Status HostCalls::pause(const std::string& vm, Duration limit) const {
  return status_of<Done>(world, [&](Reply<Done> r) { host().pause(vm, std::move(r)); }, limit);
}
absl::Status HostCalls::send(const std::string& vm, const EventId& migration,
                             const std::string& endpoint) const {
  TransferOptions options;
  options.migration = migration;
  options.endpoint = endpoint;
  return status_of<TransferProgress>(
      world, [&](Reply<TransferProgress> r) { host().send(vm, options, nullptr, std::move(r)); });
}
absl::Status HostCalls::finish_send(const std::string& vm) const {
  return status_of<TransferProgress>(
      world, [&](Reply<TransferProgress> r) { host().finish_send(vm, std::move(r)); });
}
absl::Status HostCalls::stop_send(const std::string& vm) const {
  return status_of<Done>(world, [&](Reply<Done> r) { host().stop_send(vm, std::move(r)); });
}
absl::Status HostCalls::destroy(const std::string& vm) const {
  return status_of<Done>(world, [&](Reply<Done> r) { host().destroy(vm, std::move(r)); });
}
absl::Status HostCalls::start(const std::string& vm, Epoch epoch) const {
  host().arm(vm, world.now() + absl::Hours(1));
  world.serve_disk(vm, epoch);
  const absl::Status resumed = resume(vm, epoch);
  if (resumed.ok()) world.await_boot(index, vm);
  return resumed;
}
std::optional<GuestStatus> HostCalls::status(const std::string& vm) const {
  for (const GuestStatus& status : host().list()) {
    if (status.vm == vm) return status;
  }
  return std::nullopt;
}
bool HostCalls::is(const std::string& vm, GuestStatus::State state) const {
  const auto shown = status(vm);
  return shown.has_value() && shown->state == state;
}
std::optional<GuestStatus::Memory> HostCalls::memory_of(const std::string& vm) const {
  const auto shown = status(vm);
  if (!shown.has_value()) return std::nullopt;
  return shown->memory;
}
std::optional<EventId> HostCalls::migration_of(const std::string& vm) const {
  const auto shown = status(vm);
  if (!shown.has_value()) return std::nullopt;
  return shown->migration;
}
bool HostCalls::executes(const std::string& vm) const {
  const std::uint64_t before = world.executed(index, vm);
  return world.wait(world.moment(), [&] { return world.executed(index, vm) > before; });
}

// ---- the way to another host ---------------------------------------------------------------------

TEST_P(HypervisorConformance, TheWayToAnotherHostIsTriedAndMeasured) {
  const auto way = answer_of<Way>(*world_, absl::Seconds(20), [&](Reply<Way> r) {
    world_->host(0).try_way(world_->endpoint(1), true, std::move(r));
  });
  ASSERT_TRUE(way.has_value());
  ASSERT_TRUE(way->ok()) << way->status();
  EXPECT_GE((*way)->round_trip, absl::ZeroDuration());
  EXPECT_GT((*way)->bytes_per_second, 0U);
}

TEST_P(HypervisorConformance, AWayThatLeadsNowhereIsUnavailableAndNamed) {
  const std::string nowhere = world_->endpoint(1) + "0";
  const absl::Status status = status_of<Way>(
      *world_, [&](Reply<Way> r) { world_->host(0).try_way(nowhere, true, std::move(r)); });
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_NE(status.message().find(nowhere), std::string::npos) << status;
}

TEST_P(HypervisorConformance, AGuestHasTouchedNoMoreThanItsMemory) {
  EXPECT_EQ(world_->host(0).touched_bytes(vm_), 0U);
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  EXPECT_GT(world_->host(0).touched_bytes(vm_), 0U);
  EXPECT_LE(world_->host(0).touched_bytes(vm_), spec_.reader().getMemoryBytes());
}

// ---- lifecycle ----------------------------------------------------------------------------------

TEST_P(HypervisorConformance, ACreatedGuestIsStoppedUntilItIsResumed) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_TRUE(a_.status(vm_).has_value());
  EXPECT_EQ(a_.status(vm_)->state, State::stopped);
  EXPECT_EQ(a_.status(vm_)->epoch, 1U);
  EXPECT_EQ(a_.status(vm_)->address, "10.0.0.5");
  EXPECT_FALSE(a_.executes(vm_));
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  EXPECT_EQ(a_.status(vm_)->state, State::running);
  EXPECT_TRUE(a_.executes(vm_));
}

TEST_P(HypervisorConformance, ASecondCopyOfAVmIsRefusedWithTheCure) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  const absl::Status again = a_.create(spec_, 1);
  EXPECT_EQ(again.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_NE(again.message().find("destroy"), std::string::npos) << again;
  EXPECT_EQ(a_.prepare(spec_, test_migration(), 1).code(), absl::StatusCode::kAlreadyExists);
}

TEST_P(HypervisorConformance, PauseStopsTheGuestAndMayBeRepeated) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  ASSERT_TRUE(a_.pause(vm_).ok());
  ASSERT_TRUE(a_.pause(vm_).ok());
  EXPECT_EQ(a_.status(vm_)->state, State::stopped);
  EXPECT_FALSE(a_.executes(vm_));
}

TEST_P(HypervisorConformance, APausedGuestGoesOnWhereItWasAtANewEpoch) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  ASSERT_TRUE(a_.executes(vm_));
  ASSERT_TRUE(a_.pause(vm_).ok());
  const std::uint64_t before = world_->executed(0, vm_);
  ASSERT_EQ(a_.start(vm_, 2), absl::OkStatus());
  EXPECT_EQ(a_.status(vm_)->epoch, 2U);
  EXPECT_TRUE(a_.executes(vm_));
  EXPECT_GT(world_->executed(0, vm_), before);
  EXPECT_TRUE(world_->memory_intact(vm_));
}

TEST_P(HypervisorConformance, ResumeMayBeRepeatedAtItsEpochAndAtNoOther) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_EQ(a_.start(vm_, 2), absl::OkStatus());
  EXPECT_TRUE(a_.resume(vm_, 2).ok());
  EXPECT_EQ(a_.resume(vm_, 3).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(a_.resume(vm_, 1).code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(a_.pause(vm_).ok());
  EXPECT_EQ(a_.resume(vm_, 1).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(HypervisorConformance, DestroyMayBeRepeatedAndLeavesNothing) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  ASSERT_TRUE(a_.destroy(vm_).ok());
  EXPECT_FALSE(a_.status(vm_).has_value());
  EXPECT_TRUE(a_.destroy(vm_).ok());
  EXPECT_TRUE(a_.create(spec_, 2).ok());
}

TEST_P(HypervisorConformance, CallsForACopyThatIsNotHereAreNotFound) {
  EXPECT_EQ(a_.resume(vm_, 1).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(a_.pause(vm_).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(a_.finish_send(vm_).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(a_.send(vm_, test_migration(), world_->endpoint(1)).code(),
            absl::StatusCode::kNotFound);
  EXPECT_TRUE(a_.stop_send(vm_).ok());
}

TEST_P(HypervisorConformance, ListIsInTheOrderOfNames) {
  for (const char* name : {"zeta", "alpha", "mid"}) ASSERT_TRUE(a_.create(vm_named(name), 1).ok());
  std::vector<std::string> names;
  for (const GuestStatus& status : a_.host().list()) names.push_back(status.vm);
  EXPECT_EQ(names, (std::vector<std::string>{"main/alpha", "main/mid", "main/zeta"}));
}

TEST_P(HypervisorConformance, AVmThatDoesNotFitIsRefused) {
  const std::uint64_t more = a_.host().memory_free_bytes() + 1;
  EXPECT_EQ(a_.create(test_vm("huge", more), 1).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(a_.host().list().empty());
}

// The guest of this suite writes 200 pages a second.
TEST_P(HypervisorConformance, TheDirtyRateIsMeasuredOfARunningGuestAndNothingOfAnother) {
  if (!world_->measures_dirtying()) GTEST_SKIP() << "not measured by this hypervisor";
  EXPECT_EQ(a_.host().dirty_rate(vm_).pages_per_second, 0U) << "no such copy";
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  EXPECT_EQ(a_.host().dirty_rate(vm_).working_set_pages, 0U) << "it has not run";
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  world_->wait(2 * absl::Seconds(dirty_rate_seconds), [] { return false; });
  const DirtyRate measured = a_.host().dirty_rate(vm_);
  EXPECT_GT(measured.pages_per_second, 100U);
  EXPECT_LT(measured.pages_per_second, 400U);
  EXPECT_GT(measured.working_set_pages, 200U) << "more than of one second";
  EXPECT_LE(measured.working_set_pages, spec_.reader().getMemoryBytes() / 4096);
  EXPECT_LE(measured.working_set_pages, measured.pages_per_second * (dirty_rate_seconds + 1));
  ASSERT_TRUE(a_.pause(vm_).ok());
  EXPECT_EQ(a_.host().dirty_rate(vm_).pages_per_second, 0U) << "it does not run";
}

// ---- keeper -------------------------------------------------------------------------------------

TEST_P(HypervisorConformance, AGuestThatIsNotArmedIsNotResumed) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  world_->serve_disk(vm_, 1);
  EXPECT_EQ(a_.resume(vm_, 1).code(), absl::StatusCode::kFailedPrecondition);
  a_.host().arm(vm_, world_->now() - absl::Seconds(1));
  EXPECT_EQ(a_.resume(vm_, 1).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(a_.executes(vm_));
}

TEST_P(HypervisorConformance, TheKeeperFreezesAtTheDeadlineAndSaysLook) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  std::string looked;
  a_.host().watch([&](const std::string& vm) { looked = vm; });
  a_.host().arm(vm_, world_->now() + absl::Milliseconds(300));
  ASSERT_TRUE(world_->wait(absl::Seconds(2), [&] { return looked == vm_; }));
  EXPECT_EQ(a_.status(vm_)->state, State::frozen);
  world_->wait(world_->stop_time(), [] { return false; });
  EXPECT_FALSE(a_.executes(vm_));
}

TEST_P(HypervisorConformance, TheKeeperFreezesWithoutItsDaemon) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  a_.host().arm(vm_, world_->now() + absl::Milliseconds(300));
  world_->restart_daemon(0);
  world_->wait(absl::Milliseconds(300) + world_->stop_time(), [] { return false; });
  EXPECT_EQ(a_.status(vm_)->state, State::frozen);
  EXPECT_FALSE(a_.executes(vm_));
}

TEST_P(HypervisorConformance, AFrozenGuestGoesOnAtANewEpochOnceItsDeadlineLiesAhead) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  a_.host().arm(vm_, world_->now());
  EXPECT_EQ(a_.resume(vm_, 2).code(), absl::StatusCode::kFailedPrecondition);
  a_.host().arm(vm_, world_->now() + absl::Hours(1));
  EXPECT_FALSE(a_.status(vm_)->state == State::running);  // arming alone thaws nothing
  ASSERT_EQ(a_.start(vm_, 2), absl::OkStatus());
  EXPECT_TRUE(a_.executes(vm_));
  EXPECT_TRUE(world_->memory_intact(vm_));
}

// ---- moving -------------------------------------------------------------------------------------

TEST_P(HypervisorConformance, AMovedGuestGoesOnWithItsMemoryUnbroken) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  ASSERT_TRUE(a_.executes(vm_));
  ASSERT_TRUE(b_.prepare(spec_, test_migration(), 1).ok());
  EXPECT_EQ(b_.status(vm_)->state, State::incoming);
  EXPECT_EQ(b_.status(vm_)->migration, test_migration());
  ASSERT_EQ(a_.send(vm_, test_migration(), world_->endpoint(1)), absl::OkStatus());
  EXPECT_EQ(a_.status(vm_)->state, State::running);
  EXPECT_EQ(a_.status(vm_)->migration, test_migration());
  EXPECT_TRUE(a_.executes(vm_));
  ASSERT_TRUE(a_.pause(vm_).ok());
  const std::uint64_t executed = world_->executed(0, vm_);
  ASSERT_TRUE(a_.finish_send(vm_).ok());
  EXPECT_EQ(b_.status(vm_)->state, State::arrived);
  EXPECT_FALSE(b_.executes(vm_));
  ASSERT_TRUE(b_.start(vm_, 2).ok());
  ASSERT_TRUE(a_.destroy(vm_).ok());
  EXPECT_TRUE(b_.executes(vm_));
  EXPECT_GT(world_->executed(1, vm_), executed);
  EXPECT_TRUE(world_->memory_intact(vm_));
  EXPECT_TRUE(b_.status(vm_)->migration.empty());
}

TEST_P(HypervisorConformance, PrepareIsIdempotentForOneMigrationAndRefusesAnother) {
  ASSERT_TRUE(b_.prepare(spec_, test_migration(1), 1).ok());
  EXPECT_TRUE(b_.prepare(spec_, test_migration(1), 1).ok());
  EXPECT_EQ(b_.prepare(spec_, test_migration(2), 1).code(), absl::StatusCode::kAlreadyExists);
}

TEST_P(HypervisorConformance, AnIncomingCopyCannotBeResumedOrPaused) {
  ASSERT_TRUE(b_.prepare(spec_, test_migration(), 1).ok());
  b_.host().arm(vm_, world_->now() + absl::Hours(1));
  EXPECT_EQ(b_.resume(vm_, 2).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(b_.pause(vm_).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(HypervisorConformance, AStreamOfAnotherMigrationOrEpochOrOfAnUnpreparedCopyIsRefused) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  EXPECT_FALSE(a_.send(vm_, test_migration(1), world_->endpoint(1)).ok());
  ASSERT_TRUE(b_.prepare(spec_, test_migration(2), 1).ok());
  EXPECT_FALSE(a_.send(vm_, test_migration(1), world_->endpoint(1)).ok());
  ASSERT_TRUE(b_.destroy(vm_).ok());
  ASSERT_TRUE(b_.prepare(spec_, test_migration(1), 7).ok());
  EXPECT_FALSE(a_.send(vm_, test_migration(1), world_->endpoint(1)).ok());
  EXPECT_TRUE(a_.executes(vm_));
  EXPECT_EQ(a_.status(vm_)->state, State::running);
}

TEST_P(HypervisorConformance, TheRestIsNotSentBeforeThePause) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  ASSERT_TRUE(b_.prepare(spec_, test_migration(), 1).ok());
  EXPECT_EQ(a_.finish_send(vm_).code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_EQ(a_.send(vm_, test_migration(), world_->endpoint(1)), absl::OkStatus());
  EXPECT_EQ(a_.finish_send(vm_).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(a_.executes(vm_));
}

TEST_P(HypervisorConformance, PauseWaitsForTheDiskAndReportsAVolumeThatDoesNotAnswer) {
  if (!world_->has_disk()) GTEST_SKIP() << "the guest of this world has no disk";
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  world_->hold_disk(true);
  ASSERT_TRUE(a_.executes(vm_));
  EXPECT_EQ(a_.pause(vm_, absl::Seconds(1)).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(a_.executes(vm_));
  world_->hold_disk(false);
  EXPECT_TRUE(a_.pause(vm_).ok());
}

TEST_P(HypervisorConformance, StopSendLeavesTheSourceAsItIsAndTheTargetEmpty) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  ASSERT_TRUE(b_.prepare(spec_, test_migration(), 1).ok());
  ASSERT_EQ(a_.send(vm_, test_migration(), world_->endpoint(1)), absl::OkStatus());
  std::string looked;
  b_.host().watch([&](const std::string& vm) { looked = vm; });
  ASSERT_TRUE(a_.stop_send(vm_).ok());
  ASSERT_TRUE(a_.stop_send(vm_).ok());
  EXPECT_TRUE(a_.executes(vm_));
  EXPECT_TRUE(a_.status(vm_)->migration.empty());
  EXPECT_TRUE(world_->wait(absl::Seconds(10), [&] { return !b_.status(vm_).has_value(); }));
  EXPECT_TRUE(world_->wait(absl::Seconds(1), [&] { return looked == vm_; }));
}

TEST_P(HypervisorConformance, ALostStreamEndsTheIncomingCopyAndFailsTheRestOfTheSend) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  ASSERT_TRUE(b_.prepare(spec_, test_migration(), 1).ok());
  ASSERT_EQ(a_.send(vm_, test_migration(), world_->endpoint(1)), absl::OkStatus());
  world_->cut_streams();
  EXPECT_TRUE(world_->wait(absl::Seconds(10), [&] { return !b_.status(vm_).has_value(); }));
  ASSERT_TRUE(a_.pause(vm_).ok());
  EXPECT_FALSE(a_.finish_send(vm_).ok());
  ASSERT_EQ(a_.start(vm_, 2), absl::OkStatus());
  EXPECT_TRUE(a_.executes(vm_));
  EXPECT_TRUE(world_->memory_intact(vm_));
}

TEST_P(HypervisorConformance, AnArrivedCopyOutlivesItsStream) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  ASSERT_TRUE(b_.prepare(spec_, test_migration(), 1).ok());
  ASSERT_EQ(a_.send(vm_, test_migration(), world_->endpoint(1)), absl::OkStatus());
  ASSERT_TRUE(a_.pause(vm_).ok());
  ASSERT_TRUE(a_.finish_send(vm_).ok());
  world_->cut_streams();
  ASSERT_TRUE(a_.destroy(vm_).ok());
  world_->wait(world_->long_time(), [] { return false; });
  ASSERT_TRUE(b_.status(vm_).has_value());
  EXPECT_EQ(b_.status(vm_)->state, State::arrived);
  EXPECT_TRUE(b_.start(vm_, 2).ok());
  EXPECT_TRUE(world_->memory_intact(vm_));
}

TEST_P(HypervisorConformance, CopiesOutliveTheDaemonAndAreListedByTheNextOne) {
  ASSERT_TRUE(a_.create(spec_, 1).ok());
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  ASSERT_TRUE(b_.prepare(spec_, test_migration(), 1).ok());
  ASSERT_EQ(a_.send(vm_, test_migration(), world_->endpoint(1)), absl::OkStatus());
  world_->restart_daemon(0);
  world_->restart_daemon(1);
  EXPECT_EQ(a_.status(vm_)->state, State::running);
  EXPECT_EQ(a_.status(vm_)->migration, test_migration());
  EXPECT_EQ(b_.status(vm_)->state, State::incoming);
  EXPECT_TRUE(a_.executes(vm_));
}

// ---- post-copy ----------------------------------------------------------------------------------

using Memory = GuestStatus::Memory;

void HypervisorConformance::arrive_by_post_copy() {
  const auto spec = Message<schema::VmSpec>::build([&](schema::VmSpec::Builder built) {
    built.setName("web1");
    built.setMemoryBytes(world_->memory_bytes());
    built.setAddress("10.0.0.5");
    built.setDiskBytes(16 << 20);
    built.setDirtyPagesPerSecond(200);
    built.setPostCopy(true);
  });
  ASSERT_EQ(a_.create(spec, 1), absl::OkStatus());
  ASSERT_EQ(a_.start(vm_, 1), absl::OkStatus());
  ASSERT_EQ(b_.prepare(spec, test_migration(), 1), absl::OkStatus());
  TransferOptions options{.migration = test_migration(), .endpoint = world_->endpoint(1)};
  options.bytes_per_second_max = world_->memory_bytes() / 8;
  options.passes_max = TransferOptions::passes_unlimited;
  options.post_copy = true;
  auto converged = std::make_shared<std::optional<absl::Status>>();
  a_.host().send(
      vm_, options, [this](const TransferProgress& progress) { told_.push_back(progress); },
      Reply<TransferProgress>(far_future,
                              [converged](const absl::StatusOr<TransferProgress>& said) {
                                *converged = said.status();
                              }));
  ASSERT_TRUE(world_->wait(absl::Seconds(20), [&] {
    return !told_.empty() && told_.back().can_follow && told_.back().sent_bytes > 0;
  }));
  EXPECT_FALSE(converged->has_value()) << "it writes more than the way carries";
  a_.host().start_post_copy(vm_);
  a_.host().start_post_copy(vm_);
  ASSERT_TRUE(world_->wait(absl::Seconds(20), [&] { return converged->has_value(); }));
  EXPECT_EQ(**converged, absl::OkStatus());
  EXPECT_TRUE(a_.executes(vm_)) << "until it is paused";
  ASSERT_EQ(a_.pause(vm_), absl::OkStatus());
  ASSERT_EQ(a_.finish_send(vm_), absl::OkStatus());
  EXPECT_TRUE(b_.is(vm_, State::arrived));
  EXPECT_EQ(b_.memory_of(vm_), Memory::following);
  EXPECT_EQ(a_.memory_of(vm_), Memory::needed);
}

void HypervisorConformance::move_by_post_copy() {
  arrive_by_post_copy();
  if (HasFatalFailure()) return;
  ASSERT_EQ(b_.start(vm_, 2), absl::OkStatus());
  EXPECT_EQ(b_.memory_of(vm_), Memory::following);
}

bool HypervisorConformance::becomes_whole() {
  return world_->wait(absl::Minutes(1), [&] {
    return b_.memory_of(vm_) == Memory::whole && a_.memory_of(vm_) == Memory::whole;
  });
}

TEST_P(HypervisorConformance, AGuestExecutesAtItsTargetWhileItsMemoryFollows) {
  move_by_post_copy();
  if (HasFatalFailure()) return;
  EXPECT_TRUE(b_.executes(vm_));
  EXPECT_EQ(a_.resume(vm_, 3).code(), absl::StatusCode::kFailedPrecondition) << "it is needed";
  EXPECT_FALSE(a_.executes(vm_));
  EXPECT_TRUE(becomes_whole());
  ASSERT_TRUE(world_->wait(absl::Seconds(5), [&] { return told_.back().percent == 100; }));
  for (std::size_t i = 1; i < told_.size(); ++i) EXPECT_GE(told_[i].percent, told_[i - 1].percent);
  ASSERT_EQ(a_.destroy(vm_), absl::OkStatus());
  EXPECT_TRUE(b_.executes(vm_));
  EXPECT_TRUE(world_->memory_intact(vm_));
}

TEST_P(HypervisorConformance, WhatFollowsGoesOnOverAnotherStreamWhenItsOwnIsLost) {
  move_by_post_copy();
  if (HasFatalFailure()) return;
  std::set<std::string> looked;
  a_.host().watch([&](const std::string& vm) { looked.insert("a " + vm); });
  b_.host().watch([&](const std::string& vm) { looked.insert("b " + vm); });
  for (int times = 0; times < 2; ++times) {
    world_->cut_streams();
    EXPECT_TRUE(world_->wait(absl::Seconds(20), [&] {
      return b_.memory_of(vm_) == Memory::waiting || a_.memory_of(vm_) == Memory::broken;
    }));
    EXPECT_TRUE(world_->wait(absl::Seconds(20), [&] {
      return b_.memory_of(vm_) == Memory::following && a_.memory_of(vm_) == Memory::needed;
    }));
  }
  EXPECT_EQ(looked, (std::set<std::string>{"a " + vm_, "b " + vm_}));
  EXPECT_TRUE(b_.executes(vm_));
  EXPECT_TRUE(becomes_whole());
  EXPECT_TRUE(world_->memory_intact(vm_));
  EXPECT_TRUE(b_.executes(vm_));
}

TEST_P(HypervisorConformance, WhatFollowsIsLostWithItsSource) {
  move_by_post_copy();
  if (HasFatalFailure()) return;
  ASSERT_EQ(a_.destroy(vm_), absl::OkStatus());
  EXPECT_TRUE(world_->wait(absl::Minutes(1), [&] { return b_.memory_of(vm_) == Memory::lost; }));
  EXPECT_FALSE(b_.status(vm_)->memory_why.empty());
  EXPECT_EQ(b_.resume(vm_, 3).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(b_.destroy(vm_), absl::OkStatus());
}

TEST_P(HypervisorConformance, ASourceThatIsNeededIsLostWhenItsTargetIs) {
  arrive_by_post_copy();
  if (HasFatalFailure()) return;
  ASSERT_EQ(b_.destroy(vm_), absl::OkStatus());
  EXPECT_TRUE(world_->wait(absl::Minutes(1), [&] { return a_.memory_of(vm_) == Memory::lost; }));
  EXPECT_EQ(a_.resume(vm_, 2).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(a_.destroy(vm_), absl::OkStatus());
}

TEST_P(HypervisorConformance, APostCopyThatIsStoppedLeavesNothingThatCouldGoOn) {
  arrive_by_post_copy();
  if (HasFatalFailure()) return;
  EXPECT_EQ(a_.stop_send(vm_), absl::OkStatus());
  EXPECT_EQ(a_.memory_of(vm_), Memory::lost);
  EXPECT_EQ(a_.resume(vm_, 2).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(HypervisorConformance, MemoryFollowsOnUnderTheNextDaemons) {
  move_by_post_copy();
  if (HasFatalFailure()) return;
  world_->restart_daemon(0);
  world_->restart_daemon(1);
  EXPECT_TRUE(world_->wait(absl::Seconds(10), [&] {
    return b_.memory_of(vm_) == Memory::following && a_.memory_of(vm_) == Memory::needed;
  }));
  EXPECT_TRUE(becomes_whole());
  EXPECT_TRUE(b_.executes(vm_));
  EXPECT_TRUE(world_->memory_intact(vm_));
}

}  // namespace supercloud
