#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actors/network/manager.h"
#include "actors/network/simulated/fabric.h"
#include "bus/simulated/simulated_bus.h"
#include "core/node.h"
#include "core/virtual_scheduler.h"
#include "storage/simulated/memory_event_log.h"
#include "storage/simulated/memory_lease_table.h"

namespace supercloud {
namespace {

using Which = schema::Payload::Which;

// Publishes what a test says, and remembers what it hears.
class Scribe final : public Actor {
 public:
  Scribe(Context& context, std::vector<Event>& heard) : context_(context), heard_(heard) {
    context_.subscribe(Pattern::of("network.>"));
  }
  void receive(const Event& event) override { heard_.push_back(event); }
  Context& context() { return context_; }

 private:
  Context& context_;
  std::vector<Event>& heard_;
};

struct Machine {
  std::string name;
  MemoryLogDisk disk;
  std::vector<Event> heard;
  std::unique_ptr<FabricHost> host;
  std::unique_ptr<SimulatedFabric> fabric;
  std::unique_ptr<MemoryEventLog> log;
  std::unique_ptr<SimulatedBus> bus;
  std::unique_ptr<Node> node;
  Scribe* scribe = nullptr;
  SessionId session;

  std::size_t heard_of(Which type) const {
    std::size_t count = 0;
    for (const Event& event : heard) count += event.type() == type ? 1 : 0;
    return count;
  }
  const Event* last(Which type) const {
    const Event* found = nullptr;
    for (const Event& event : heard) {
      if (event.type() == type) found = &event;
    }
    return found;
  }
  std::string owner(const std::string& address = "10.0.0.5") const {
    for (const AddressOwner& known : fabric->owners()) {
      if (known.address == address) return known.node;
    }
    return "";
  }
};

class NetworkManagerTest : public ::testing::Test {
 protected:
  NetworkManagerTest() : a_(machine("a")), b_(machine("b")) {
    a_.session = open_session("a");
    b_.session = open_session("b");
  }
  ~NetworkManagerTest() override {
    for (const auto& machine : machines_) {
      machine->node.reset();
      machine->heard.clear();
    }
  }

  void boot(bool manager = true) {
    for (const auto& machine : machines_) boot(*machine, manager);
    pass(absl::Seconds(2));
  }
  void boot(Machine& machine, bool manager = true) {
    machine.host = std::make_unique<FabricHost>(scheduler_, machine.name);
    start(machine, manager);
  }
  // The daemon; what the host keeps is still there.
  void start(Machine& machine, bool manager = true) {
    machine.fabric = std::make_unique<SimulatedFabric>(*machine.host);
    machine.log = std::make_unique<MemoryEventLog>(scheduler_, pool_, machine.disk);
    machine.bus = std::make_unique<SimulatedBus>(machine.name, network_, scheduler_, pool_);
    NodeOptions options;
    options.name = machine.name;
    machine.node =
        std::make_unique<Node>(NodeSeams{scheduler_, *machine.bus, *machine.log, pool_}, options);
    machine.node->spawn("scribe", [&machine](Context& context) {
      auto scribe = std::make_unique<Scribe>(context, machine.heard);
      machine.scribe = scribe.get();
      return scribe;
    });
    if (!manager) return;
    machine.node->spawn("network", [this, &machine](Context& context) {
      return std::make_unique<NetworkManager>(context, *machine.fabric, leases_);
    });
  }
  void crash(Machine& machine) {
    machine.node.reset();
    machine.bus.reset();
    machine.log.reset();
    machine.fabric.reset();
  }

  void pass(Duration span) { scheduler_.run_for(span); }

  void say(Machine& machine, Epoch epoch, const std::function<void(schema::Payload::Builder)>& fill,
           const EventId& migration = {}, const std::string& subject = "web1") {
    Draft draft = machine.scribe->context().draft(subject);
    fill(draft.payload());
    draft.epoch(epoch);
    if (!migration.empty()) draft.migration(migration);
    machine.scribe->context().publish(std::move(draft));
  }
  void say_resumed(Machine& by, Epoch epoch, const EventId& migration = {}) {
    say(
        by, epoch,
        [&](schema::Payload::Builder payload) {
          auto resumed = payload.initVmResumed();
          resumed.setNode(by.name);
          resumed.setAddress("10.0.0.5");
        },
        migration);
  }
  void say_paused(Machine& by, Epoch epoch) {
    say(by, epoch,
        [&](schema::Payload::Builder payload) { payload.initVmPaused().setNode(by.name); });
  }
  void say_accepted(Machine& by, const std::string& target, Epoch epoch) {
    say(
        by, epoch,
        [&](schema::Payload::Builder payload) {
          auto accepted = payload.initMigrationAccepted();
          accepted.setSource(by.name);
          accepted.setTarget(target);
        },
        migration_);
  }
  void say_joined(Machine& by) {
    say(
        by, 0,
        [&](schema::Payload::Builder payload) {
          auto joined = payload.initNodeJoined();
          joined.setNode(by.name);
          joined.setDataEndpoint("tunnel-" + by.name);
        },
        {}, by.name);
  }

  SessionId open_session(const std::string& node) {
    SessionId id;
    leases_.open_session({.node = node, .identity = node},
                         Reply<Session>(far_future, [&id](absl::StatusOr<Session> session) {
                           ASSERT_TRUE(session.ok()) << session.status();
                           id = session->id;
                         }));
    pass(absl::Milliseconds(10));
    return id;
  }
  void swap(Swap swap) {
    swap.swap_id = "swap" + std::to_string(++swaps_);
    std::optional<SwapResult> answer;
    leases_.swap(std::move(swap), Reply<SwapResult>(far_future, [&](absl::StatusOr<SwapResult> r) {
                   ASSERT_TRUE(r.ok()) << r.status();
                   answer = *r;
                 }));
    pass(absl::Milliseconds(10));
    ASSERT_TRUE(answer.has_value());
    EXPECT_TRUE(answer->won) << answer->why;
    if (answer->record.has_value()) revision_ = answer->record->revision;
  }
  void define(const Machine& at) {
    const auto spec = Message<schema::VmSpec>::build([](schema::VmSpec::Builder builder) {
      builder.setName("web1");
      builder.setAddress("10.0.0.5");
    });
    swap({.key = key_,
          .kind = SwapKind::DEFINE,
          .session = at.session,
          .in_sync = {at.name},
          .value = std::string(spec.bytes())});
  }
  void accept(const Machine& source, const Machine& target) {
    swap({.key = key_,
          .kind = SwapKind::ACCEPT,
          .session = source.session,
          .epoch = 1,
          .heir = Heir{target.name, migration_}});
  }
  void commit(const Machine& target) {
    swap({.key = key_,
          .kind = SwapKind::COMMIT,
          .session = target.session,
          .epoch = 1,
          .heir = Heir{target.name, migration_},
          .in_sync = {target.name}});
  }
  void remove(const Machine& holder, Epoch epoch) {
    swap({.key = key_,
          .kind = SwapKind::REMOVE,
          .session = holder.session,
          .epoch = epoch,
          .revision = revision_});
  }

  Machine& machine(const std::string& name) {
    machines_.push_back(std::make_unique<Machine>());
    machines_.back()->name = name;
    return *machines_.back();
  }

  static MemoryLeaseTableOptions long_sessions() {
    MemoryLeaseTableOptions options;
    options.table.ttl = absl::Hours(1);
    return options;
  }

  const std::string key_ = "vm/main/web1";
  const std::string vm_ = "main/web1";
  const EventId migration_{"a/policy", 1, 7};
  VirtualScheduler scheduler_;
  EventPool pool_;
  SimulatedNetwork network_{scheduler_, Random(1)};
  MemoryLeaseDisk lease_disk_;
  MemoryLeaseTable leases_{scheduler_, lease_disk_, long_sessions()};
  std::vector<std::unique_ptr<Machine>> machines_;
  Machine& a_;
  Machine& b_;
  int swaps_ = 0;
  std::uint64_t revision_ = 0;
};

TEST_F(NetworkManagerTest, AtItsStartItTeachesTheFabricWhatTheTableSays) {
  define(a_);
  boot();
  EXPECT_EQ(a_.owner(), "a");
  EXPECT_EQ(b_.owner(), "a");
  EXPECT_EQ(b_.heard_of(Which::NETWORK_SWITCHED), 0U);  // nothing was switched
}

TEST_F(NetworkManagerTest, EventsWaitUntilTheTableWasRead) {
  define(a_);
  leases_.set_outage(true);
  boot();
  say_resumed(a_, 9);
  pass(absl::Seconds(10));
  EXPECT_EQ(b_.owner(), "");
  leases_.set_outage(false);
  pass(absl::Seconds(2));
  EXPECT_EQ(b_.owner(), "a");
}

TEST_F(NetworkManagerTest, AnAcceptedMigrationToHereGetsItsPortAndIsTold) {
  define(a_);
  boot();
  accept(a_, b_);
  say_accepted(a_, "b", 1);
  pass(absl::Seconds(1));
  ASSERT_EQ(a_.heard_of(Which::NETWORK_PATH_READY), 1U);
  const Event& ready = *a_.last(Which::NETWORK_PATH_READY);
  EXPECT_EQ(text(ready.payload().getNetworkPathReady().getNode()), "b");
  EXPECT_EQ(ready.migration(), migration_);
  EXPECT_EQ(ready.epoch(), 1U);
  EXPECT_EQ(ready.subject(), "web1");
  EXPECT_TRUE(b_.fabric->open(vm_, 2).ok());
  pass(absl::Seconds(20));
  EXPECT_EQ(a_.heard_of(Which::NETWORK_PATH_READY), 1U);  // said once
}

TEST_F(NetworkManagerTest, AnAcceptedMigrationWhoseEventWasLostIsFoundInTheTable) {
  define(a_);
  boot();
  accept(a_, b_);
  pass(absl::Seconds(6));
  EXPECT_EQ(a_.heard_of(Which::NETWORK_PATH_READY), 1U);
}

TEST_F(NetworkManagerTest, AnAcceptanceThatTheTableDoesNotKnowIsNotBelieved) {
  define(a_);
  boot();
  say_accepted(a_, "b", 1);
  pass(absl::Seconds(6));
  EXPECT_EQ(a_.heard_of(Which::NETWORK_PATH_READY), 0U);
}

TEST_F(NetworkManagerTest, AResumedVmIsSwitchedOnEveryNodeAndEachSaysSo) {
  define(a_);
  boot();
  accept(a_, b_);
  commit(b_);
  say_resumed(b_, 2, migration_);
  pass(absl::Milliseconds(100));
  EXPECT_EQ(a_.owner(), "b");
  EXPECT_EQ(b_.owner(), "b");
  ASSERT_EQ(a_.heard_of(Which::NETWORK_SWITCHED), 2U);
  std::vector<std::string> by;
  for (const Event& event : a_.heard) {
    if (event.type() != Which::NETWORK_SWITCHED) continue;
    const auto switched = event.payload().getNetworkSwitched();
    by.emplace_back(text(switched.getBy()));
    EXPECT_EQ(text(switched.getNode()), "b");
    EXPECT_EQ(text(switched.getAddress()), "10.0.0.5");
    EXPECT_EQ(event.migration(), migration_);
    EXPECT_EQ(event.epoch(), 2U);
  }
  std::sort(by.begin(), by.end());
  EXPECT_EQ(by, (std::vector<std::string>{"a", "b"}));
  pass(absl::Seconds(20));
  EXPECT_EQ(a_.heard_of(Which::NETWORK_SWITCHED), 2U);
}

TEST_F(NetworkManagerTest, ASwitchWhoseEventWasLostIsFoundInTheTable) {
  define(a_);
  boot();
  accept(a_, b_);
  commit(b_);
  pass(absl::Seconds(6));
  EXPECT_EQ(a_.owner(), "b");
}

TEST_F(NetworkManagerTest, ALateEventOfAnEarlierEpochTurnsNothingBack) {
  define(a_);
  boot();
  accept(a_, b_);
  commit(b_);
  say_resumed(b_, 2);
  pass(absl::Seconds(1));
  say_resumed(a_, 1);
  pass(absl::Seconds(1));
  EXPECT_EQ(a_.owner(), "b");
  EXPECT_EQ(b_.owner(), "b");
}

TEST_F(NetworkManagerTest, WhatAnEventTaughtAndTheTableContradictsIsUnlearned) {
  define(a_);
  boot();
  say_resumed(b_, 9);  // nobody won that
  pass(absl::Milliseconds(100));
  EXPECT_EQ(a_.owner(), "b");
  pass(absl::Seconds(6));
  EXPECT_EQ(a_.owner(), "a");
  EXPECT_EQ(b_.owner(), "a");
}

TEST_F(NetworkManagerTest, AStartedVmIsFoundByItsLease) {
  boot();
  define(a_);
  say(a_, 1, [](schema::Payload::Builder payload) { payload.initVmStarted().setNode("a"); });
  pass(absl::Milliseconds(100));
  EXPECT_EQ(b_.owner(), "a");
}

TEST_F(NetworkManagerTest, ADefinedVmHasItsPortAtOnce) {
  boot();
  define(a_);
  say(a_, 1, [](schema::Payload::Builder payload) {
    auto defined = payload.initVmDefined();
    defined.setNode("a");
    defined.initSpec().setAddress("10.0.0.5");
  });
  pass(absl::Milliseconds(100));
  EXPECT_TRUE(a_.fabric->open(vm_, 1).ok());
  EXPECT_EQ(b_.fabric->open(vm_, 1).code(), absl::StatusCode::kNotFound);
}

TEST_F(NetworkManagerTest, ADestroyedVmIsForgottenAndItsNameMayBeUsedAgain) {
  define(a_);
  boot();
  accept(a_, b_);
  commit(b_);
  say_resumed(b_, 2);
  pass(absl::Seconds(1));
  swap({.key = key_,
        .kind = SwapKind::CLEAR_HEIR,
        .session = b_.session,
        .epoch = 2,
        .heir = Heir{"b", migration_}});
  remove(b_, 2);
  say(b_, 2, [](schema::Payload::Builder payload) { payload.initVmDestroyed().setNode("b"); });
  pass(absl::Milliseconds(100));
  EXPECT_EQ(a_.owner(), "");
  define(a_);
  say_resumed(a_, 1);
  pass(absl::Milliseconds(100));
  EXPECT_EQ(b_.owner(), "a");
}

TEST_F(NetworkManagerTest, ADestructionWhoseEventWasLostIsFoundInTheTable) {
  define(a_);
  boot();
  remove(a_, 1);
  pass(absl::Seconds(6));
  EXPECT_EQ(a_.owner(), "");
  EXPECT_EQ(b_.owner(), "");
}

TEST_F(NetworkManagerTest, ThePortOfAVmThatMovedAwayIsRemovedOnceItIsClosed) {
  define(a_);
  boot();
  ASSERT_TRUE(a_.fabric->open(vm_, 1).ok());
  accept(a_, b_);
  commit(b_);
  pass(absl::Seconds(12));
  EXPECT_TRUE(a_.fabric->port(vm_).has_value());  // the executor's to close
  a_.fabric->close(vm_);
  pass(absl::Seconds(12));
  EXPECT_EQ(a_.fabric->open(vm_, 3).code(), absl::StatusCode::kNotFound);
}

TEST_F(NetworkManagerTest, BlackoutIsMeasuredWhereTheGuestRunsNow) {
  define(a_);
  boot();
  ASSERT_TRUE(a_.fabric->open(vm_, 1).ok());
  ASSERT_TRUE(a_.host->transmit(vm_, 1));
  a_.fabric->close(vm_);
  pass(absl::Milliseconds(250));
  ASSERT_TRUE(a_.fabric->open(vm_, 2).ok());
  say_resumed(a_, 2);
  pass(absl::Milliseconds(50));
  ASSERT_TRUE(a_.host->transmit(vm_, 2));
  pass(absl::Seconds(1));
  ASSERT_EQ(b_.heard_of(Which::NETWORK_BLACKOUT_MEASURED), 1U);
  const auto measured =
      b_.last(Which::NETWORK_BLACKOUT_MEASURED)->payload().getNetworkBlackoutMeasured();
  EXPECT_EQ(text(measured.getNode()), "a");
  EXPECT_DOUBLE_EQ(measured.getMilliseconds(), 300.0);
}

TEST_F(NetworkManagerTest, BlackoutOfAMoveCountsFromTheSourcesPause) {
  define(a_);
  boot();
  accept(a_, b_);
  say_accepted(a_, "b", 1);
  pass(absl::Seconds(1));
  say_paused(a_, 1);
  pass(absl::Milliseconds(80));
  commit(b_);
  ASSERT_TRUE(b_.fabric->open(vm_, 2).ok());
  say_resumed(b_, 2, migration_);
  pass(absl::Milliseconds(10));
  ASSERT_TRUE(b_.host->transmit(vm_, 2));
  pass(absl::Seconds(1));
  ASSERT_EQ(a_.heard_of(Which::NETWORK_BLACKOUT_MEASURED), 1U);
  const Event& event = *a_.last(Which::NETWORK_BLACKOUT_MEASURED);
  EXPECT_EQ(event.migration(), migration_);
  EXPECT_NEAR(event.payload().getNetworkBlackoutMeasured().getMilliseconds(), 100.0, 1.0);
}

TEST_F(NetworkManagerTest, AGuestThatStaysSilentIsNotWaitedForWithoutEnd) {
  define(a_);
  boot();
  say_resumed(a_, 2);
  pass(absl::Minutes(2));
  EXPECT_EQ(b_.heard_of(Which::NETWORK_BLACKOUT_MEASURED), 0U);
}

TEST_F(NetworkManagerTest, ANodeThatJoinsBringsTheEndpointOfItsTunnel) {
  define(a_);
  boot();
  say_joined(a_);
  pass(absl::Seconds(1));
  ASSERT_EQ(b_.fabric->owners().size(), 1U);
  EXPECT_EQ(b_.fabric->owners()[0].endpoint, "tunnel-a");
  pass(absl::Seconds(20));
  EXPECT_EQ(b_.fabric->owners()[0].endpoint, "tunnel-a");
}

TEST_F(NetworkManagerTest, ARestartKeepsPortsAndOwnersAndSaysPathReadyAgain) {
  define(a_);
  boot();
  say_joined(a_);
  accept(a_, b_);
  say_accepted(a_, "b", 1);
  pass(absl::Seconds(1));
  ASSERT_TRUE(b_.fabric->open(vm_, 2).ok());
  b_.node->fail_actor("network", absl::InternalError("a test says so"));
  pass(absl::Seconds(12));
  EXPECT_EQ(b_.fabric->port(vm_), std::optional<Epoch>(2));
  EXPECT_EQ(a_.heard_of(Which::NETWORK_PATH_READY), 2U);
  ASSERT_EQ(b_.fabric->owners().size(), 1U);
  EXPECT_EQ(b_.fabric->owners()[0].endpoint, "tunnel-a");
}

TEST_F(NetworkManagerTest, ARebootedHostIsTaughtAgainByTheTable) {
  define(a_);
  boot();
  accept(a_, b_);
  commit(b_);
  crash(a_);
  a_.heard.clear();
  pass(absl::Seconds(5));
  boot(a_);
  pass(absl::Seconds(1));
  EXPECT_EQ(a_.owner(), "b");
}

}  // namespace
}  // namespace supercloud
