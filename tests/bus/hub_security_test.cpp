// What a hub may over tcp, and who asks through one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "bus/heard_before.h"
#include "bus/history.h"
#include "bus/zmq_wire.h"
#include "tests/bus/security_fixture.h"
#include "tests/bus/stranger.h"

namespace supercloud {
namespace {

// All that is beyond the hub: one node, "far".
class Far final : public Beyond {
 public:
  void want(const std::string& prefix, Reply<Done> reply) override {
    wanted.insert(prefix);
    reply(Done{});
  }
  void let_go(const std::string& prefix) override { wanted.erase(prefix); }
  bool has(std::string_view node) const override { return node == "far"; }
  void request(Address to, std::string bytes, Reply<std::string> reply) override {
    asked.push_back(to.to_string());
    if (const auto range = decode_question(bytes); range.ok()) prefixes = range->prefixes;
    reply(std::string("from afar"));
  }
  std::vector<OriginTail> standing() const override { return stands; }

  std::set<std::string> wanted;
  std::vector<std::string> asked;
  std::vector<std::string> prefixes;
  std::vector<OriginTail> stands;
};

class HubSecurityTest : public SecurityTest {
 protected:
  HubSecurityTest() {
    trust_ = test_trust({"a", "b", "hub", "far"});
    trust_.rights.grant("hub", all_rights(true));
  }
  std::unique_ptr<BusProcess> start_hub() {
    ZmqBusOptions options = member("hub", trust_);
    auto process = std::make_unique<BusProcess>(options.name, std::make_unique<EventPool>());
    auto made = ZmqBus::open(loop_, *process->pool, std::move(options));
    EXPECT_TRUE(made.ok()) << made.status();
    (*made)->relay(far_, false);
    process->bus = *std::move(made);
    process->bus->start(*process, {});
    return process;
  }
  // Of a node that is beyond, or says to be.
  void relay(BusProcess& hub, const std::string& node) {
    TestStreams& streams = streams_.try_emplace(node, node).first->second;
    hub.bus->publish(streams.event(*hub.pool, "executor", "web1"));
  }

  // What is logged, with its checkpoint.
  void relay_logged(BusProcess& hub, const std::string& node) {
    TestStreams& streams = streams_.try_emplace(node, node).first->second;
    const Event event = streams.started(*hub.pool, "executor", "web1");
    bus(hub).publish_proof(streams.checkpoint(*hub.pool, {event}, node), "vm.started.main.");
    hub.bus->publish(event);
  }

  Far far_;
  Trust trust_;
  std::map<std::string, TestStreams> streams_;
};

TEST_F(HubSecurityTest, what_a_hub_relays_counts_within_the_rights_of_whose_it_is) {
  trust_.rights.grant("far", rights({"migration.>"}, {">"}, true));
  auto hub = start_hub();
  auto a = start(member("a", trust_), hub.get());
  meet(*a, *hub);
  subscribe(*a, "vm.");
  EXPECT_TRUE(far_.wanted.contains("vm."));
  relay(*hub, "far");
  ASSERT_TRUE(run_until([&] { return rejected(*a, "far has no right to publish vm.dirty_rate"); }));
  hub->bus->publish(streams_.at("far").other(*hub->pool, "network", "web1"));
  subscribe(*a, "migration.");
  hub->bus->publish(streams_.at("far").other(*hub->pool, "network", "web1"));
  ASSERT_TRUE(run_until([&] { return !a->events.empty(); }));
  EXPECT_EQ(a->events[0].origin(), "far/network");
  EXPECT_TRUE(only_of(*a, "migration."));
}

TEST_F(HubSecurityTest, who_has_no_right_to_relay_is_not_believed) {
  trust_.rights.grant("hub", all_rights(false));
  auto hub = start_hub();
  auto a = start(member("a", trust_), hub.get());
  meet(*a, *hub);
  subscribe(*a, "vm.");
  ASSERT_TRUE(run_until([&] { return rejected(*a, "relays = true"); }));
  relay(*hub, "far");
  ASSERT_TRUE(run_until([&] { return rejected(*a, "in the name of far/executor"); }));
  EXPECT_TRUE(a->events.empty());
  EXPECT_TRUE(bus(*a).relays().empty());
  EXPECT_TRUE(absl::IsUnavailable(ask(*a, {"far", "echo"}, "x").status())) << "nor asked";
}

TEST_F(HubSecurityTest, what_is_logged_beyond_counts_with_its_proof) {
  auto hub = start_hub();
  auto a = start(member("a", trust_), hub.get());
  meet(*a, *hub);
  subscribe(*a, "vm.");
  ASSERT_TRUE(run_until([&] { return !bus(*a).relays().empty(); }));
  subscribe(*a, "vm.started.");  // in effect with the proofs of it
  relay_logged(*hub, "far");
  ASSERT_TRUE(run_until([&] { return a->events.size() == 1; }));
  hub->bus->publish(streams_.at("far").started(*hub->pool, "executor", "web1"));
  ASSERT_TRUE(run_until([&] { return rejected(*a, "relays what no checkpoint proves"); }));
  EXPECT_EQ(a->events.size(), 1);
}

TEST_F(HubSecurityTest, what_a_process_before_has_heard_a_hub_cannot_tell_as_new) {
  auto hub = start_hub();
  ZmqBusOptions options = member("a", trust_);
  const auto starts = [&](HeardBefore::Positions before) {
    options.heard_before = std::make_shared<HeardBefore>(std::move(before));
    auto a = start(options, hub.get());
    meet(*a, *hub);
    subscribe(*a, "vm.");
    EXPECT_TRUE(run_until([&] { return !bus(*a).relays().empty(); }));
    subscribe(*a, "vm.started.");
    return a;
  };
  auto a = starts({});
  TestStreams& far = streams_.try_emplace("far", "far").first->second;
  const Event old = far.started(*hub->pool, "executor", "web1");
  const Event its_proof = far.checkpoint(*hub->pool, {old}, "far");
  const auto tell_old = [&] {
    bus(*hub).publish_proof(its_proof, "vm.started.main.");
    hub->bus->publish(old);
  };
  tell_old();
  ASSERT_TRUE(run_until([&] { return a->events.size() == 1; }));

  HeardBefore::Positions heard = options.heard_before->newest();
  EXPECT_EQ(heard.at("far/executor").position, (HeardBefore::Position{1, 1}));
  a.reset();
  a = starts(heard);
  tell_old();
  ASSERT_TRUE(run_until([&] { return rejected(*a, "hub: it tells again, unasked"); }));
  EXPECT_TRUE(a->events.empty());
  relay_logged(*hub, "far");
  ASSERT_TRUE(run_until([&] { return a->events.size() == 1; }));
  EXPECT_EQ(a->events[0].sequence(), 2) << "what is new counts";

  a.reset();
  a = starts({});
  tell_old();
  ASSERT_TRUE(run_until([&] { return a->events.size() == 1; })) << "who knows nothing, takes it";
}

TEST_F(HubSecurityTest, how_far_a_node_came_is_forgotten_with_the_key_that_proved_it) {
  const HeardBefore::Positions before = {{"far/executor", {{9, 9}, {9}}},
                                         {"b/executor", {{9, 9}, {9}}}};
  const auto remembers = [](const HeardBefore& heard, const std::string& origin) {
    return heard.newest().contains(origin);
  };
  auto hub = start_hub();
  ZmqBusOptions options = member("a", trust_);
  options.heard_before = std::make_shared<HeardBefore>(before);
  auto a = start(options, hub.get());
  Trust more = trust_;
  ASSERT_TRUE(more.enrol(test_key("far2")->public_key(), "far").ok());
  bus(*a).set_trust(std::make_shared<const Trust>(more));
  EXPECT_TRUE(remembers(*options.heard_before, "far/executor")) << "the old key is good still";
  Trust rotated = test_trust({"a", "b", "hub"});
  rotated.rights = trust_.rights;
  ASSERT_TRUE(rotated.enrol(test_key("far2")->public_key(), "far").ok());
  bus(*a).set_trust(std::make_shared<const Trust>(rotated));
  EXPECT_FALSE(remembers(*options.heard_before, "far/executor"));
  EXPECT_TRUE(remembers(*options.heard_before, "b/executor"));

  a.reset();
  Trust without = test_trust({"a", "hub", "far"});
  without.rights = trust_.rights;
  options = member("a", without);
  options.heard_before = std::make_shared<HeardBefore>(before);
  a = start(options, hub.get());
  EXPECT_FALSE(remembers(*options.heard_before, "b/executor")) << "revoked meanwhile";
  EXPECT_TRUE(remembers(*options.heard_before, "far/executor"));
}

TEST_F(HubSecurityTest, who_may_not_see_proofs_gets_nothing_that_is_logged_beyond) {
  trust_.rights.grant("a", rights({">"}, {"vm.>"}, true));
  auto hub = start_hub();
  ZmqBusOptions options = member("a", trust_);
  options.repair.within = absl::Milliseconds(500);
  auto a = start(std::move(options), hub.get());
  meet(*a, *hub);
  subscribe(*a, "vm.");
  ASSERT_TRUE(run_until([&] { return rejected(*hub, "the right to subscribe bus.checkpoint.>"); }));
  relay_logged(*hub, "far");
  relay(*hub, "far");
  ASSERT_TRUE(run_until([&] { return !a->events.empty() && !a->gaps.empty(); }));
  EXPECT_EQ(a->events[0].topic(), "vm.dirty_rate.main.web1");
}

TEST_F(HubSecurityTest, what_a_key_has_signed_that_is_revoked_is_not_proven) {
  auto hub = start_hub();
  auto a = start(member("a", trust_), hub.get());
  meet(*a, *hub);
  subscribe(*a, "vm.");
  ASSERT_TRUE(run_until([&] { return !bus(*a).relays().empty(); }));
  subscribe(*a, "vm.started.");
  relay_logged(*hub, "far");
  ASSERT_TRUE(run_until([&] { return a->events.size() == 1; }));
  Trust without = test_trust({"a", "b", "hub"});
  without.rights = trust_.rights;
  bus(*a).set_trust(std::make_shared<const Trust>(without));
  relay_logged(*hub, "far");
  ASSERT_TRUE(run_until([&] { return rejected(*a, "signed by no key that is enrolled as far"); }));
  EXPECT_EQ(a->events.size(), 1);
}

TEST_F(HubSecurityTest, who_is_granted_a_part_is_told_of_that_part) {
  trust_.rights.grant("a", rights({">"}, {"vm.dirty_rate.>", "node.>", "bus.checkpoint.>"}, true));
  auto hub = start_hub();
  auto a = start(member("a", trust_), hub.get());
  meet(*a, *hub);
  subscribe(*a, "vm.");
  EXPECT_TRUE(far_.wanted.contains("vm.dirty_rate."));
  EXPECT_FALSE(far_.wanted.contains("vm."));
  // What the hub says each second, when two events were lost behind it.
  TestStreams& far = streams_.try_emplace("far", "far").first->second;
  for (int i = 0; i < 2; ++i) far.event(*hub->pool, "executor", "web1");
  Draft draft = hub->pool->draft("hub");
  auto beat = draft.payload().initNodeHeartbeat();
  beat.setNode("hub");
  auto tail = beat.initTails(1)[0];
  tail.setOrigin("far/executor");
  tail.setIncarnation(1);
  tail.setSequence(2);
  auto prefix = tail.initPrefixes(1)[0];
  prefix.setPrefix("vm.dirty_rate.");
  prefix.setSequence(2);
  ASSERT_TRUE(draft.set_topic().ok());
  hub->bus->publish(*std::move(draft).seal(
      {.origin = "hub/hub", .incarnation = 1, .sequence = 1, .time = HybridTime{1 << 12}}));
  ASSERT_TRUE(run_until([&] { return !far_.asked.empty(); }));
  EXPECT_EQ(far_.asked[0], "far/bus.proven");
  EXPECT_EQ(far_.prefixes, std::vector<std::string>{"vm.dirty_rate."});
}

TEST_F(HubSecurityTest, a_member_of_an_older_build_is_told_where_all_stand_without_prefixes) {
  far_.stands = {{"far/executor", 1, 9, 3, 5, {{"vm.", 5, 3, 0}}}};
  auto hub = start_hub();
  Stranger older(loop_, ZMQ_SUB, "a", "hub", bus(*hub).publish_endpoint());
  const std::string topic = absl::StrCat("\xff", "ma/1/1rb/");
  older.subscribe(topic);
  ASSERT_TRUE(older.eventually([&] { return !older.behind(topic).empty(); }));
  const auto marker = decode_marker(older.behind(topic));
  ASSERT_TRUE(marker.ok()) << marker.status();
  EXPECT_TRUE(marker->relays);
  EXPECT_FALSE(marker->under);
  ASSERT_EQ(marker->tails.size(), 1);
  EXPECT_EQ(marker->tails[0].since, 3);
  EXPECT_EQ(marker->tails[0].passed, 5);
  EXPECT_TRUE(marker->tails[0].under.empty());
}

TEST_F(HubSecurityTest, of_a_neighbour_a_hub_is_not_believed) {
  auto hub = start_hub();
  auto a = start(member("a", trust_), hub.get());
  auto b = start(member("b", trust_), hub.get());
  meet(*a, *b);
  meet(*a, *hub);
  subscribe(*a, "vm.");
  relay(*hub, "b");
  ASSERT_TRUE(run_until([&] { return rejected(*a, "of a node that is a neighbour here"); }));
  b->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return !a->events.empty(); }));
  EXPECT_EQ(a->events.size(), 1);
}

TEST_F(HubSecurityTest, who_asks_through_a_hub_gets_no_further_than_it_may) {
  trust_.rights.grant("a", rights({">"}, {"vm.*.main.>"}, false));
  auto hub = start_hub();
  auto a = start(member("a", trust_), hub.get());
  auto b = start(member("b", trust_), hub.get());
  ASSERT_TRUE(run_until([&] { return !bus(*a).relays().empty() && !bus(*b).relays().empty(); }));
  EXPECT_EQ(ask(*b, {"far", "executor"}, "x").value_or(""), "from afar");
  EXPECT_TRUE(absl::IsPermissionDenied(ask(*a, {"far", "executor"}, "x").status()));
  EXPECT_EQ(far_.asked.size(), 1) << "the far node is not asked";
  const std::string question = encode_question({"far/executor", 1, {"vm.started."}, 0, 9});
  EXPECT_TRUE(ask(*a, {"far", std::string(history_actor)}, question).ok());
  EXPECT_EQ(far_.prefixes, std::vector<std::string>{"vm.started.main."});
  const std::string other = encode_question({"far/executor", 1, {"ledger."}, 0, 9});
  EXPECT_TRUE(
      absl::IsPermissionDenied(ask(*a, {"far", std::string(history_actor)}, other).status()));
  EXPECT_TRUE(absl::IsUnimplemented(ask(*b, {"far", std::string(publish_actor)}, "x").status()));
}

}  // namespace
}  // namespace supercloud
