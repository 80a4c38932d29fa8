#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "hypercall/transfer_protocol.h"
#include "tests/hypercall/simulated_world.h"

namespace supercloud {
namespace {

using State = GuestStatus::State;

INSTANTIATE_TEST_SUITE_P(Simulated, HypervisorConformance,
                         ::testing::Values(HypervisorWorldFactory{
                             "simulated", [] { return std::make_unique<SimulatedWorld>(); }}),
                         [](const auto& world) { return world.param.name; });

class SimulatedHypervisorTest : public ::testing::Test {
 protected:
  void start_guest(const Message<schema::VmSpec>& spec = test_vm()) {
    ASSERT_TRUE(a_.create(spec, 1).ok());
    ASSERT_TRUE(a_.start(vm_, 1).ok());
  }
  void pass(Duration span) { world_.scheduler.run_for(span); }
  // Of so many MiB, that writes 3000 pages a second: ready to be sent over a way of so many MiB a second.
  TransferOptions prepare_busy_guest(std::uint64_t mebibytes, std::uint64_t mebibytes_per_second) {
    const auto busy = Message<schema::VmSpec>::build([&](schema::VmSpec::Builder spec) {
      spec.setName("web1");
      spec.setMemoryBytes(mebibytes << 20U);
      spec.setDirtyPagesPerSecond(3000);
    });
    start_guest(busy);
    EXPECT_TRUE(b_.prepare(busy, test_migration(), 1).ok());
    TransferOptions options;
    options.migration = test_migration();
    options.endpoint = world_.endpoint(1);
    options.bytes_per_second_max = mebibytes_per_second << 20U;
    return options;
  }

  SimulatedWorld world_;
  HostCalls a_{world_, 0};
  HostCalls b_{world_, 1};
  const std::string vm_ = "main/web1";
};

// ---- keeper (rule 7) ----------------------------------------------------------------------------

TEST_F(SimulatedHypervisorTest, AResumeThatTakesEffectAfterTheDeadlineFindsItsKeeperAndDoesNotRun) {
  ASSERT_TRUE(a_.create(test_vm(), 1).ok());
  world_.serve_disk(vm_, 1);
  a_.host().arm(vm_, world_.now() + absl::Seconds(2));
  world_.faults["resume"] = {.delay = absl::Seconds(5)};
  EXPECT_EQ(a_.resume(vm_, 1).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(world_.first_instructions.empty());
}

TEST_F(SimulatedHypervisorTest, AResumeWhoseAnswerIsLostRunsTheGuestUnderItsKeeper) {
  ASSERT_TRUE(a_.create(test_vm(), 1).ok());
  world_.serve_disk(vm_, 1);
  a_.host().arm(vm_, world_.now() + absl::Seconds(30));
  world_.faults["resume"] = {.delay = absl::Seconds(1), .answer_lost = true};
  EXPECT_EQ(a_.resume(vm_, 1).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(a_.status(vm_)->state, State::running);
  pass(absl::Seconds(30));
  EXPECT_EQ(a_.status(vm_)->state, State::frozen);
}

TEST_F(SimulatedHypervisorTest, AFreezeBeatsAResumeThatStillHangs) {
  start_guest();
  ASSERT_TRUE(a_.pause(vm_).ok());
  world_.faults["resume"] = {.delay = absl::Seconds(5)};
  a_.host().arm(vm_, world_.now() + absl::Seconds(1));
  a_.host().resume(vm_, 2, Reply<Done>());
  pass(absl::Seconds(3));
  // The session came back while the call still hangs: it was given before the freeze and has no effect any more.
  world_.serve_disk(vm_, 2);
  a_.host().arm(vm_, world_.now() + absl::Seconds(10));
  pass(absl::Seconds(3));
  EXPECT_EQ(a_.status(vm_)->state, State::stopped);
  EXPECT_TRUE(a_.resume(vm_, 2).ok());
  EXPECT_EQ(a_.status(vm_)->state, State::running);
}

TEST_F(SimulatedHypervisorTest, NoGuestExecutesLongerAfterItsDeadlineThanStoppingMayTake) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SimulatedWorld world(seed);
    HostCalls a{world, 0};
    ASSERT_TRUE(a.create(test_vm(), 1).ok());
    ASSERT_TRUE(a.start(vm_, 1).ok());
    const Instant deadline = world.now() + absl::Milliseconds(100 + 7 * seed);
    a.host().arm(vm_, deadline);
    world.scheduler.run_for(absl::Seconds(3));
    EXPECT_LE(world.last_execution[vm_], deadline + world.stop_time()) << "seed " << seed;
    EXPECT_GT(world.last_execution[vm_], deadline - absl::Milliseconds(100)) << "seed " << seed;
  }
}

TEST_F(SimulatedHypervisorTest, AHostWithoutAKeeperRunsOnForTheCheckersToSee) {
  SimulatedHostOptions broken;
  broken.keeper = false;
  SimulatedWorld world(1, broken);
  HostCalls a{world, 0};
  ASSERT_TRUE(a.create(test_vm(), 1).ok());
  world.serve_disk(vm_, 1);
  ASSERT_TRUE(a.resume(vm_, 1).ok());
  a.host().arm(vm_, world.now() + absl::Milliseconds(10));
  world.scheduler.run_for(absl::Seconds(2));
  EXPECT_TRUE(a.executes(vm_));
}

// ---- calls --------------------------------------------------------------------------------------

TEST_F(SimulatedHypervisorTest, AFailedCallHasNoEffect) {
  world_.faults["create"] = {.error = absl::InternalError("libxl said no")};
  EXPECT_EQ(a_.create(test_vm(), 1).code(), absl::StatusCode::kInternal);
  EXPECT_FALSE(a_.status(vm_).has_value());
}

TEST_F(SimulatedHypervisorTest, CallsForOneVmTakeEffectInTheirOrderHoweverSlowOneIs) {
  start_guest();
  ASSERT_TRUE(a_.pause(vm_).ok());
  world_.serve_disk(vm_, 2);
  world_.faults["resume"] = {.delay = absl::Seconds(3)};
  a_.host().resume(vm_, 2, Reply<Done>());
  ASSERT_TRUE(a_.pause(vm_).ok());
  EXPECT_EQ(a_.status(vm_)->state, State::stopped);
  EXPECT_EQ(a_.status(vm_)->epoch, 2U);
  EXPECT_FALSE(a_.executes(vm_));
}

TEST_F(SimulatedHypervisorTest, ADaemonThatIsGoneHearsNothingOfItsCallsAndTheyTakeEffect) {
  int answers = 0;
  a_.host().create(test_vm(), 1, Reply<Done>(far_future, [&](absl::StatusOr<Done>) { ++answers; }));
  world_.restart_daemon(0);
  pass(absl::Seconds(1));
  EXPECT_EQ(answers, 0);
  EXPECT_TRUE(a_.status(vm_).has_value());
}

TEST_F(SimulatedHypervisorTest, AGuestThatDiesIsGoneAndLookedAt) {
  start_guest();
  std::vector<std::string> looks;
  a_.host().watch([&](const std::string& vm) { looks.push_back(vm); });
  world_.simulated(0).kill_guest(vm_);
  EXPECT_TRUE(looks.empty());  // never from inside
  pass(absl::Milliseconds(1));
  EXPECT_EQ(looks, std::vector<std::string>{vm_});
  EXPECT_FALSE(a_.status(vm_).has_value());
}

// ---- disk ---------------------------------------------------------------------------------------

TEST_F(SimulatedHypervisorTest, EveryAcknowledgedWriteIsOnTheDiskWithItsNumber) {
  start_guest();
  pass(absl::Seconds(10));
  ASSERT_TRUE(a_.pause(vm_).ok());
  const GuestProbe probe = *world_.probe(0, vm_);
  EXPECT_EQ(probe.requests_in_flight, 0U);
  EXPECT_NEAR(static_cast<double>(probe.writes_acked), 500.0, 20.0);
  EXPECT_EQ(probe.writes_acked, probe.writes_issued);
  EXPECT_GT(probe.writes_flushed, probe.writes_acked - 20);
  for (std::uint64_t number = 1; number <= probe.writes_acked; ++number) {
    EXPECT_EQ(world_.devices.block(vm_, number % 4096), 1ULL << write_number_bits | number);
  }
}

TEST_F(SimulatedHypervisorTest, ADiskErrorNeverReachesTheGuest) {
  start_guest();
  world_.devices.fail_next(7);
  pass(absl::Seconds(5));
  ASSERT_TRUE(a_.pause(vm_).ok());
  EXPECT_EQ(world_.probe(0, vm_)->writes_acked, world_.probe(0, vm_)->writes_issued);
}

TEST_F(SimulatedHypervisorTest, RequestsWhoseServerWasLostAreSentAgain) {
  start_guest();
  world_.devices.drop_next(30);
  pass(absl::Seconds(10));
  ASSERT_TRUE(a_.pause(vm_).ok());
  const GuestProbe probe = *world_.probe(0, vm_);
  EXPECT_EQ(probe.writes_acked, probe.writes_issued);
  EXPECT_GT(probe.writes_acked, 400U);
  EXPECT_EQ(world_.devices.highest_acked(vm_, 1), probe.writes_acked);
}

TEST_F(SimulatedHypervisorTest, OneBlockHasOneWriteUnderWayAndEndsWithTheLastValue) {
  const auto tiny = Message<schema::VmSpec>::build([](schema::VmSpec::Builder spec) {
    spec.setName("web1");
    spec.setMemoryBytes(1 << 20);
    spec.setDiskBytes(4096);
    spec.setWritesPerSecond(200);
  });
  start_guest(tiny);
  world_.devices.drop_next(50);
  pass(absl::Seconds(20));
  ASSERT_TRUE(a_.pause(vm_).ok());
  const GuestProbe probe = *world_.probe(0, vm_);
  EXPECT_EQ(world_.devices.block(vm_, 0), 1ULL << write_number_bits | probe.writes_acked);
}

TEST_F(SimulatedHypervisorTest, WhoHasNoDiskWritesNothingAndCanBePaused) {
  start_guest(Message<schema::VmSpec>::build([](schema::VmSpec::Builder spec) {
    spec.setName("web1");
    spec.setMemoryBytes(1 << 20);
    spec.setWritesPerSecond(200);
  }));
  pass(absl::Seconds(1));
  ASSERT_TRUE(a_.pause(vm_).ok());
  EXPECT_EQ(world_.probe(0, vm_)->writes_issued, 0U);
}

TEST_F(SimulatedHypervisorTest, RequestsThatAFenceHasCutOffAreSentAgainAtTheNewEpoch) {
  start_guest();
  world_.hold_disk(true);
  pass(absl::Milliseconds(100));
  a_.host().arm(vm_, world_.now());
  pass(absl::Seconds(1));
  EXPECT_GT(world_.probe(0, vm_)->requests_in_flight, 0U);
  world_.hold_disk(false);  // what is answered now finds a frozen guest
  pass(absl::Seconds(1));
  EXPECT_GT(world_.probe(0, vm_)->requests_in_flight, 0U);
  ASSERT_TRUE(a_.start(vm_, 2).ok());
  pass(absl::Seconds(1));
  ASSERT_TRUE(a_.pause(vm_).ok());
  const GuestProbe probe = *world_.probe(0, vm_);
  EXPECT_EQ(probe.writes_acked, probe.writes_issued);
  EXPECT_EQ(world_.devices.highest_acked(vm_, 1), probe.writes_acked);
  EXPECT_TRUE(probe.memory_intact);
}

TEST_F(SimulatedHypervisorTest, ADestroyedCopyDropsItsHeldRequests) {
  start_guest();
  world_.hold_disk(true);
  pass(absl::Milliseconds(200));
  ASSERT_TRUE(a_.destroy(vm_).ok());
  world_.hold_disk(false);
  pass(absl::Seconds(1));
  EXPECT_FALSE(a_.status(vm_).has_value());
}

// ---- pre-copy -----------------------------------------------------------------------------------

TEST_F(SimulatedHypervisorTest, ProgressIsMonotonicWithAnEtaRangeAndEndsAtOneHundredPercent) {
  start_guest(test_vm("web1", 8ULL << 30));  // 8 s at 1 GiB/s
  ASSERT_TRUE(b_.prepare(test_vm("web1", 8ULL << 30), test_migration(), 1).ok());
  std::vector<TransferProgress> seen;
  TransferOptions options;
  options.migration = test_migration();
  options.endpoint = world_.endpoint(1);
  options.blackout_budget = absl::Milliseconds(20);
  ASSERT_TRUE(status_of<TransferProgress>(
                  world_,
                  [&](Reply<TransferProgress> r) {
                    a_.host().send(
                        vm_, options, [&](const TransferProgress& p) { seen.push_back(p); },
                        std::move(r));
                  },
                  absl::Minutes(5))
                  .ok());
  ASSERT_TRUE(a_.pause(vm_).ok());
  ASSERT_TRUE(a_.finish_send(vm_).ok());
  ASSERT_GE(seen.size(), 8U);  // about once a second
  for (std::size_t i = 0; i < seen.size(); ++i) {
    EXPECT_LE(seen[i].eta_low, seen[i].eta_high);
    EXPECT_EQ(seen[i].bytes_per_second, 1ULL << 30);
    if (i == 0) continue;
    EXPECT_GE(seen[i].percent, seen[i - 1].percent);
    EXPECT_GE(seen[i].pass, seen[i - 1].pass);
    EXPECT_GE(seen[i].sent_bytes, seen[i - 1].sent_bytes);
  }
  EXPECT_EQ(seen.back().percent, 100U);
  EXPECT_EQ(seen.back().remaining_bytes, 0U);
  EXPECT_GE(seen.back().sent_bytes, 8ULL << 30);
}

TEST_F(SimulatedHypervisorTest, SendingTakesTheTimeThatMemoryAndBandwidthGive) {
  start_guest(test_vm("web1", 4ULL << 30));
  ASSERT_TRUE(b_.prepare(test_vm("web1", 4ULL << 30), test_migration(), 1).ok());
  const Instant begun = world_.now();
  ASSERT_TRUE(a_.send(vm_, test_migration(), world_.endpoint(1)).ok());
  const Duration taken = world_.now() - begun;
  EXPECT_GE(taken, absl::Seconds(4));
  EXPECT_LE(taken, absl::Seconds(5));
}

TEST_F(SimulatedHypervisorTest, StreamsOfOneHostShareItsLink) {
  std::array<std::optional<absl::StatusOr<TransferProgress>>, 2> converged;
  for (std::size_t i = 0; i < converged.size(); ++i) {
    const std::string name = i == 0 ? "web1" : "web2";
    ASSERT_TRUE(a_.create(test_vm(name, 4ULL << 30), 1).ok());
    ASSERT_TRUE(a_.start("main/" + name, 1).ok());
    ASSERT_TRUE(b_.prepare(test_vm(name, 4ULL << 30), test_migration(i + 1), 1).ok());
    TransferOptions options;
    options.migration = test_migration(i + 1);
    options.endpoint = world_.endpoint(1);
    a_.host().send("main/" + name, options, nullptr,
                   Reply<TransferProgress>(world_.now() + absl::Minutes(1), [&, i](auto answer) {
                     converged[i] = std::move(answer);
                   }));
  }
  pass(absl::Seconds(7));
  EXPECT_FALSE(converged[0] || converged[1]) << "each alone takes 4 s";
  pass(absl::Seconds(2));
  for (const auto& answer : converged) {
    ASSERT_TRUE(answer && answer->ok());
    EXPECT_EQ((*answer)->bytes_per_second, 1ULL << 29);
  }
}

TEST_F(SimulatedHypervisorTest, AGuestThatDirtiesFasterThanTheLinkCountsAsConvergedAfterItsPasses) {
  TransferOptions options = prepare_busy_guest(1, 1);
  options.blackout_budget = absl::Milliseconds(10);
  options.passes_max = 5;
  const auto converged = answer_of<TransferProgress>(world_, absl::Minutes(1), [&](auto reply) {
    a_.host().send(vm_, options, nullptr, std::move(reply));
  });
  ASSERT_TRUE(converged.has_value() && converged->ok());
  EXPECT_EQ((*converged)->pass, 5U);
  EXPECT_TRUE((*converged)->converged);
  ASSERT_TRUE(a_.pause(vm_).ok());
  ASSERT_TRUE(a_.finish_send(vm_).ok());
  ASSERT_TRUE(b_.start(vm_, 2).ok());
  EXPECT_TRUE(world_.memory_intact(vm_));
}

TEST_F(SimulatedHypervisorTest,
       AGuestThatWritesFasterThanTheWayCarriesConvergesWhenItIsSlowedDown) {
  TransferOptions options = prepare_busy_guest(16, 4);
  options.blackout_budget = absl::Milliseconds(300);
  options.passes_max = TransferOptions::passes_unlimited;
  std::optional<TransferProgress> last;
  std::optional<absl::StatusOr<TransferProgress>> converged;
  a_.host().send(vm_, options, [&](const TransferProgress& progress) { last = progress; },
                 {far_future, [&](auto answer) { converged = std::move(answer); }});
  pass(absl::Minutes(1));
  ASSERT_TRUE(last.has_value() && !converged);
  EXPECT_GT(last->dirty_pages_per_second, 2000U);
  a_.host().slow_down(vm_);
  a_.host().slow_down(vm_);
  pass(absl::Seconds(30));
  ASSERT_TRUE(converged.has_value() && converged->ok());
  EXPECT_LT((*converged)->dirty_pages_per_second, 1500U);
  ASSERT_TRUE(a_.stop_send(vm_).ok());
  pass(absl::Seconds(20));
  EXPECT_GT(a_.host().dirty_rate(vm_).pages_per_second, 2000U) << "and it is let go";
}

TEST_F(SimulatedHypervisorTest, ADaemonThatRestartsDuringASendAsksAgainAndFinishesIt) {
  start_guest();
  ASSERT_TRUE(b_.prepare(test_vm(), test_migration(), 1).ok());
  ASSERT_TRUE(a_.send(vm_, test_migration(), world_.endpoint(1)).ok());
  world_.restart_daemon(0);
  ASSERT_TRUE(a_.send(vm_, test_migration(), world_.endpoint(1)).ok());
  EXPECT_EQ(a_.send(vm_, test_migration(2), world_.endpoint(1)).code(),
            absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(a_.pause(vm_).ok());
  ASSERT_TRUE(a_.finish_send(vm_).ok());
  world_.restart_daemon(0);
  EXPECT_TRUE(a_.finish_send(vm_).ok());
  EXPECT_EQ(b_.status(vm_)->state, State::arrived);
}

TEST_F(SimulatedHypervisorTest, DrainingIsWhatKeepsMemoryWhole) {
  // A disk answer that comes after the last page was sent would be missing at the target: the host
  // refuses to finish before.
  start_guest();
  ASSERT_TRUE(b_.prepare(test_vm(), test_migration(), 1).ok());
  ASSERT_TRUE(a_.send(vm_, test_migration(), world_.endpoint(1)).ok());
  world_.hold_disk(true);
  pass(absl::Milliseconds(200));
  EXPECT_FALSE(a_.pause(vm_, absl::Milliseconds(500)).ok());
  EXPECT_EQ(a_.finish_send(vm_).code(), absl::StatusCode::kFailedPrecondition);
  world_.hold_disk(false);
  ASSERT_TRUE(a_.pause(vm_).ok());
  ASSERT_TRUE(a_.finish_send(vm_).ok());
  const std::uint64_t acked = world_.probe(0, vm_)->writes_acked;
  ASSERT_TRUE(b_.start(vm_, 2).ok());
  EXPECT_GE(world_.probe(1, vm_)->writes_acked, acked);
  EXPECT_TRUE(world_.memory_intact(vm_));
}

TEST_F(SimulatedHypervisorTest, TheGuestsOwnCheckFindsAPageThatAMoveHasLost) {
  GuestMemory memory(16);
  memory.write(3, 33);
  memory.write(5, 55);
  EXPECT_EQ(memory.compute_checksum(), memory.checksum());
  memory.load(5, 54);
  EXPECT_NE(memory.compute_checksum(), memory.checksum());
}

TEST_F(SimulatedHypervisorTest, GarbageOnThePagesServiceHarmsNoCopy) {
  ASSERT_TRUE(b_.prepare(test_vm(), test_migration(), 1).ok());
  auto stranger = world_.hub.network("stranger", world_.scheduler);
  Random random(7);
  for (int i = 0; i < 100; ++i) {
    auto link = stranger->connect(world_.endpoint(1), "pages");
    std::string bytes;
    const std::uint64_t size = random.below(40);
    for (std::uint64_t n = 0; n < size; ++n) bytes.push_back(static_cast<char>(random.below(256)));
    link->send(bytes);
    pass(absl::Milliseconds(20));
  }
  EXPECT_EQ(b_.status(vm_)->state, State::incoming);
  // Silent connections do not crowd out the real one for long.
  std::vector<std::unique_ptr<Link>> silent;
  for (int i = 0; i < 200; ++i) silent.push_back(stranger->connect(world_.endpoint(1), "pages"));
  pass(absl::Seconds(6));
  start_guest();
  EXPECT_TRUE(a_.send(vm_, test_migration(), world_.endpoint(1)).ok());
}

// ---- the way to another host --------------------------------------------------------------------

TEST_F(SimulatedHypervisorTest, WhatAWayCarriesIsToldOnlyIfThatIsAskedFor) {
  for (const bool measure : {false, true}) {
    std::optional<absl::StatusOr<Way>> told;
    a_.host().try_way(world_.endpoint(1), measure,
                      Reply<Way>(far_future, [&](absl::StatusOr<Way> way) { told = way; }));
    pass(absl::Milliseconds(500));
    ASSERT_TRUE(told && told->ok());
    EXPECT_EQ((*told)->bytes_per_second > 0, measure);
  }
}

TEST_F(SimulatedHypervisorTest, AWayWhoseOtherEndSaysNothingIsNotKnownAndNotKeptOpen) {
  auto silent = world_.hub.network("silent", world_.scheduler);
  std::vector<std::unique_ptr<Link>> links;
  bool closed = false;
  ASSERT_TRUE(silent
                  ->listen("pages",
                           [&](std::unique_ptr<Link> link) {
                             link->set_handler(
                                 {.on_frame = [](const std::string&) {},
                                  .on_closed = [&](const absl::Status&) { closed = true; }});
                             links.push_back(std::move(link));
                           })
                  .ok());
  std::optional<absl::StatusOr<Way>> told;
  a_.host().try_way(silent->endpoint(), true,
                    Reply<Way>(far_future, [&](absl::StatusOr<Way> way) { told = way; }));
  pass(absl::Seconds(3));
  ASSERT_TRUE(told.has_value());
  EXPECT_TRUE(absl::IsDeadlineExceeded(told->status())) << told->status();
  EXPECT_EQ(links.size(), 1U);
  EXPECT_TRUE(closed);
}

TEST_F(SimulatedHypervisorTest, WhoTriesTheWayAndDoesNotCloseItKeepsNobodyOut) {
  ASSERT_TRUE(b_.prepare(test_vm(), test_migration(), 1).ok());
  start_guest();
  auto stranger = world_.hub.network("stranger", world_.scheduler);
  std::vector<std::unique_ptr<Link>> open;
  for (int i = 0; i < 200; ++i) {
    open.push_back(stranger->connect(world_.endpoint(1), "pages"));
    open.back()->send(transfer::encode(transfer::Probe{}));
    pass(absl::Milliseconds(20));
  }
  EXPECT_TRUE(a_.send(vm_, test_migration(), world_.endpoint(1)).ok());
}

}  // namespace
}  // namespace supercloud
