// Which losses are judged: all that the subscriber can know of, and no others.
#include "simulation/deliveries.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/virtual_scheduler.h"

namespace supercloud {
namespace {

class Owner final : public BusReceiver {
 public:
  void on_event(Event) override {}
  void on_gap(const BusGap&) override {}  // announces nothing
  void on_request(std::string, std::string, Reply<std::string>) override {}
  void on_rejected(std::string, std::string) override {}
  void on_peer(std::string, bool) override {}
};

class DeliveriesTest : public testing::Test {
 protected:
  struct Process {
    Process(DeliveriesTest& test, const std::string& name, const OriginBook& log)
        : bus(name, test.network, test.scheduler, test.pool, test.options),
          watched(test.deliveries, bus, bus, log) {
      watched.start(owner, {});
    }
    Owner owner;
    SimulatedBus bus;
    WatchedBus watched;
  };

  // The publisher lives and is followed by node b under "vm.", which has been given its first event.
  void SetUp() override {
    a = std::make_unique<Process>(*this, "a", a_log);
    b = std::make_unique<Process>(*this, "b", b_log);
    b->watched.subscribe("vm.", Reply<Done>());
    b->watched.subscribe("migration.", Reply<Done>());
    scheduler.run_for(absl::Seconds(2));
    publish(true);
    scheduler.run_for(absl::Seconds(1));
  }

  Event publish(bool logged, bool progress = false) {
    Draft draft = pool.draft("web1");
    if (progress) {
      draft.payload().initMigrationProgress();
    } else {
      draft.payload().initVmDirtyRate();
    }
    if (!draft.set_topic().ok()) std::abort();
    Envelope envelope;
    envelope.origin = "a/executor";
    envelope.incarnation = 1;
    envelope.previous[0] = sequence;
    envelope.sequence = ++sequence;
    std::uint64_t& tail = progress ? progress_tail : vm_tail;
    for (int i = 1; i < 4; ++i) envelope.previous[i] = tail;
    tail = sequence;
    const Event event = *std::move(draft).seal(envelope);
    if (logged) a_log.add(event);
    a->watched.publish(event);
    return event;
  }
  // Of a node's own, the first of its process.
  void say(Process& process, const std::string& node,
           const std::function<void(schema::Payload::Builder)>& fill) {
    Draft draft = pool.draft(node);
    fill(draft.payload());
    if (!draft.set_topic().ok()) std::abort();
    const std::string origin = node + "/node";
    Envelope envelope;
    envelope.origin = origin;
    envelope.incarnation = 1;
    envelope.sequence = 1;
    process.watched.publish(*std::move(draft).seal(envelope));
  }
  void lose(bool logged, bool progress = false) {
    network.block("a", "b");
    publish(logged, progress);
    network.heal();
  }
  void restart() {
    a.reset();
    scheduler.run_for(absl::Seconds(1));
    a = std::make_unique<Process>(*this, "a", a_log);
    scheduler.run_for(absl::Seconds(2));
  }
  // How many events b lacks, as is said.
  std::size_t lacking() const {
    constexpr std::string_view lead = "b lacks ";
    std::size_t count = 0;
    deliveries.judge(scheduler.now(), [&](const std::string& what) {
      if (what.starts_with(lead)) count += std::stoul(what.substr(lead.size()));
    });
    return count;
  }

  bool says(std::string_view what) const {
    bool said = false;
    deliveries.judge(scheduler.now(), [&](const std::string& each) {
      said = said || each.find(what) != std::string::npos;
    });
    return said;
  }

  SimulatedBusOptions options{.high_water_mark = 2};
  VirtualScheduler scheduler;
  SimulatedNetwork network{scheduler, Random(7)};
  EventPool pool;
  Deliveries deliveries{scheduler};
  OriginBook a_log;
  OriginBook b_log;
  std::uint64_t sequence = 0;
  std::uint64_t vm_tail = 0;
  std::uint64_t progress_tail = 0;
  std::unique_ptr<Process> a;
  std::unique_ptr<Process> b;
};

TEST_F(DeliveriesTest, what_a_live_process_sent_is_judged) {
  EXPECT_EQ(lacking(), 0);
  lose(false);
  scheduler.run_for(absl::Seconds(1));
  EXPECT_EQ(lacking(), 1);
}

TEST_F(DeliveriesTest, what_a_process_sent_that_ended_is_judged_once_its_log_can_tell) {
  lose(true);
  a.reset();
  scheduler.run_for(absl::Seconds(1));
  EXPECT_EQ(lacking(), 0) << "nobody can tell yet";
  restart();
  EXPECT_EQ(lacking(), 1);
}

TEST_F(DeliveriesTest,
       a_volatile_event_that_was_the_last_of_a_process_under_its_subscription_is_not) {
  lose(false);
  lose(true, true);
  restart();
  EXPECT_EQ(lacking(), 1) << "the one that is logged, under another subscription";
}

TEST_F(DeliveriesTest,
       a_volatile_event_is_judged_where_the_log_has_a_later_one_under_its_subscription) {
  lose(false);
  lose(true);
  restart();
  EXPECT_EQ(lacking(), 2);
}

TEST_F(DeliveriesTest,
       of_an_incarnation_whose_log_is_lost_all_is_judged_where_something_was_heard) {
  lose(false);
  a_log = OriginBook();
  restart();
  EXPECT_EQ(lacking(), 1);
}

TEST_F(DeliveriesTest, a_publisher_tells_of_what_found_no_room_and_whose_queue_it_was) {
  network.set_taking("b", false);
  for (int i = 0; i < 5; ++i) {
    publish(true);
    scheduler.run_for(absl::Milliseconds(10));
  }
  scheduler.run_for(absl::Seconds(1));
  EXPECT_TRUE(says("a told of 0 of 3 events that found the queue of b full"));
  const std::uint64_t room = options.high_water_mark;
  const auto tell = [&](const char* whom) {
    say(*a, "a", [&](schema::Payload::Builder payload) {
      auto slow = payload.initBusSlowSubscriber();
      slow.setSubscriber(whom);
      slow.setBacklog(room + 3);
      slow.setDone("dropped: it gets them from the log, or is told");
    });
  };
  tell("b");
  EXPECT_FALSE(says("events that found the queue"));
  tell("c");
  EXPECT_TRUE(says("a told of 3 events that found the queue of c full, which they did not"));
}

TEST_F(DeliveriesTest, a_subscription_is_in_effect_where_its_publisher_serves_it) {
  EXPECT_FALSE(says("is not in effect"));
  network.half_open("a", "b", SimulatedNetwork::End::publisher);
  EXPECT_TRUE(says("the subscription of b to \"vm.\" is not in effect at a"));
}

TEST_F(DeliveriesTest, an_announced_gap_settles_it) {
  lose(true);
  restart();
  say(*b, "b", [](schema::Payload::Builder payload) {
    auto gap = payload.initBusGap();
    gap.setSubscriber("b");
    gap.setOrigin("a/executor");
    gap.setIncarnation(1);
    gap.setAfter(1);
    gap.setUpTo(BusGap::unknown);
  });
  EXPECT_EQ(lacking(), 0);
}

}  // namespace
}  // namespace supercloud
