// Who is waited for, how long, and what is said of it.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/actors/archive/holders_world.h"

namespace supercloud {
namespace {

TEST_F(HoldersTest, a_publisher_waits_until_the_holder_has_taken_its_event) {
  TestNode& a = publisher();
  Holder& b = hold("b");
  TestNode& other = start("other");
  const auto told = request(a, "one");
  run(absl::Seconds(5));
  ASSERT_EQ(b.got.size(), 1);
  EXPECT_FALSE(told->status);
  EXPECT_EQ(of(other, schema::Payload::INSTANCE_REQUESTED).size(), 1) << "others are not held up";
  b.take();
  run(absl::Milliseconds(100));
  EXPECT_TRUE(told->ok()) << "as soon as it is";
}

TEST_F(HoldersTest, it_waits_for_all_of_them) {
  TestNode& a = publisher();
  Holder& b = hold("b");
  Holder& c = hold("c");
  Holder& second = hold("c", "second", "instance.>");
  const auto told = request(a, "one");
  for (Holder* each : {&b, &second, &c}) {
    run(absl::Seconds(5));
    EXPECT_FALSE(told->status);
    each->take();
  }
  run(absl::Seconds(1));
  EXPECT_TRUE(told->ok());
}

TEST_F(HoldersTest, one_in_the_publishers_own_node_holds_as_well) {
  TestNode& a = publisher();
  Holder& own = hold("a");
  const auto told = request(a, "one");
  run(absl::Seconds(5));
  EXPECT_FALSE(told->status);
  own.take();
  run(absl::Milliseconds(100));
  EXPECT_TRUE(told->ok());
}

TEST_F(HoldersTest, of_many_events_those_that_are_taken_go_on) {
  TestNode& a = publisher();
  Holder& b = hold("b");
  std::vector<std::shared_ptr<Told>> all;
  for (int i = 0; i < 600; ++i) all.push_back(request(a, absl::StrCat("e", i)));
  run(absl::Seconds(3));
  ASSERT_EQ(b.got.size(), 600);
  b.taken = 99;
  b.take();  // and with it those before
  run(absl::Seconds(1));
  EXPECT_EQ(std::ranges::count_if(all, [](const auto& each) { return each->ok(); }), 100);
  b.take_all();
  run(absl::Seconds(1));
  EXPECT_EQ(std::ranges::count_if(all, [](const auto& each) { return each->ok(); }), 600);
  EXPECT_TRUE(said(a).empty());
}

TEST_F(HoldersTest, other_topics_and_those_that_nobody_waits_for_are_not_held) {
  TestNode& a = publisher();
  Holder& b = hold("b", "holder", "instance.requested.main.held");
  hold("b", "of-nodes", "node.>");
  const auto other = request(a, "other");
  std::optional<absl::Status> joined, paused;
  Draft of_a_node = a.hand->draft("a");
  of_a_node.payload().initNodeDrained().setNode("a");
  a.hand->publish(std::move(of_a_node), [&](const absl::Status& status) { joined = status; });
  hold("b", "of-vms", "vm.>");
  Draft noted = a.hand->draft("web1");
  noted.payload().initVmPaused().setNode("a");
  a.hand->publish(std::move(noted), [&](const absl::Status& status) { paused = status; });
  Draft unawaited = a.hand->draft("held");
  unawaited.payload().initInstanceRequested().setClientToken("held");
  a.hand->publish(std::move(unawaited));
  run(absl::Milliseconds(100));
  EXPECT_TRUE(other->ok());
  EXPECT_TRUE(joined && joined->ok());
  EXPECT_TRUE(paused && paused->ok());
  EXPECT_TRUE(events->waiting().empty());
  EXPECT_EQ(b.got.size(), 1);
}

TEST_F(HoldersTest,
       one_that_dies_is_released_when_its_node_is_not_heard_for_long_and_that_is_said) {
  TestNode& a = publisher();
  hold("b");
  const auto told = request(a, "one");
  run(absl::Seconds(1));
  crash("b");
  run(absl::Seconds(13));
  EXPECT_FALSE(told->status);
  EXPECT_TRUE(said(a).empty()) << "who is silent is not slow";
  run(absl::Seconds(5));
  EXPECT_TRUE(told->ok());
  EXPECT_EQ(said(a),
            std::vector<std::string>{"b/holder 1: held them, released: not heard for 15s"});
  const auto second = request(a, "two");
  run(absl::Seconds(1));
  EXPECT_TRUE(second->ok());
}

TEST_F(HoldersTest, one_whose_node_leaves_or_whose_actor_fails_is_released_at_once) {
  TestNode& a = publisher();
  TestNode& b = *nodes.emplace("b", std::make_unique<TestNode>()).first->second;
  hold("b");
  const auto told = request(a, "one");
  run(absl::Seconds(1));
  b.node->fail_actor("holder", absl::InternalError("a test"));
  run(absl::Milliseconds(50));
  EXPECT_TRUE(told->ok());
  run(absl::Seconds(2));
  const auto second = request(a, "two");
  run(absl::Seconds(1));
  EXPECT_FALSE(second->status) << "it holds again";
  b.hand = nullptr;
  b.node->leave("a test", [](const absl::Status&) {});
  run(absl::Seconds(1));
  EXPECT_TRUE(second->ok());
  run(absl::Seconds(10));
  EXPECT_EQ(said(a), (std::vector<std::string>{"b/holder 1: held them, released: it holds no more",
                                               "b/holder 1: held them, released: its node left"}));
}

TEST_F(HoldersTest, one_that_fails_has_taken_nothing_also_where_its_nodes_word_of_it_is_late) {
  TestNode& a = publisher();
  hold("b");
  TestNode& b = *nodes.at("b");
  another(b);
  const auto told = request(a, "one");
  run(absl::Seconds(1));
  // What a node says of itself waits for what it has said before, in the log.
  b.log->set_sync_latency(absl::Seconds(1));
  b.node->fail_actor("another", absl::InternalError("a test"));
  run(absl::Milliseconds(10));
  b.node->fail_actor("holder", absl::InternalError("a test"));
  run(absl::Milliseconds(500));
  EXPECT_FALSE(told->status);
  run(absl::Seconds(1));
  EXPECT_TRUE(told->ok());
  EXPECT_EQ(said(a), std::vector<std::string>{"b/holder 1: held them, released: it holds no more"});
}

TEST_F(HoldersTest, one_that_ends_its_subscription_is_waited_for_no_longer) {
  TestNode& a = publisher();
  Holder& b = hold("b");
  const auto told = request(a, "one");
  run(absl::Seconds(1));
  b.context->unsubscribe(Pattern::of("instance.requested.>"));
  run(absl::Seconds(1));
  EXPECT_TRUE(told->ok());
}

TEST_F(HoldersTest, one_that_is_slow_is_named_once_until_it_has_caught_up) {
  TestNode& a = publisher();
  Holder& b = hold("b");
  const auto one = request(a, "one");
  const auto two = request(a, "two");
  run(absl::Seconds(9));
  EXPECT_TRUE(said(a).empty());
  run(absl::Seconds(30));
  const std::vector<std::string> once = {named(2, one->event)};
  EXPECT_EQ(said(a), once);
  b.take();
  run(absl::Seconds(30));
  EXPECT_EQ(said(a), once) << "it has not caught up";
  b.take();
  run(absl::Seconds(1));
  EXPECT_TRUE(two->ok());
  request(a, "three");
  run(absl::Seconds(15));
  EXPECT_EQ(said(a).size(), 2);
}

TEST_F(HoldersTest, one_that_takes_others_is_named_for_what_it_never_takes) {
  TestNode& a = publisher();
  Holder& b = hold("b");
  const auto stuck = request(another(a), "stuck");
  for (int i = 0; i < 3; ++i) {
    if (i < 2) {
      EXPECT_TRUE(said(a).empty());
    }
    const auto told = request(a, absl::StrCat("e", i));
    run(absl::Seconds(1));
    b.context->taken(b.got.back());
    run(absl::Seconds(4));
    EXPECT_TRUE(told->ok());
  }
  EXPECT_FALSE(stuck->status);
  ASSERT_EQ(said(a).size(), 1);
  EXPECT_TRUE(said(a)[0] == named(1, stuck->event) || said(a)[0] == named(2, stuck->event))
      << said(a)[0];
  b.take();
  run(absl::Seconds(1));
  EXPECT_TRUE(stuck->ok());
  request(a, "last");
  run(absl::Seconds(8));
  EXPECT_EQ(said(a).size(), 1);
  run(absl::Seconds(5));
  EXPECT_EQ(said(a).size(), 2);
}

TEST_F(HoldersTest, what_is_never_taken_keeps_nothing_else_from_being_asked_for) {
  TestNode& a = publisher();
  Holder& b = hold("b");
  Context& other = another(a);
  std::vector<std::shared_ptr<Told>> stuck;
  for (int i = 0; i < 600; ++i) stuck.push_back(request(other, absl::StrCat("s", i)));
  run(absl::Seconds(3));
  const auto told = request(a, "one");
  run(absl::Seconds(1));
  ASSERT_EQ(b.got.size(), 601);
  b.context->taken(b.got.back());
  run(absl::Seconds(5));
  EXPECT_TRUE(told->ok());
  EXPECT_TRUE(
      std::ranges::none_of(stuck, [](const auto& each) { return each->status.has_value(); }));
}

TEST_F(HoldersTest, a_restarted_holder_does_not_hold_for_ever_what_it_has_not_seen) {
  TestNode& a = publisher();
  hold("b");
  const auto told = request(a, "one");
  run(absl::Seconds(1));
  crash("b");
  Holder& b = hold("b");  // before it was found silent
  EXPECT_FALSE(told->status);
  EXPECT_TRUE(b.got.empty());
  run(absl::Seconds(45));
  EXPECT_TRUE(told->ok());
  const auto second = request(a, "two");
  run(absl::Seconds(45));
  EXPECT_FALSE(second->status) << "this one it has seen";
  b.take();
  run(absl::Seconds(1));
  EXPECT_TRUE(second->ok());
}

TEST_F(HoldersTest, a_restarted_publisher_hears_of_holders_again_and_of_what_waited_nothing) {
  TestNode* a = &publisher();
  Holder& b = hold("b");
  request(*a, "one");
  run(absl::Seconds(1));
  crash("a");
  a = &publisher();
  EXPECT_TRUE(events->waiting().empty());
  const auto second = request(*a, "two");
  run(absl::Seconds(2));
  EXPECT_FALSE(second->status);
  b.take_all();
  run(absl::Seconds(1));
  EXPECT_TRUE(second->ok());
}

TEST_F(HoldersTest, waits_on_when_the_custodian_fails) {
  TestNode& a = publisher();
  Holder& b = hold("b");
  const auto told = request(a, "one");
  run(absl::Seconds(1));
  a.node->fail_actor(custodian_actor, absl::InternalError("a test"));
  run(absl::Seconds(3));
  EXPECT_FALSE(told->status);
  b.take();
  run(absl::Seconds(1));
  EXPECT_TRUE(told->ok());
  // And one that is gone before the next one has heard it.
  const auto second = request(a, "two");
  run(absl::Seconds(1));
  crash("b");
  a.node->fail_actor(custodian_actor, absl::InternalError("a test"));
  run(absl::Seconds(20));
  EXPECT_TRUE(second->ok());
}

TEST_F(HoldersTest, no_more_than_so_many_wait_and_who_is_refused_is_told_of_whom) {
  TestNode& a = publisher({.waiting_max = 2});
  Holder& b = hold("b");
  const auto one = request(a, "one");
  const auto two = request(a, "two");
  run(absl::Seconds(1));
  const auto three = request(a, "three");
  run(absl::Seconds(1));
  ASSERT_TRUE(three->status);
  EXPECT_TRUE(absl::IsResourceExhausted(*three->status)) << *three->status;
  EXPECT_TRUE(absl::StrContains(three->status->message(), "b/holder")) << *three->status;
  b.take_all();
  run(absl::Seconds(1));
  EXPECT_TRUE(one->ok() && two->ok());
  const auto four = request(a, "four");
  run(absl::Seconds(1));
  b.take_all();
  run(absl::Seconds(1));
  EXPECT_TRUE(four->ok());
}

TEST_F(HoldersTest, archives_and_holders_are_both_waited_for) {
  TestNode& a = publisher({.types = {{schema::Payload::INSTANCE_REQUESTED, 1}}});
  Holder& b = hold("b");
  const auto told = request(a, "one");
  run(absl::Seconds(2));
  b.take();
  run(absl::Seconds(2));
  EXPECT_FALSE(told->status) << "it is in no archive";
  keep("c");
  run(absl::Seconds(2));
  EXPECT_TRUE(told->ok());
  const auto second = request(a, "two");
  run(absl::Seconds(2));
  EXPECT_FALSE(second->status) << "it is archived, and not taken";
  b.take();
  run(absl::Seconds(1));
  EXPECT_TRUE(second->ok());
}

TEST_F(HoldersTest, who_may_not_subscribe_it_is_not_waited_for) {
  TestNode& a = publisher({.may_hear = [](std::string_view node, std::string_view topic) {
    return node == "b" && topic == "instance.requested.main.heard";
  }});
  hold("b");
  hold("c");
  const auto told = request(a, "other");
  const auto heard = request(a, "heard");
  run(absl::Seconds(1));
  EXPECT_TRUE(told->ok());
  EXPECT_FALSE(heard->status);
  holders.at("b/holder").take_all();
  run(absl::Seconds(1));
  EXPECT_TRUE(heard->ok()) << "c did not count";
}

TEST_F(HoldersTest, only_a_node_itself_says_who_holds_in_it) {
  TestNode& a = publisher();
  TestNode& b = start("b");
  Draft draft = b.hand->draft("b");
  auto hold = draft.payload().initBusHolding().initHolds(1);
  hold[0].setActor("hand");
  hold[0].setPattern(">");
  b.hand->publish(std::move(draft));
  run(absl::Seconds(1));
  EXPECT_TRUE(events->holders().empty());
  const auto told = request(a, "one");
  run(absl::Seconds(1));
  EXPECT_TRUE(told->ok());
}

TEST_F(HoldersTest, holds_no_leave_up_and_tells_who_waits) {
  TestNode& a = publisher();
  hold("b");
  std::optional<absl::Status> told, ended;
  Draft draft = a.pool.draft("one");
  draft.payload().initInstanceRequested().setClientToken("one");
  a.node->publish_for(
      "other", std::move(draft),
      Reply<Event>(far_future, [&](const absl::StatusOr<Event>& event) { told = event.status(); }));
  run(absl::Seconds(1));
  EXPECT_FALSE(told);
  a.hand = nullptr;
  a.node->leave("a test", [&](const absl::Status& status) { ended = status; });
  run(absl::Seconds(1));
  EXPECT_TRUE(ended && ended->ok());
  ASSERT_TRUE(told);
  EXPECT_TRUE(absl::IsUnavailable(*told)) << *told;
  EXPECT_TRUE(absl::StrContains(told->message(), "not known to be taken by b/holder")) << *told;
}

}  // namespace
}  // namespace supercloud
