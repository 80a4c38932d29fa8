// Events that travel together: who gets them so, and that nobody misses anything by it. What is put into one message: event_batch_test.cpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bus/zmq_bus.h"
#include "bus/zmq_wire.h"
#include "core/event_loop.h"
#include "core/text.h"
#include "tests/bus/bus_process.h"
#include "tests/bus/listener.h"

namespace supercloud {
namespace {

class TogetherTest : public testing::Test {
 protected:
  TogetherTest() {
    std::string name = testing::TempDir() + "busXXXXXX";
    directory_ = mkdtemp(name.data());
  }
  ~TogetherTest() override { std::filesystem::remove_all(directory_); }

  std::string ipc(const std::string& name) const { return "ipc://" + directory_ + "/" + name; }
  std::unique_ptr<BusProcess> start(const std::string& name, const std::string& seed = "",
                                    const std::string& advertised = "") {
    ZmqBusOptions options;
    options.name = name;
    options.publish_bind = ipc(name + ".pub");
    options.request_bind = ipc(name + ".req");
    options.publish_advertised = advertised;
    options.hello_interval =
        absl::Milliseconds(20);  // somebody else's socket does not wake the loop
    options.silence_max = absl::Seconds(2);
    if (!seed.empty()) options.seeds = {ipc(seed + ".req")};
    auto process = std::make_unique<BusProcess>(name, std::make_unique<EventPool>());
    auto bus = ZmqBus::open(loop_, *process->pool, std::move(options));
    EXPECT_TRUE(bus.ok()) << bus.status();
    process->bus = *std::move(bus);
    process->bus->start(*process, {});
    return process;
  }
  bool run_until(const std::function<bool()>& condition) {
    return loop_.run_until(condition, absl::Seconds(20));
  }
  bool subscribe(BusProcess& process, const std::string& prefix) {
    bool ready = false;
    process.bus->subscribe(prefix, Reply<Done>(far_future, [&](const auto&) { ready = true; }));
    return run_until([&] { return ready; });
  }

  std::string directory_;
  EventLoop loop_;
};

TEST_F(TogetherTest, who_asks_gets_what_is_said_in_one_turn_in_one_message) {
  auto a = start("a");
  Listener together(ipc("a.pub")), alone(ipc("a.pub"));
  const std::string lead(together_lead), topic = lead + "vm.dirty_rate.main.";
  const std::string asking = std::string(marker_lead) + "x/1/1b/",
                    silent = std::string(marker_lead) + "y/1/1/";
  together.subscribe(lead + "vm.");
  together.subscribe(asking);
  alone.subscribe("vm.");
  alone.subscribe(silent);
  ASSERT_TRUE(run_until([&] { return !together.last(asking).empty(); }));
  ASSERT_TRUE(run_until([&] { return !alone.last(silent).empty(); }));
  EXPECT_TRUE(decode_marker(together.last(asking))->together);
  EXPECT_FALSE(decode_marker(alone.last(silent))->together) << "it has not asked";

  const auto told = [&] {  // events together: the most in one message, and all
    std::pair<std::size_t, std::size_t> count;
    for (const auto& [of, body] : together.heard()) {
      if (of != topic) continue;
      std::string_view rest = body;
      std::size_t events = 0;
      for (; take_event(rest).ok(); ++events) {
      }
      EXPECT_TRUE(rest.empty());
      count = {std::max(count.first, events), count.second + events};
    }
    return count;
  };
  // Where this process is held up for longer than events may wait they are said apart: then once more.
  std::size_t published = 0;
  for (int turn = 0; turn < 200 && told().first < 3; ++turn) {
    for (const char* vm : {"web1", "web2", "web3", "web4"}) a->publish("executor", vm);
    a->bus->publish(a->streams.other(*a->pool, "executor", "web1"));
    published += 4;
    ASSERT_TRUE(run_until([&] { return alone.heard().size() == 1 + published; }));
    ASSERT_TRUE(run_until([&] { return told().second == published; }));
  }
  EXPECT_EQ(told().first, 3U) << "behind the one that did not wait";
  EXPECT_EQ(alone.heard()[4].first, "vm.dirty_rate.main.web4.");
  for (const auto& [of, body] : together.heard())
    EXPECT_TRUE(of == topic || of == asking) << "nothing alone";
}

TEST_F(TogetherTest, a_marker_comes_behind_all_that_it_tells_of) {
  auto a = start("a");
  Listener listener(ipc("a.pub"));
  const std::string lead(together_lead), marker = std::string(marker_lead) + "x/1/";
  listener.subscribe(lead);
  listener.subscribe(marker + "1b/");
  ASSERT_TRUE(run_until([&] { return !listener.last(marker + "1b/").empty(); }));
  listener.subscribe(marker + "2b/");
  ASSERT_TRUE(run_until([&] {
    for (int i = 0; i < 3; ++i) a->publish("executor", "web1");
    return !listener.last(marker + "2b/").empty();
  }));
  std::uint64_t newest = 0;
  for (const auto& [topic, body] : listener.heard()) {
    if (topic == marker + "2b/") {
      const auto told = decode_marker(body);
      ASSERT_TRUE(told.ok()) << told.status();
      ASSERT_EQ(told->tails.size(), 1);
      EXPECT_EQ(told->tails[0].sequence, newest);
      return;
    }
    std::string_view rest = body;
    while (topic.starts_with(lead) && !rest.empty()) {
      const auto bytes = *take_event(rest);
      const auto event =
          a->pool->parse({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
      ASSERT_TRUE(event.ok()) << event.status();
      newest = event->sequence();
    }
  }
  FAIL() << "the marker is not there";
}

TEST_F(TogetherTest, everything_comes_once_and_in_order_while_subscriptions_come_and_go) {
  auto a = start("a");
  auto b = start("b", "a");
  ASSERT_TRUE(run_until([&] { return a->sees("b") && b->sees("a"); }));
  ASSERT_TRUE(subscribe(*b, "vm."));
  std::uint64_t said = 0;
  bool ready = true;
  for (int round = 0; round < 200; ++round) {
    // As many in one turn as there may be, of topics that go together and of others.
    for (int i = 0; i < round % 40; ++i, ++said) {
      const std::string vm = absl::StrCat("web", i % 3);
      a->publish("executor", vm);
      if (i % 7 == 6) a->bus->publish(a->streams.other(*a->pool, "mover", vm));
    }
    if (round == 20) b->bus->subscribe("migration.", Reply<Done>(far_future, [](const auto&) {}));
    if (round == 60) b->bus->unsubscribe("migration.");
    if (round == 100) {
      ready = false;
      b->bus->subscribe("", Reply<Done>(far_future, [&](const auto&) { ready = true; }));
    }
    if (round == 150) b->bus->unsubscribe("");
    bool turned = false;
    loop_.post([&] { turned = true; });
    ASSERT_TRUE(run_until([&] { return turned && ready; }));
  }
  const auto heard = [&] { return b->sequences("a/executor"); };
  ASSERT_TRUE(run_until([&] { return heard().size() >= said; }))
      << heard().size() << " of " << said;
  const std::vector<std::uint64_t> sequences = heard();
  EXPECT_EQ(sequences.size(), said);
  EXPECT_TRUE(std::is_sorted(sequences.begin(), sequences.end()));
  EXPECT_TRUE(b->gaps.empty()) << b->gaps[0].prefix << b->gaps[0].after << b->gaps[0].why;
  EXPECT_TRUE(b->rejected.empty()) << b->rejected[0];
}

// Between a publisher and its subscribers: it sees in what form events travel, and may damage what travels together.
class Tap {
 public:
  Tap(EventLoop& loop, const std::string& bind, const std::string& of)
      : subscribers_(context_, ZMQ_XPUB, {}, loop,
                     [this](ZmqSocket::Frames frames) { publisher_.send(frames); }),
        publisher_(context_, ZMQ_XSUB, {}, loop,
                   [this](ZmqSocket::Frames frames) { pass(frames[0], std::string(frames[1])); }) {
    EXPECT_TRUE(subscribers_.bind(bind).ok());
    EXPECT_TRUE(publisher_.connect(of).ok());
    publisher_.start();
    subscribers_.start();
  }

  std::vector<std::string> topics;  // of events that have passed
  // Damages one message, the next that has several events.
  std::function<void(std::string& body)> damage;

 private:
  void pass(std::string_view topic, std::string body) {
    if (!topic.starts_with(marker_lead)) topics.emplace_back(topic);
    std::string_view rest = body;
    if (damage && topic.starts_with(together_lead) && take_event(rest).ok() && !rest.empty())
      std::exchange(damage, nullptr)(body);
    const std::string_view frames[] = {topic, body};
    subscribers_.send(frames);
  }

  std::shared_ptr<ZmqContext> context_ = std::make_shared<ZmqContext>();
  ZmqSocket subscribers_;
  ZmqSocket publisher_;
};

class TappedTest : public TogetherTest {
 protected:
  void SetUp() override {
    a_->keeps_log = true;
    ASSERT_TRUE(run_until([&] { return a_->sees("b") && b_->sees("a"); }));
    ASSERT_TRUE(subscribe(*b_, "vm."));
    // Until another marker has come, events come both ways.
    for (int turn = 0; turn < 200 && !together_ && !HasFailure(); ++turn)
      together_ = say_together();
    ASSERT_TRUE(together_);
  }
  // `events` in one turn, and one more in another, that tells of what is missing of them. False: `b` has not all of them.
  bool say(int events) {
    for (int i = 0; i < events; ++i) a_->publish("executor", "web1");
    bool turned = false;
    loop_.post([&] { turned = true; });
    if (!run_until([&] { return turned; })) return false;
    a_->publish("executor", "web1");
    said_ += static_cast<std::size_t>(events) + 1;
    return run_until([&] { return b_->events.size() >= said_; });
  }
  // Whether what is said comes in no other form.
  bool say_together() {
    tap_.topics.clear();
    EXPECT_TRUE(say(3));
    EXPECT_FALSE(tap_.topics.empty());
    const std::string narrow = absl::StrCat(absl_view(together_lead), "vm.dirty_rate.main.");
    return std::all_of(tap_.topics.begin(), tap_.topics.end(),
                       [&](const std::string& topic) { return topic == narrow; });
  }

  std::unique_ptr<BusProcess> a_ = start("a", "", ipc("a.tap"));
  Tap tap_ = Tap(loop_, ipc("a.tap"), ipc("a.pub"));
  std::unique_ptr<BusProcess> b_ = start("b", "a");
  std::size_t said_ = 0;
  bool together_ = false;
};

TEST_F(TappedTest, two_members_agree_on_it_and_stay_with_it) {
  for (int turn = 0; turn < 10; ++turn) EXPECT_TRUE(say_together());
  EXPECT_EQ(b_->events.size(), said_);
  EXPECT_TRUE(b_->gaps.empty());
  EXPECT_TRUE(b_->rejected.empty()) << b_->rejected[0];
}

TEST_F(TappedTest, a_damaged_message_is_told_and_what_it_cost_comes_from_the_log) {
  struct Damage {
    std::function<void(std::string& body)> done;
    std::string told;
  };
  const std::vector<Damage> damages = {
      {[](std::string& body) { body.resize(body.size() - 8); }, "one of which is cut short"},
      {[](std::string& body) { body += "x"; }, "one of which is cut short"},
      {[](std::string& body) { body.clear(); }, "no events, together"},
      {[](std::string& body) {
         while (body.size() <= together_bytes_max) body += std::string(body);
       },
       "more events together than travel so"}};
  for (const Damage& damage : damages) {
    tap_.damage = damage.done;
    // Where this process is held up they may be said apart: then once more.
    for (int turn = 0; turn < 200 && tap_.damage; ++turn) ASSERT_TRUE(say(4));
    EXPECT_FALSE(tap_.damage);
    ASSERT_EQ(b_->rejected.size(), 1U) << damage.told;
    EXPECT_EQ(b_->rejected[0].substr(0, 3), "a: ");
    EXPECT_NE(b_->rejected[0].find(damage.told), std::string::npos) << b_->rejected[0];
    b_->rejected.clear();
    // All of it, once and in its place.
    const std::vector<std::uint64_t> sequences = b_->sequences("a/executor");
    EXPECT_EQ(sequences.size(), said_);
    EXPECT_TRUE(std::is_sorted(sequences.begin(), sequences.end()));
  }
  EXPECT_GT(a_->asked, 0U);
  EXPECT_TRUE(b_->gaps.empty()) << b_->gaps[0].why;
}

// A member of an earlier build: it sends events alone, and its markers say no more than they did.
class OlderMember {
 public:
  OlderMember(EventLoop& loop, const std::string& name, const std::string& requests,
              const std::string& publisher)
      : streams_(name),
        requests_(context_, ZMQ_ROUTER, {}, loop,
                  [this](ZmqSocket::Frames frames) { welcome(frames); }),
        publisher_(context_, ZMQ_XPUB, {}, loop,
                   [this](ZmqSocket::Frames frames) { on_subscription(frames[0]); }) {
    EXPECT_TRUE(requests_.bind(requests).ok());
    EXPECT_TRUE(publisher_.bind(publisher).ok());
    self_ = {name, ~std::uint64_t{0}, publisher_.endpoint(), requests_.endpoint()};
    streams_.incarnation = 2;
    requests_.start();
    publisher_.start();
  }
  void publish(std::string_view vm) {
    const Event event = streams_.event(pool_, "executor", vm);
    tail_ = {std::string(event.origin()), event.incarnation(), event.sequence()};
    const std::string topic = absl::StrCat(absl_view(event.topic()), ".");
    const std::string_view frames[] = {
        topic, {reinterpret_cast<const char*>(event.bytes().data()), event.bytes().size()}};
    publisher_.send(frames);
  }
  std::size_t asked_together = 0;

 private:
  void welcome(ZmqSocket::Frames frames) {
    const auto control = decode_control(frames[1]);
    if (!control.ok()) return;
    Control said;
    if (const auto* hello = std::get_if<Hello>(&*control)) said = Welcome{hello->beat, self_, {}};
    if (const auto* request = std::get_if<WireRequest>(&*control))
      said = WireAnswer{request->id, absl::UnimplementedError("it keeps no log")};
    const std::string frame = encode(said);
    const std::string_view answer[] = {frames[0], frame};
    requests_.send(answer);
  }
  void on_subscription(std::string_view frame) {
    const std::string topic(frame.substr(1));
    if (frame[0] == 1 && topic.starts_with(together_lead)) ++asked_together;
    if (frame[0] != 1 || !topic.starts_with(marker_lead)) return;
    Marker marker{self_.name, self_.nonce, {}};
    if (tail_.sequence > 0) marker.tails.push_back(tail_);
    const std::string body = encode(marker);
    const std::string_view frames[] = {topic, body};
    publisher_.send(frames);
  }

  EventPool pool_;
  std::shared_ptr<ZmqContext> context_ = std::make_shared<ZmqContext>();
  Member self_;
  TestStreams streams_;
  OriginTail tail_;
  ZmqSocket requests_;
  ZmqSocket publisher_;
};

TEST_F(TogetherTest, an_older_publisher_is_heard_event_by_event) {
  OlderMember older(loop_, "a", ipc("a.req"), ipc("a.pub"));
  auto b = start("b", "a");
  ASSERT_TRUE(run_until([&] { return b->sees("a"); }));
  ASSERT_TRUE(subscribe(*b, "vm."));
  for (const char* vm : {"web1", "web2", "web3"}) older.publish(vm);
  ASSERT_TRUE(run_until([&] { return b->events.size() == 3; }));
  EXPECT_EQ(older.asked_together, 0) << "it has not said that it can";
  EXPECT_TRUE(b->gaps.empty());
  EXPECT_TRUE(b->rejected.empty()) << b->rejected[0];
}

TEST_F(TogetherTest, an_older_build_in_the_place_of_a_newer_is_heard_event_by_event) {
  auto b = start("b");
  auto a = start("a", "b");
  ASSERT_TRUE(run_until([&] { return a->sees("b") && b->sees("a"); }));
  ASSERT_TRUE(subscribe(*b, "vm."));
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return b->events.size() == 1; }));
  a.reset();
  OlderMember older(loop_, "a", ipc("a.req"), ipc("a.pub"));
  ASSERT_TRUE(run_until([&] {
    older.publish("web2");  // until it is heard of
    return b->events.size() > 1;
  }));
  // It comes back as it was.
  const std::size_t before = b->events.size();
  for (int i = 0; i < 10; ++i) older.publish("web3");
  ASSERT_TRUE(run_until([&] { return b->events.size() >= before + 10; }));
  EXPECT_TRUE(b->rejected.empty()) << b->rejected[0];
}

}  // namespace
}  // namespace supercloud
