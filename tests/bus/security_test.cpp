// What keys and rights promise (docs/security.md), against peers that have a valid key and break the rules, and against those that have none.
#include <gtest/gtest.h>
#include <zmq.h>

#include "bus/history.h"
#include "tests/bus/security_fixture.h"
#include "tests/bus/stranger.h"

namespace supercloud {
namespace {

TEST_F(SecurityTest, tcp_without_keys_is_refused_and_the_cure_named) {
  EventPool pool;
  ZmqBusOptions options = member("a", all_);
  options.credentials = {};
  const auto open = ZmqBus::open(loop_, pool, options);
  EXPECT_TRUE(absl::IsInvalidArgument(open.status())) << open.status();
  EXPECT_NE(open.status().message().find("docs/security.md"), std::string::npos);
  options.client = true;
  options.seeds = {"tcp://127.0.0.1:1"};
  EXPECT_TRUE(absl::IsInvalidArgument(ZmqBus::open(loop_, pool, options).status()));
}

TEST_F(SecurityTest, a_seed_without_a_name_and_a_key_without_one_are_refused) {
  EventPool pool;
  ZmqBusOptions options = member("a", all_);
  options.seeds = {"tcp://127.0.0.1:1"};
  const auto nameless = ZmqBus::open(loop_, pool, options);
  EXPECT_TRUE(absl::IsInvalidArgument(nameless.status())) << nameless.status();
  EXPECT_NE(nameless.status().message().find("NAME@"), std::string::npos);
  options = member("a", all_);
  options.credentials.key = test_key("b");
  EXPECT_TRUE(absl::IsPermissionDenied(ZmqBus::open(loop_, pool, options).status()));
  options.credentials.key = test_key("stranger");
  EXPECT_TRUE(absl::IsPermissionDenied(ZmqBus::open(loop_, pool, options).status()));
}

TEST_F(SecurityTest, what_one_has_no_right_to_publish_arrives_nowhere) {
  Trust trust = all_;
  trust.rights.grant("b", rights({"migration.>", "node.>"}, {">"}, true));
  auto a = start(member("a", trust));
  auto b = start(member("b", trust), a.get());
  meet(*a, *b);
  subscribe(*a, "");
  b->keeps_log = true;  // nor through it
  b->publish("executor", "web1");
  const Event allowed = b->streams.other(*b->pool, "executor", "web1");
  b->log.push_back(allowed);
  b->bus->publish(allowed);
  ASSERT_TRUE(run_until([&] { return !a->events.empty(); }));
  EXPECT_TRUE(only_of(*a, "migration."));
  EXPECT_TRUE(rejected(*a, "b: it has no right to publish vm.dirty_rate.main.web1"));
}

TEST_F(SecurityTest, an_event_in_anothers_name_is_rejected) {
  auto a = start(member("a", all_));
  auto b = start(member("b", all_), a.get());
  meet(*a, *b);
  subscribe(*a, "vm.");
  TestStreams of_c("c");
  b->bus->publish(of_c.event(*b->pool, "executor", "web1"));
  b->publish("executor", "web2");
  ASSERT_TRUE(run_until([&] { return !a->events.empty(); }));
  ASSERT_EQ(a->events.size(), 1U);
  EXPECT_EQ(a->events[0].origin(), "b/executor");
  EXPECT_TRUE(rejected(*a, "b: vm.dirty_rate.main.web1 in the name of c/executor"));
}

TEST_F(SecurityTest, a_hello_in_anothers_name_is_refused) {
  auto a = start(member("a", all_));
  Trust own;  // as the peer would have it
  ASSERT_TRUE(own.enrol(test_key("a")->public_key(), "a").ok());
  ASSERT_TRUE(own.enrol(test_key("b")->public_key(), "c").ok());
  ZmqBusOptions options = member("c", own);
  options.credentials.key = test_key("b");
  auto peer = start(options, a.get());
  ASSERT_TRUE(run_until([&] { return !peer->fatal.empty(); }));
  EXPECT_TRUE(absl::IsPermissionDenied(peer->fatal[0])) << peer->fatal[0];
  EXPECT_TRUE(rejected(*a, "b: a process with the key of b says hello as c"));
  EXPECT_FALSE(a->sees("b") || a->sees("c"));
}

TEST_F(SecurityTest, a_key_that_is_not_enrolled_does_not_come_in) {
  auto a = start(member("a", all_));
  auto d = start(member("d", test_trust({"a", "d"})), a.get());
  ASSERT_TRUE(run_until([&] { return rejected(*a, "a key that the trust file does not have"); }));
  EXPECT_FALSE(a->sees("d") || d->sees("a"));
  // Enrolled while all run, it does.
  bus(*a).set_trust(std::make_shared<const Trust>(test_trust({"a", "b", "c", "d"})));
  meet(*a, *d);
}

TEST_F(SecurityTest, an_impostor_at_a_members_endpoint_is_not_believed) {
  Trust own;
  ASSERT_TRUE(own.enrol(test_key("b")->public_key(), "a").ok());
  ZmqBusOptions options = member("a", own);
  options.credentials.key = test_key("b");
  auto impostor = start(options);
  auto c = start(member("c", all_), impostor.get());
  Stranger as_c(loop_, ZMQ_DEALER, "c", "a", bus(*impostor).request_endpoint());
  const auto failures = [&] {
    return as_c.times(ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL) +
           as_c.times(ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL);
  };
  ASSERT_TRUE(as_c.eventually([&] { return failures() > 1; }));
  EXPECT_EQ(as_c.times(ZMQ_EVENT_HANDSHAKE_SUCCEEDED), 0);
  EXPECT_FALSE(c->sees("a"));
  EXPECT_TRUE(impostor->met.empty());
}

TEST_F(SecurityTest, a_subscription_wider_than_the_right_gets_what_is_within) {
  Trust trust = all_;
  trust.rights.grant("c", rights({}, {"vm.dirty_rate.>", "node.heartbeat.>"}, false));
  auto a = start(member("a", trust));
  for (const char* prefix : {"", "v", "vm.d"}) {
    Stranger c(loop_, ZMQ_SUB, "c", "a", bus(*a).publish_endpoint());
    const std::string marker = std::string(marker_lead) + "c/1/1/";
    c.subscribe(prefix);
    c.subscribe("migration.");
    c.subscribe("m");
    c.subscribe(marker);
    ASSERT_TRUE(c.eventually([&] { return c.heard_of(marker); })) << prefix;
    a->bus->publish(a->streams.other(*a->pool, "executor", "web1"));
    a->publish("executor", "web1");
    ASSERT_TRUE(c.eventually([&] { return c.heard_of("vm."); })) << prefix;
    EXPECT_FALSE(c.heard_of("migration.")) << prefix;
  }
  EXPECT_TRUE(rejected(*a, "c: it has no right to subscribe all of \"\"; it gets 2 parts of it"));
  EXPECT_TRUE(rejected(*a, "c: it has no right to subscribe all of \"m\"; it gets nothing"));
}

TEST_F(SecurityTest, json_comes_as_far_as_the_right_goes_and_as_long_as_somebody_has_it) {
  const std::string json(json_lead);
  Trust trust = all_;
  trust.rights.grant("c", rights({}, {"vm.dirty_rate.>", "node.heartbeat.>"}, false));
  auto a = start(member("a", trust));
  const auto subscribed = [&](const char* name, const std::string& prefix) {
    auto made = std::make_unique<Stranger>(loop_, ZMQ_SUB, name, "a", bus(*a).publish_endpoint());
    const std::string marker = absl::StrCat(absl_view(marker_lead), name, "/1/1/");
    made->subscribe(json + prefix);
    made->subscribe(marker);
    EXPECT_TRUE(made->eventually([&] { return made->heard_of(marker); }));
    return made;
  };
  auto c = subscribed("c", "");
  auto b = subscribed("b", "vm.");
  const auto say = [&](const std::string& vm) {
    a->bus->publish(a->streams.other(*a->pool, "executor", vm));
    a->publish("executor", vm);
  };
  say("web1");
  for (auto* each : {c.get(), b.get()})
    ASSERT_TRUE(
        each->eventually([&] { return each->heard_of(json + "vm.dirty_rate.main.web1."); }));
  EXPECT_FALSE(c->heard_of(json + "migration."));
  EXPECT_FALSE(c->heard_of("vm."));
  EXPECT_TRUE(rejected(*a, "c: it has no right to subscribe all of \"\"; it gets 2 parts of it"));

  // Who goes takes it from nobody.
  b.reset();
  auto later = subscribed("b", "migration.");  // after what libzmq tells of the one before
  say("web2");
  EXPECT_TRUE(c->eventually([&] { return c->heard_of(json + "vm.dirty_rate.main.web2."); }));
  EXPECT_TRUE(
      later->eventually([&] { return later->heard_of(json + "migration.progress.main.web2."); }));
}

TEST_F(SecurityTest, events_come_together_as_far_as_the_right_goes) {
  const std::string together(together_lead);
  Trust trust = all_;
  trust.rights.grant("c", rights({}, {"vm.dirty_rate.main.web1", "node.heartbeat.>"}, false));
  auto a = start(member("a", trust));
  Stranger b(loop_, ZMQ_SUB, "b", "a", bus(*a).publish_endpoint());
  Stranger c(loop_, ZMQ_SUB, "c", "a", bus(*a).publish_endpoint());
  const std::string lead = std::string(marker_lead);
  for (auto [each, name] : {std::pair(&b, "b"), std::pair(&c, "c")}) {
    each->subscribe(together + "vm.");
    each->subscribe(together + "migration.");
    each->subscribe(lead + name + "/1/1b/");
    ASSERT_TRUE(each->eventually(
        [&, each = each, name = name] { return each->heard_of(lead + name + "/1/1b/"); }));
  }
  for (const char* vm : {"web1", "web2", "web3"}) a->publish("executor", vm);
  a->bus->publish(a->streams.other(*a->pool, "executor", "web1"));
  ASSERT_TRUE(b.eventually([&] { return b.heard_of(together + "migration.progress.main."); }));
  EXPECT_TRUE(b.heard_of(together + "vm.dirty_rate.main.web1."));
  EXPECT_TRUE(b.eventually([&] {
    const auto& all = b.heard();
    return std::count(all.begin(), all.end(), together + "vm.dirty_rate.main.") == 1;
  })) << "the others, in one message";
  EXPECT_FALSE(b.heard_of("vm."));
  ASSERT_TRUE(c.eventually([&] { return c.heard_of(together + "vm.dirty_rate.main.web1."); }))
      << "in messages of that topic, for others are not for c";
  a->publish("executor", "web1");
  ASSERT_TRUE(c.eventually([&] { return c.heard().size() >= 3; }));
  for (const std::string& topic : c.heard())
    EXPECT_TRUE(topic.starts_with(lead) || topic == together + "vm.dirty_rate.main.web1.") << topic;
  EXPECT_TRUE(rejected(
      *a, "c: it has no right to subscribe all of \"vm.\"; it gets \"vm.dirty_rate.main.web1.\""));
}

TEST_F(SecurityTest, one_has_published_what_one_may_publish_in_ones_own_name) {
  Trust trust = all_;
  trust.rights.grant("c", rights({"latency.>", "vm.>"}, {}, false));
  trust.rights.grant("b", rights({}, {">"}, true));
  ZmqBusOptions options = member("a", trust);
  options.credentials.trust = std::make_shared<const Trust>(trust);
  std::vector<std::string> wished;
  options.on_wish = [&](const std::string& publisher, const Draft& draft, Reply<Event> reply) {
    wished.push_back(absl::StrCat(publisher, " ", absl_view(draft.topic())));
    reply(absl::UnavailableError("later"));
  };
  auto a = start(options);
  ZmqBusOptions client = member("client-1", trust);
  client.client = true;
  client.credentials.key = test_key("c");
  auto c = start(client, a.get());
  const auto wish = [&](const std::string& name, const std::string& json) {
    return ask(*c, {"a", std::string(publish_actor)}, encode(PublishWish{name, json})).status();
  };
  const std::string latency =
      R"({"topic":"latency.measured.main.x","payload":{"latencyMeasured":{"milliseconds":1}}})";
  const std::string price = R"({"topic":"spot.feed_lost.main.x","payload":{"spotFeedLost":{}}})";
  EXPECT_TRUE(absl::IsUnavailable(wish("c", latency)));
  EXPECT_EQ(wished, std::vector<std::string>{"c latency.measured.main.x"});
  EXPECT_TRUE(absl::IsPermissionDenied(wish("b", latency)));
  EXPECT_TRUE(absl::IsPermissionDenied(wish("c", price)));
  EXPECT_TRUE(absl::IsInvalidArgument(wish("c", "{}")));
  EXPECT_EQ(wished.size(), 1U);
  client.credentials.key = test_key("b");  // which may publish nothing
  client.name = "client-2";
  c = start(client, a.get());
  EXPECT_TRUE(absl::IsPermissionDenied(wish("b", "no JSON is looked at")));
  EXPECT_TRUE(rejected(*a, "c: c has no right to publish as b"));
  EXPECT_TRUE(rejected(*a, "c: c has no right to publish spot.feed_lost.main.x"));
}

TEST_F(SecurityTest, a_log_tells_what_may_be_subscribed_and_nothing_else) {
  Trust trust = all_;
  trust.rights.grant("c", rights({}, {"vm.>"}, false));
  auto a = start(member("a", trust));
  a->keeps_log = true;
  a->log.push_back(a->streams.other(*a->pool, "executor", "web1"));
  a->publish("executor", "web1");
  ZmqBusOptions options = member("client-1", trust);
  options.client = true;
  options.credentials.key = test_key("c");
  auto c = start(options, a.get());
  StreamRange range{"a/executor", 1, {"migration."}, 0, 2};
  EXPECT_TRUE(absl::IsPermissionDenied(ask(*c, {"a", "bus"}, encode_question(range)).status()));
  range.prefixes = {""};
  const auto answer = ask(*c, {"a", "bus"}, encode_question(range));
  ASSERT_TRUE(answer.ok()) << answer.status();
  const auto part = decode_answer(*answer, range);
  ASSERT_TRUE(part.ok()) << part.status();
  ASSERT_EQ(part->events.size(), 1U);
  const std::string_view bytes = part->events[0];
  EXPECT_EQ(
      c->pool->parse({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()})->topic(),
      "vm.dirty_rate.main.web1");
  const auto in_json = ask(*c, {"a", "bus.json"}, encode_question(range));
  ASSERT_TRUE(in_json.ok()) << in_json.status();
  EXPECT_NE(in_json->find("\"topic\":\"vm.dirty_rate.main.web1\""), std::string::npos);
  EXPECT_EQ(in_json->find("migration."), std::string::npos);
  const auto echo = ask(*c, {"a", "echo"}, "x");
  EXPECT_TRUE(absl::IsPermissionDenied(echo.status())) << echo.status();
  EXPECT_TRUE(rejected(*a, "c: c has no right to make requests"));
  EXPECT_TRUE(a->served.empty());
}

TEST_F(SecurityTest, a_revoked_keys_connections_close_and_the_others_lose_nothing) {
  auto a = start(member("a", all_));
  auto b = start(member("b", all_), a.get());
  auto c = start(member("c", all_), a.get());
  meet(*a, *b);
  meet(*a, *c);
  a->keeps_log = true;
  subscribe(*c, "vm.");
  Stranger listener(loop_, ZMQ_SUB, "b", "a", bus(*a).publish_endpoint());
  Stranger bystander(loop_, ZMQ_SUB, "c", "a", bus(*a).publish_endpoint());
  bystander.subscribe("vm.");
  Stranger asker(loop_, ZMQ_DEALER, "b", "a", bus(*a).request_endpoint());
  const std::string marker = std::string(marker_lead) + "b/1/1/";
  listener.subscribe("vm.");
  listener.subscribe(marker);
  ASSERT_TRUE(listener.eventually([&] { return listener.heard_of(marker); }));
  ASSERT_TRUE(asker.eventually([&] { return asker.times(ZMQ_EVENT_HANDSHAKE_SUCCEEDED) == 1; }));
  ASSERT_TRUE(
      bystander.eventually([&] { return bystander.times(ZMQ_EVENT_HANDSHAKE_SUCCEEDED) == 1; }));
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return c->events.size() == 1; }));

  Trust without = test_trust({"a", "c"});
  bus(*a).set_trust(std::make_shared<const Trust>(without));
  a->publish("executor", "web2");
  for (Stranger* each : {&listener, &asker}) {
    EXPECT_TRUE(each->eventually([&] { return each->times(ZMQ_EVENT_DISCONNECTED) > 0; },
                                 absl::Seconds(5)));
  }
  EXPECT_FALSE(a->sees("b"));
  ASSERT_TRUE(run_until([&] { return c->events.size() == 2; }));
  // What comes again is not let in.
  const auto told = [&] { return rejected(*a, "a key that the trust file does not have"); };
  ASSERT_TRUE(listener.eventually(told));
  const std::size_t before = listener.heard().size();
  a->publish("executor", "web3");
  ASSERT_TRUE(run_until([&] { return c->events.size() == 3; }));
  EXPECT_TRUE(c->gaps.empty());
  EXPECT_EQ(listener.heard().size(), before);
  for (Stranger* each : {&listener, &asker})
    EXPECT_EQ(each->times(ZMQ_EVENT_HANDSHAKE_SUCCEEDED), 1);
  // Nobody else has to connect again.
  EXPECT_TRUE(bystander.heard_of("vm."));
  EXPECT_EQ(bystander.times(ZMQ_EVENT_DISCONNECTED), 0);
  EXPECT_EQ(c->met["a"], 1);
}

// One of them subscribes `prefix` and takes nothing: whom its publisher names then.
class SlowOneTest : public SecurityTest {
 protected:
  // `shared`: another has subscribed that marker before.
  void expect_named(const std::string& prefix, const std::string& marker,
                    const std::string& expected = "c", bool shared = false);
};

void SlowOneTest::expect_named(const std::string& prefix, const std::string& marker,
                               const std::string& expected, bool shared) {
  const Trust trust = test_trust({"a", "b", "c"});
  ZmqBusOptions options = member("a", trust);
  options.high_water_mark = 64;
  options.silence_max = absl::Seconds(60);
  std::map<std::string, std::uint64_t> told;
  options.on_slow_subscriber = [&](const std::string& name, std::uint64_t backlog) {
    told[name] += backlog;
  };
  const auto a = start(std::move(options));
  const auto b = start(member("b", trust), a.get());
  meet(*a, *b);
  subscribe(*b, "vm.");
  std::optional<Stranger> first;
  if (shared) {
    first.emplace(loop_, ZMQ_SUB, "b", "a", bus(*a).publish_endpoint());
    first->subscribe(absl::StrCat(absl_view(marker_lead), marker));
    ASSERT_TRUE(first->eventually([&] { return first->heard_of(std::string(marker_lead)); }));
  }
  EventLoop stopped;
  ZmqSocket liar(std::make_shared<ZmqContext>(), ZMQ_SUB,
                 {.high_water_mark = 64,
                  .curve = CurveEnd{test_key("c"), test_key("a")->public_key().curve()}},
                 stopped, [](ZmqSocket::Frames) {});
  ASSERT_TRUE(liar.connect(bus(*a).publish_endpoint()).ok());
  liar.subscribe(prefix);
  liar.subscribe(std::string(marker_lead) + marker);
  std::size_t published = 0;
  while (told.empty() && published < 400'000) {
    for (int i = 0; i < 4; ++i) a->publish("executor", "web1");
    published += 4;
    ASSERT_TRUE(run_until([&] { return b->events.size() == published; }));
  }
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told.begin()->first, expected);
}

TEST_F(SlowOneTest, who_is_slow_is_named_by_its_key_whatever_its_marker_says) {
  expect_named("vm.", "somebody/1/1/");
}

// It is not to be known which of them is slow.
TEST_F(SlowOneTest, who_takes_a_marker_of_anothers_client_has_nobody_named) {
  expect_named("vm.", "client-1/5/1b/", "", true);
}

TEST_F(SlowOneTest, who_subscribes_everything_and_is_slow_is_named_as_well) {
  expect_named("", "c/1/1/");
}

TEST_F(SecurityTest, what_is_left_of_everything_is_what_is_subscribed_besides) {
  auto a = start(member("a", all_));
  Stranger c(loop_, ZMQ_SUB, "c", "a", bus(*a).publish_endpoint());
  int number = 0;
  const auto in_effect = [&] {
    const std::string marker = absl::StrCat(absl_view(marker_lead), "c/1/", ++number, "/");
    c.subscribe(marker);
    return c.eventually([&] { return c.heard_of(marker); });
  };
  const auto say = [&](const std::string& vm) {
    a->publish("executor", vm);
    a->bus->publish(a->streams.other(*a->pool, "executor", vm));
  };
  c.subscribe("");
  c.subscribe("v");
  ASSERT_TRUE(in_effect());
  say("web1");
  ASSERT_TRUE(c.eventually([&] { return c.heard_of("migration.progress.main.web1."); }));
  EXPECT_TRUE(c.heard_of("vm.dirty_rate.main.web1."));
  c.unsubscribe("v");
  ASSERT_TRUE(in_effect());
  say("web2");
  EXPECT_TRUE(c.eventually([&] { return c.heard_of("vm.dirty_rate.main.web2."); }));
  c.subscribe("v");
  c.unsubscribe("");
  ASSERT_TRUE(in_effect());
  say("web3");
  EXPECT_TRUE(c.eventually([&] { return c.heard_of("vm.dirty_rate.main.web3."); }));
  ASSERT_TRUE(in_effect());
  EXPECT_FALSE(c.heard_of("migration.progress.main.web3."));
}

TEST_F(SecurityTest, a_right_that_is_withdrawn_ends_the_subscription) {
  auto a = start(member("a", all_));
  Stranger c(loop_, ZMQ_SUB, "c", "a", bus(*a).publish_endpoint());
  const std::string marker = std::string(marker_lead) + "c/1/1/";
  c.subscribe("");
  c.subscribe(marker);
  ASSERT_TRUE(c.eventually([&] { return c.heard_of(marker); }));
  Trust narrower = all_;
  narrower.rights.grant("c", rights({}, {"migration.>"}, false));
  bus(*a).set_trust(std::make_shared<const Trust>(narrower));
  ASSERT_TRUE(c.eventually([&] { return c.times(ZMQ_EVENT_DISCONNECTED) > 0; }, absl::Seconds(5)));
  ASSERT_TRUE(c.eventually([&] {
    a->publish("executor", "web1");
    a->bus->publish(a->streams.other(*a->pool, "executor", "web1"));
    return c.heard_of("migration.");
  }));
  EXPECT_FALSE(c.heard_of("vm."));
}

TEST_F(SecurityTest, a_name_may_change_its_key_while_the_others_run) {
  Trust two = all_;
  ASSERT_TRUE(two.enrol(test_key("b, later")->public_key(), "b").ok());
  auto a = start(member("a", two));
  auto b = start(member("b", two), a.get());
  meet(*a, *b);
  b.reset();
  ZmqBusOptions options = member("b", two);
  options.credentials.key = test_key("b, later");
  b = start(options, a.get());
  meet(*a, *b);
  ASSERT_TRUE(run_until([&] { return a->met["b"] == 2; }));
  subscribe(*a, "vm.");
  b->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return a->events.size() == 1; }));
}

}  // namespace
}  // namespace supercloud
