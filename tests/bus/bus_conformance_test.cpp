// What every implementation of the Bus seam promises.

#include "tests/bus/bus_conformance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <utility>
#include <vector>

namespace supercloud {
namespace {

TEST_P(BusConformance, an_event_arrives_with_its_very_bytes) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  subscribe(*b, "vm.dirty_rate.");
  const Event sent = a->streams.event(*a->pool, "executor", "web1");
  a->bus->publish(sent);
  ASSERT_TRUE(run_until([&] { return !b->events.empty(); }));
  const auto was = sent.bytes();
  const auto is = b->events[0].bytes();
  ASSERT_EQ(was.size(), is.size());
  EXPECT_TRUE(std::equal(was.begin(), was.end(), is.begin()));
}

TEST_P(BusConformance, nothing_published_after_the_subscribe_reply_is_missed) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  std::uint64_t published = 0;
  std::uint64_t owed_from = 0;
  b->bus->subscribe(
      "vm.", Reply<Done>(far_future, [&](absl::StatusOr<Done>) { owed_from = published + 1; }));
  // The publisher never pauses.
  ASSERT_TRUE(run_until([&] {
    a->publish("executor", "web1");
    ++published;
    return owed_from != 0 && published >= owed_from + 500;
  }));
  ASSERT_TRUE(
      run_until([&] { return !b->events.empty() && b->events.back().sequence() == published; }));
  const auto arrived = b->sequences("a/executor");
  ASSERT_LE(arrived.front(), owed_from);
  EXPECT_EQ(arrived, range(arrived.front(), published)) << "in order, once each, none missing";
  EXPECT_TRUE(b->gaps.empty());
}

TEST_P(BusConformance, only_subscribed_prefixes_arrive_and_whole_tokens_count) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  subscribe(*b, "vm.dirty_rate.main.");
  a->bus->publish(a->streams.other(*a->pool, "executor", "web1"));
  Draft elsewhere = a->pool->draft("web1", "mainframe");
  elsewhere.payload().initVmDirtyRate();
  ASSERT_TRUE(elsewhere.set_topic().ok());
  Envelope envelope;
  envelope.origin = "a/network";
  envelope.incarnation = 1;
  envelope.sequence = 1;
  a->bus->publish(*std::move(elsewhere).seal(envelope));
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return !b->events.empty(); }));
  EXPECT_EQ(b->events[0].topic(), "vm.dirty_rate.main.web1");
  EXPECT_EQ(b->events.size(), 1);
  EXPECT_TRUE(b->gaps.empty()) << "what is not subscribed is not missing";
}

TEST_P(BusConformance, overlapping_subscriptions_deliver_once) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  subscribe(*b, "vm.");
  subscribe(*b, "vm.dirty_rate.main.");
  subscribe(*b, "");
  for (int i = 0; i < 100; ++i) a->publish("executor", "web1");
  ASSERT_TRUE(
      run_until([&] { return b->events.size() >= 100 && b->events.back().sequence() == 100; }));
  EXPECT_EQ(b->sequences("a/executor"), range(1, 100));
}

TEST_P(BusConformance, a_process_does_not_hear_itself) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  subscribe(*a, "");
  subscribe(*b, "");
  a->publish("executor", "web1");
  b->publish("executor", "web1");
  ASSERT_TRUE(run_until(
      [&] { return !a->sequences("b/executor").empty() && !b->sequences("a/executor").empty(); }));
  EXPECT_TRUE(a->sequences("a/executor").empty());
  EXPECT_TRUE(b->sequences("b/executor").empty());
}

TEST_P(BusConformance, as_many_unsubscribes_as_subscribes_end_a_subscription) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  subscribe(*b, "vm.");
  subscribe(*b, "vm.");
  subscribe(*b, "migration.");
  b->bus->unsubscribe("vm.");
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return b->events.size() == 1; }));
  b->bus->unsubscribe("vm.");
  a->publish("executor", "web1");
  a->bus->publish(a->streams.other(*a->pool, "executor", "web1"));
  ASSERT_TRUE(run_until([&] { return b->events.size() == 2; }));
  EXPECT_EQ(b->events[1].topic(), "migration.progress.main.web1");
  EXPECT_TRUE(b->gaps.empty());
}

TEST_P(BusConformance, a_subscription_made_again_owes_nothing_of_the_time_between) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  subscribe(*b, "vm.");
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return b->events.size() == 1; }));
  b->bus->unsubscribe("vm.");
  subscribe(*b, "migration.");  // behind the unsubscribe on the same way
  a->publish("executor", "web1");
  subscribe(*b, "vm.");
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return b->events.size() == 2; }));
  EXPECT_EQ(b->events[1].sequence(), 3);
  EXPECT_TRUE(b->gaps.empty());
}

TEST_P(BusConformance, a_late_joiner_owes_nothing_of_the_past) {
  auto a = world_->start("a");
  for (int i = 0; i < 50; ++i) a->publish("executor", "web1");
  auto b = world_->start("b");
  subscribe(*b, "vm.");
  meet(*a, *b);
  ASSERT_TRUE(run_until([&] {
    a->publish("executor", "web1");
    a->heartbeat();
    return b->events.size() >= 50;
  }));
  EXPECT_TRUE(b->gaps.empty());
}

TEST_P(BusConformance, loss_between_two_events_is_reported_with_its_range) {
  auto a = world_->start_lossy("a");
  auto b = world_->start("b");
  meet(*a, *b);
  subscribe(*b, "vm.");
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return b->events.size() == 1; }));
  world_->cut("a", "b");
  for (int i = 0; i < 3; ++i) a->publish("executor", "web1");
  world_->mend(3);
  ASSERT_TRUE(run_until([&] {
    a->publish("executor", "web1");
    return !b->gaps.empty();
  }));
  EXPECT_EQ(b->gaps[0].origin, "a/executor");
  EXPECT_EQ(b->gaps[0].prefix, "vm.");
  EXPECT_EQ(b->gaps[0].after, 1);
  EXPECT_GE(b->gaps[0].up_to, 4);
  ASSERT_TRUE(run_until([&] { return b->events.size() >= 2; }));
  const auto arrived = b->sequences("a/executor");
  EXPECT_EQ(arrived[1], b->gaps[0].up_to + 1) << "what arrived goes on behind the gap";
  EXPECT_TRUE(std::is_sorted(arrived.begin(), arrived.end()));
}

TEST_P(BusConformance, loss_at_the_end_of_a_stream_is_found_by_the_heartbeat) {
  auto a = world_->start_lossy("a");
  auto b = world_->start("b");
  meet(*a, *b);
  subscribe(*b, "vm.");
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return b->events.size() == 1; }));
  world_->cut("a", "b");
  a->publish("executor", "web1");
  a->publish("executor", "web1");
  world_->mend(2);
  ASSERT_TRUE(run_until([&] {
    a->heartbeat();
    return !b->gaps.empty();
  }));
  EXPECT_EQ(b->gaps[0].after, 1);
  EXPECT_EQ(b->gaps[0].up_to, 3);
  EXPECT_EQ(b->events.size(), 1) << "heartbeats were not subscribed";
}

TEST_P(BusConformance, what_was_lost_comes_from_the_publishers_log_in_its_place) {
  constexpr std::size_t lost = 40;
  auto a = world_->start_lossy("a");
  auto b = world_->start("b");
  meet(*a, *b);
  subscribe(*b, "vm.");
  a->keeps_log = true;
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return b->events.size() == 1; }));
  world_->cut("a", "b");
  for (std::size_t i = 0; i < lost; ++i) a->publish("executor", "web1");
  world_->mend(lost);
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return b->events.size() == lost + 2; }));
  const auto arrived = b->sequences("a/executor");
  for (std::size_t i = 0; i < arrived.size(); ++i) EXPECT_EQ(arrived[i], i + 1);
  EXPECT_TRUE(b->gaps.empty());
  EXPECT_GT(a->asked, 1) << "it comes in parts";
}

TEST_P(BusConformance, the_lost_end_of_a_stream_comes_from_the_log_but_for_what_is_not_in_it) {
  auto a = world_->start_lossy("a");
  auto b = world_->start("b");
  meet(*a, *b);
  subscribe(*b, "vm.");
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return b->events.size() == 1; }));
  world_->cut("a", "b");
  for (const bool logged : {true, false, true}) {
    a->keeps_log = logged;
    a->publish("executor", "web1");
  }
  world_->mend(3);
  ASSERT_TRUE(run_until([&] {
    a->heartbeat();
    return b->events.size() == 3;
  }));
  EXPECT_EQ(b->sequences("a/executor"), (std::vector<std::uint64_t>{1, 2, 4}));
  ASSERT_EQ(b->gaps.size(), 1);
  EXPECT_EQ(b->gaps[0].after, 2);
  EXPECT_EQ(b->gaps[0].up_to, 3);
  EXPECT_THAT(b->gaps[0].why, testing::HasSubstr("log does not have it"));
}

TEST_P(BusConformance, a_request_is_answered) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  const auto answer = ask(*a, {"b", "echo"}, std::string("x\0y", 3));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, std::string("echo:x\0y", 8));
}

TEST_P(BusConformance, a_process_can_ask_itself) {
  auto a = world_->start("a");
  const auto answer = ask(*a, {"a", "echo"}, "x");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, "echo:x");
}

TEST_P(BusConformance, many_requests_under_way_get_their_own_answers) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  std::vector<std::string> answers(200);
  std::size_t count = 0;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    a->bus->request({"b", "echo"}, std::to_string(i),
                    Reply<std::string>(far_future, [&, i](absl::StatusOr<std::string> value) {
                      answers[i] = value.value_or("none");
                      ++count;
                    }));
  }
  ASSERT_TRUE(run_until([&] { return count == answers.size(); }));
  for (std::size_t i = 0; i < answers.size(); ++i)
    EXPECT_EQ(answers[i], "echo:" + std::to_string(i));
}

TEST_P(BusConformance, a_request_without_an_answer_ends_at_its_deadline) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  const Instant begin = world_->scheduler().clock().now();
  const auto answer = ask(*a, {"b", "silent"}, "x", absl::Milliseconds(150));
  EXPECT_TRUE(absl::IsDeadlineExceeded(answer.status())) << answer.status();
  EXPECT_GE(world_->scheduler().clock().now() - begin, absl::Milliseconds(150));
  EXPECT_EQ(b->served["x"], 1);
}

TEST_P(BusConformance, an_unknown_actor_is_not_found) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  EXPECT_TRUE(absl::IsNotFound(ask(*a, {"b", "nobody"}, "x").status()));
}

TEST_P(BusConformance, an_unknown_node_is_unavailable) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  const auto answer = ask(*a, {"nowhere", "echo"}, "x");
  EXPECT_TRUE(absl::IsUnavailable(answer.status())) << answer.status();
  EXPECT_NE(answer.status().message().find("nowhere"), std::string::npos);
}

TEST_P(BusConformance, a_request_that_is_too_large_is_refused_at_once) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  EXPECT_TRUE(absl::IsInvalidArgument(
      ask(*a, {"b", "echo"}, std::string(request_bytes_max + 1, 'x')).status()));
  EXPECT_TRUE(b->served.empty());
  const auto largest = ask(*a, {"b", "echo"}, std::string(request_bytes_max - 8, 'x'));
  EXPECT_TRUE(largest.ok()) << largest.status();
}

TEST_P(BusConformance, what_a_process_that_ended_had_sent_in_vain_is_told_by_the_next) {
  auto a = world_->start_lossy("a");
  auto b = world_->start("b");
  meet(*a, *b);
  subscribe(*b, "vm.");
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return b->events.size() == 1; }));
  world_->cut("a", "b");
  a->publish("executor", "web1");
  a->publish("executor", "web1");
  world_->mend(2);
  const TestStreams log = a->streams;
  a.reset();
  a = world_->start("a", log);
  const Instant silent_until = world_->scheduler().clock().now() + absl::Seconds(2);
  ASSERT_TRUE(run_until([&] { return world_->scheduler().clock().now() > silent_until; }));
  ASSERT_TRUE(run_until([&] {
    a->heartbeat();
    return !b->gaps.empty();
  }));
  ASSERT_EQ(b->gaps.size(), 1);
  EXPECT_EQ(b->gaps[0].origin, "a/executor");
  EXPECT_EQ(b->gaps[0].incarnation, 1);
  EXPECT_EQ(b->gaps[0].after, 1);
  EXPECT_EQ(b->gaps[0].up_to, 3);
}

TEST_P(BusConformance, garbage_is_rejected_and_the_rest_goes_on) {
  auto a = world_->start("a");
  auto b = world_->start("b");
  meet(*a, *b);
  subscribe(*b, "vm.");
  world_->send_garbage(*b);
  ASSERT_TRUE(run_until([&] { return b->rejected.size() >= 3; }));
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return b->events.size() == 1; }));
  EXPECT_TRUE(ask(*a, {"b", "echo"}, "x").ok());
}

INSTANTIATE_TEST_SUITE_P(Simulated, BusConformance,
                         testing::Values(MakeBusWorld(make_simulated_world)));
INSTANTIATE_TEST_SUITE_P(SimulatedHub, BusConformance,
                         testing::Values(MakeBusWorld(make_simulated_hub_world)));
INSTANTIATE_TEST_SUITE_P(Ipc, BusConformance, testing::Values(MakeBusWorld(make_ipc_world)));
INSTANTIATE_TEST_SUITE_P(Tcp, BusConformance, testing::Values(MakeBusWorld(make_tcp_world)));
INSTANTIATE_TEST_SUITE_P(IpcHub, BusConformance, testing::Values(MakeBusWorld(make_ipc_hub_world)));
INSTANTIATE_TEST_SUITE_P(TcpHub, BusConformance, testing::Values(MakeBusWorld(make_tcp_hub_world)));

}  // namespace
}  // namespace supercloud
