// Subscribers that are slower than their publishers: over the live bus what a full queue does, over the simulated one all that follows.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <numeric>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "bus/simulated/simulated_bus.h"
#include "bus/zmq_bus.h"
#include "core/event_loop.h"
#include "core/virtual_scheduler.h"
#include "tests/bus/bus_world.h"
#include "tests/bus/test_keys.h"

namespace supercloud {
namespace {

std::vector<std::uint64_t> all_up_to(std::uint64_t last) {
  std::vector<std::uint64_t> numbers(last);
  std::iota(numbers.begin(), numbers.end(), 1);
  return numbers;
}

class FullQueue : public testing::TestWithParam<MakeBusWorld> {
 protected:
  std::unique_ptr<BusWorld> world_ = GetParam()();
};

TEST_P(FullQueue, is_told_to_its_publisher_and_what_did_not_fit_is_missed_in_a_gap) {
  auto a = world_->start_narrow("a");
  auto b = world_->start_narrow("b");
  ASSERT_TRUE(world_->run_until([&] { return a->sees("b") && b->sees("a"); }));
  bool ready = false;
  b->bus->subscribe("vm.", Reply<Done>(far_future, [&](absl::StatusOr<Done>) { ready = true; }));
  ASSERT_TRUE(world_->run_until([&] { return ready; }));
  // The subscriber runs on this thread: it takes nothing while these are published. What is counted first may find room after all; of so
  // many more some are lost.
  for (int i = 0; i < 200'000; ++i) a->publish("executor", "web1");
  ASSERT_TRUE(world_->run_until([&] { return !a->slow.empty(); }));
  ASSERT_TRUE(world_->run_until([&] {
    a->heartbeat();
    return !b->gaps.empty();
  }));
  EXPECT_EQ(b->gaps[0].origin, "a/executor");
  const auto arrived = b->sequences("a/executor");
  EXPECT_TRUE(std::is_sorted(arrived.begin(), arrived.end()));
  EXPECT_EQ(std::set<std::uint64_t>(arrived.begin(), arrived.end()).size(), arrived.size());
  EXPECT_TRUE(b->slow.empty());
  ASSERT_EQ(a->slow.size(), 1U);
  EXPECT_EQ(a->slow.begin()->first, "b");
  EXPECT_GT(a->slow.begin()->second, 10U) << "its queue, and what found no room";
}

// Of the two subscriptions one may miss what came before that which the other gets.
TEST_P(FullQueue, under_several_subscriptions_loses_and_disorders_nothing_that_is_in_a_log) {
  auto a = world_->start_narrow("a");
  auto b = world_->start_narrow("b");
  a->keeps_log = true;
  ASSERT_TRUE(world_->run_until([&] { return a->sees("b") && b->sees("a"); }));
  int ready = 0;
  for (const char* prefix : {"vm.", "migration."})
    b->bus->subscribe(prefix, Reply<Done>(far_future, [&](absl::StatusOr<Done>) { ++ready; }));
  ASSERT_TRUE(world_->run_until([&] { return ready == 2; }));
  const auto arrive = [&](std::size_t count) {
    return world_->run_until(
        [&] {
          a->heartbeat();
          return b->events.size() >= count;
        },
        absl::Seconds(60));
  };
  for (int burst = 0; burst < 4; ++burst) {
    for (int i = 0; i < 3000; ++i) {
      a->log.push_back(i % 3 == 0 ? a->streams.other(*a->pool, "executor", "web1")
                                  : a->streams.event(*a->pool, "executor", "web1"));
      a->bus->publish(a->log.back());
    }
    // While it takes what waits, more comes.
    ASSERT_TRUE(arrive(b->events.size() + 100));
  }
  ASSERT_TRUE(arrive(a->log.size()));
  EXPECT_GT(a->asked, 0U) << "else its queue was never full";
  EXPECT_EQ(b->sequences("a/executor"), all_up_to(a->log.size()));
  EXPECT_TRUE(b->gaps.empty()) << b->gaps.front().why;
}

INSTANTIATE_TEST_SUITE_P(Ipc, FullQueue, testing::Values(MakeBusWorld(make_ipc_world)));
INSTANTIATE_TEST_SUITE_P(Tcp, FullQueue, testing::Values(MakeBusWorld(make_tcp_world)));

// One process publishes. One of its subscribers stops, for its loop does not run; the others take what they get.
class StoppedSubscriber : public testing::TestWithParam<bool> {
 protected:
  static constexpr int room = 64;
  // In all forms, and with what a look for who is slow sends, they fill no queue of who takes them.
  static constexpr int some = 4;

  StoppedSubscriber() {
    std::string name = testing::TempDir() + "slowXXXXXX";
    directory_ = mkdtemp(name.data());
    for (const char* each : {"a", "b", "c", "d"}) start(each, each[0] == 'b' ? stopped_ : loop_);
  }
  ~StoppedSubscriber() override {
    processes_.clear();
    std::filesystem::remove_all(directory_);
  }

  void start(const std::string& name, EventLoop& loop) {
    auto process = std::make_unique<BusProcess>(name, std::make_unique<EventPool>());
    ZmqBusOptions options;
    options.name = name;
    for (std::string* endpoint : {&options.publish_bind, &options.request_bind})
      *endpoint = keys() ? "tcp://127.0.0.1:*"
                         : absl::StrCat("ipc://", directory_, "/", name,
                                        endpoint == &options.publish_bind ? ".pub" : ".req");
    if (keys())
      options.credentials = {test_key(name),
                             std::make_shared<const Trust>(test_trust({"a", "b", "c", "d"}))};
    options.hello_interval = absl::Milliseconds(200);
    options.silence_max = absl::Seconds(60);
    options.high_water_mark = room;
    options.seeds = seeds_;
    options.on_slow_subscriber = [p = process.get()](const std::string& slow,
                                                     std::uint64_t backlog) {
      p->slow[slow] += backlog;
    };
    auto bus = ZmqBus::open(loop, *process->pool, options);
    ASSERT_TRUE(bus.ok()) << bus.status();
    seeds_.push_back((keys() ? name + "@" : "") + (*bus)->request_endpoint());
    process->bus = *std::move(bus);
    process->bus->start(*process, {});
    processes_[name] = std::move(process);
  }
  bool keys() const { return GetParam(); }
  BusProcess& of(const std::string& name) { return *processes_.at(name); }

  // Both loops run.
  bool eventually(const std::function<bool()>& holds) {
    const Instant end = loop_.clock().now() + absl::Seconds(30);
    while (!holds() && loop_.clock().now() < end) {
      loop_.run_until(holds, absl::Milliseconds(5));
      if (!is_stopped_) stopped_.run_until(holds, absl::Milliseconds(5));
    }
    return holds();
  }
  // Until the others have them.
  void publish_some() {
    for (int i = 0; i < some; ++i) of("a").publish("executor", "web1");
    published_ += some;
    ASSERT_TRUE(eventually(
        [&] { return of("c").events.size() + of("d").events.size() >= 2 * published_; }));
  }
  void subscribe(const std::string& name, const std::string& prefix) {
    bool ready = false;
    of(name).bus->subscribe(prefix,
                            Reply<Done>(far_future, [&](absl::StatusOr<Done>) { ready = true; }));
    ASSERT_TRUE(eventually([&] { return ready; }));
  }

  std::string directory_;
  std::vector<std::string> seeds_;
  EventLoop loop_, stopped_;
  bool is_stopped_ = false;
  std::size_t published_ = 0;
  std::map<std::string, std::unique_ptr<BusProcess>> processes_;
};

TEST_P(StoppedSubscriber, IsNamedByItsPublisherAndTheOthersAreNot) {
  for (const char* name : {"b", "c", "d"})
    ASSERT_TRUE(eventually([&] { return of("a").sees(name) && of(name).sees("a"); })) << name;
  for (const char* name : {"b", "c", "d"}) subscribe(name, "vm.");
  for (int i = 0; i < 16; ++i) publish_some();
  ASSERT_TRUE(eventually([&] { return of("b").events.size() == published_; }));
  EXPECT_TRUE(of("a").slow.empty()) << "all take what they get";

  is_stopped_ = true;
  while (of("a").slow.empty() && published_ < 400'000) publish_some();
  EXPECT_TRUE(of("c").slow.empty());
  ASSERT_EQ(of("a").slow.size(), 1U);
  const auto& [slow, backlog] = *of("a").slow.begin();
  EXPECT_EQ(slow, "b");
  EXPECT_GT(backlog, static_cast<std::uint64_t>(room));
  for (const char* name : {"c", "d"}) {
    EXPECT_EQ(of(name).events.size(), published_) << name;
    EXPECT_TRUE(of(name).gaps.empty()) << name;
    EXPECT_TRUE(of(name).rejected.empty()) << name;
  }

  is_stopped_ = false;
  ASSERT_TRUE(eventually([&] {
    of("a").heartbeat();
    return !of("b").gaps.empty();
  }));
  EXPECT_TRUE(of("b").rejected.empty()) << of("b").rejected.front();
}

INSTANTIATE_TEST_SUITE_P(Ipc, StoppedSubscriber, testing::Values(false));
INSTANTIATE_TEST_SUITE_P(TcpWithKeys, StoppedSubscriber, testing::Values(true));

// Process a publishes what is in its log, under two subscriptions of b and c.
class SlowSubscriber : public testing::Test {
 protected:
  static constexpr std::size_t room = 16;
  using End = SimulatedNetwork::End;

  void SetUp() override {
    for (BusProcess* subscriber : {b.get(), c.get()})
      for (const char* prefix : {"vm.", "migration."})
        subscriber->bus->subscribe(prefix, Reply<Done>());
    scheduler.run_for(absl::Seconds(2));
    publish(1);
    scheduler.run_for(absl::Seconds(1));
    ASSERT_EQ(b->events.size(), 1U);
  }

  std::unique_ptr<BusProcess> start(const std::string& name) {
    auto process = std::make_unique<BusProcess>(name, std::make_unique<EventPool>());
    SimulatedBusOptions options;
    options.high_water_mark = room;
    options.on_slow_subscriber = [p = process.get()](const std::string& slow,
                                                     std::uint64_t backlog) {
      p->slow[slow] += backlog;
    };
    process->bus =
        std::make_unique<SimulatedBus>(name, network, scheduler, *process->pool, options);
    process->bus->start(*process, {});
    process->keeps_log = true;
    return process;
  }

  // Events of both subscriptions, two milliseconds apart.
  void publish(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      a->log.push_back(a->log.size() % 2 == 0 ? a->streams.event(*a->pool, "executor", "web1")
                                              : a->streams.other(*a->pool, "executor", "web1"));
      a->bus->publish(a->log.back());
      scheduler.run_for(absl::Milliseconds(2));
    }
  }

  void expect_all(const BusProcess& subscriber) {
    EXPECT_EQ(subscriber.sequences("a/executor"), all_up_to(a->log.size())) << subscriber.name;
    EXPECT_TRUE(subscriber.gaps.empty()) << subscriber.name;
  }

  // A connection that is gone is found out after silence_max and one ping.
  static constexpr Duration found_out = absl::Seconds(4);
  static constexpr Duration mended = absl::Milliseconds(500);

  VirtualScheduler scheduler;
  SimulatedNetwork network{scheduler, Random(7)};
  std::unique_ptr<BusProcess> a = start("a"), b = start("b"), c = start("c");
};

TEST_F(SlowSubscriber, gets_from_the_log_what_found_no_room_and_slows_no_other) {
  network.set_taking("b", false);
  publish(room + 50);
  expect_all(*c);
  EXPECT_EQ(b->events.size(), 1U);
  scheduler.run_for(absl::Seconds(1));
  EXPECT_GE(a->slow["b"], room + 50U);
  EXPECT_EQ(a->slow.size(), 1U);
  network.set_taking("b", true);
  scheduler.run_for(mended);
  expect_all(*b);
  publish(1);
  scheduler.run_for(mended);
  expect_all(*b);
}

TEST_F(SlowSubscriber, loses_nothing_while_there_is_room) {
  network.set_taking("b", false);
  publish(room - 1);
  network.set_taking("b", true);
  scheduler.run_for(absl::Milliseconds(1));
  expect_all(*b);
  EXPECT_EQ(a->asked, 0U) << "nothing had to be repaired";
  scheduler.run_for(absl::Seconds(1));
  EXPECT_TRUE(a->slow.empty());
}

TEST_F(SlowSubscriber, is_heard_and_answered_meanwhile) {
  network.set_taking("b", false);
  publish(2 * room);
  bool answered = false;
  c->bus->request({"b", "echo"}, "x",
                  Reply<std::string>(far_future, [&](auto answer) { answered = answer.ok(); }));
  scheduler.run_for(absl::Seconds(10));
  EXPECT_TRUE(answered);
  EXPECT_EQ(a->met["b"], 1);
  EXPECT_TRUE(a->sees("b") && b->sees("a"));
}

TEST_F(SlowSubscriber, that_takes_nothing_for_too_long_is_cut_off_and_comes_again) {
  network.set_taking("b", false);
  publish(room);
  scheduler.run_for(absl::Seconds(3));
  publish(10);
  EXPECT_EQ(a->slow["b"], room + 1U) << "then it was cut off";
  scheduler.run_for(absl::Seconds(20));
  network.set_taking("b", true);
  scheduler.run_for(found_out + mended);
  expect_all(*b);
  publish(1);
  scheduler.run_for(mended);
  expect_all(*b);
  expect_all(*c);
}

TEST_F(SlowSubscriber, that_ends_leaves_nothing_waiting) {
  network.set_taking("b", false);
  publish(2 * room);
  b.reset();
  b = start("b");
  b->bus->subscribe("vm.", Reply<Done>());
  b->bus->subscribe("migration.", Reply<Done>());
  scheduler.run_for(absl::Seconds(2));
  const std::size_t before = a->log.size();
  publish(2);
  EXPECT_EQ(b->sequences("a/executor"), (std::vector<std::uint64_t>{before + 1, before + 2}));
}

TEST_F(SlowSubscriber, whose_publisher_has_let_go_of_its_connection_finds_out_and_repairs) {
  network.half_open("a", "b", End::publisher);
  publish(20);
  EXPECT_EQ(b->events.size(), 1U) << "and b takes the connection for alive";
  scheduler.run_for(found_out + mended);
  expect_all(*b);
  publish(1);
  expect_all(*b);
  EXPECT_EQ(b->met["a"], 1) << "it was never taken for dead";
  expect_all(*c);
}

TEST_F(SlowSubscriber, whose_own_end_of_a_connection_is_gone_connects_again_and_repairs) {
  network.half_open("a", "b", End::subscriber);
  publish(20);
  scheduler.run_for(mended);
  expect_all(*b);
  EXPECT_GT(a->asked, 0U) << "the first went to the end that was gone";
}

TEST_F(SlowSubscriber, whose_way_back_is_dead_is_let_go_and_comes_again) {
  network.block("b", "a");
  scheduler.run_for(found_out);
  EXPECT_FALSE(a->sees("b"));
  EXPECT_TRUE(b->sees("a"));
  publish(20);
  EXPECT_EQ(b->events.size(), 1U);
  network.heal();
  scheduler.run_for(found_out + mended);
  expect_all(*b);
  publish(1);
  expect_all(*b);
}

TEST_F(SlowSubscriber, whose_publisher_starts_again_meanwhile_gets_all_of_it) {
  network.half_open("a", "b", End::publisher);
  publish(20);
  const TestStreams streams = a->streams;
  std::vector<std::vector<std::byte>> logged;
  for (const Event& event : a->log) logged.emplace_back(event.bytes().begin(), event.bytes().end());
  a.reset();
  auto next = std::make_unique<BusProcess>("a", std::make_unique<EventPool>(), streams);
  for (const auto& bytes : logged) next->log.push_back(*next->pool->parse(bytes));
  next->keeps_log = true;
  next->bus = std::make_unique<SimulatedBus>("a", network, scheduler, *next->pool);
  next->bus->start(*next, streams.past());
  a = std::move(next);
  scheduler.run_for(absl::Seconds(2));
  a->heartbeat();
  scheduler.run_for(absl::Seconds(1));
  expect_all(*b);
}

TEST(SlowSubscribers, and_half_open_links_over_a_rough_network_lose_and_double_nothing) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    VirtualScheduler scheduler;
    Random random(seed);
    SimulatedNetwork network(scheduler, random.fork());
    SimulatedBusOptions options;
    options.high_water_mark = 16;
    const auto start = [&](const std::string& name) {
      auto process = std::make_unique<BusProcess>(name, std::make_unique<EventPool>());
      process->bus =
          std::make_unique<SimulatedBus>(name, network, scheduler, *process->pool, options);
      process->bus->start(*process, {});
      process->keeps_log = true;
      return process;
    };
    auto a = start("a");
    auto b = start("b");
    b->bus->subscribe("vm.", Reply<Done>());
    scheduler.run_for(absl::Seconds(2));
    LinkFaults faults;
    faults.delay_max = absl::Milliseconds(20);
    faults.loss_per_million = faults.duplicate_per_million = 50'000;
    faults.reorder_per_million = 100'000;
    network.set_faults(faults);
    for (int i = 0; i < 1000; ++i) {
      a->publish("executor", i % 3 == 0 ? "web1" : "web2");
      if (i % 20 == 0) a->heartbeat();
      if (random.chance(20'000)) network.set_taking("b", random.chance(600'000));
      if (random.chance(5'000))
        network.half_open("a", "b",
                          random.chance(500'000) ? SimulatedNetwork::End::publisher
                                                 : SimulatedNetwork::End::subscriber);
      scheduler.run_for(absl::Milliseconds(10));
    }
    network.calm();
    scheduler.run_for(absl::Seconds(5));
    a->heartbeat();
    scheduler.run_for(absl::Seconds(10));
    EXPECT_EQ(b->sequences("a/executor"), all_up_to(1000)) << "seed " << seed;
    EXPECT_TRUE(b->gaps.empty()) << "seed " << seed;
    EXPECT_GT(dynamic_cast<const SimulatedBus&>(*a->bus).dropped(), 0U) << "seed " << seed;
  }
}

}  // namespace
}  // namespace supercloud
