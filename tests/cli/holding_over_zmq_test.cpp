// Publishers that wait for a subscriber that holds, between two nodes over tcp with keys.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actors/archive/archived_events.h"
#include "bus/zmq_bus.h"
#include "core/event_loop.h"
#include "core/node.h"
#include "storage/simulated/memory_event_log.h"
#include "tests/bus/test_keys.h"

namespace supercloud {
namespace {

class HoldingOverZmq : public testing::Test {
 protected:
  class Hand final : public Actor {
   public:
    explicit Hand(std::vector<Event>* got) : got_(got) {}
    void receive(const Event& event) override { got_->push_back(event); }

   private:
    std::vector<Event>* got_;
  };
  struct Member {
    EventPool pool;
    MemoryLogDisk disk;
    std::unique_ptr<MemoryEventLog> log;
    std::unique_ptr<ZmqBus> bus;
    std::unique_ptr<ArchivedEvents> custody;
    Context* hand = nullptr;
    std::vector<Event> got;
    std::unique_ptr<Node> node;

    ~Member() { end(); }
    void end() {
      node.reset();
      bus.reset();
      log.reset();
      got.clear();
    }
  };

  void start(Member& member, const std::string& name, const Trust& trust, Member* seed) {
    ZmqBusOptions options;
    options.name = name;
    options.credentials = {test_key(name), std::make_shared<const Trust>(trust)};
    options.publish_bind = options.request_bind = "tcp://127.0.0.1:*";
    options.hello_interval = absl::Milliseconds(100);
    options.silence_max = absl::Seconds(2);
    if (seed != nullptr) options.seeds = {"a@" + seed->bus->request_endpoint()};
    auto made = ZmqBus::open(loop_, member.pool, std::move(options));
    ASSERT_TRUE(made.ok()) << made.status();
    member.bus = *std::move(made);
    member.log = std::make_unique<MemoryEventLog>(loop_, member.pool, member.disk);
    member.custody = std::make_unique<ArchivedEvents>(ArchivedOptions{});
    member.node = std::make_unique<Node>(NodeSeams{.scheduler = loop_,
                                                   .bus = *member.bus,
                                                   .log = *member.log,
                                                   .pool = member.pool,
                                                   .custody = member.custody.get()},
                                         NodeOptions{.name = name});
    const CustodianOptions custodian{
        .holders = {.look_again = absl::Milliseconds(100), .silent_max = absl::Seconds(3)}};
    member.node->spawn(custodian_actor, [&member, custodian](Context& context) {
      return std::make_unique<Custodian>(context, *member.custody, custodian);
    });
  }
  // a publishes, and b's hand holds.
  void start_both(const Trust& trust) {
    start(a_, "a", trust, nullptr);
    a_.node->spawn("hand", [this](Context& context) {
      a_.hand = &context;
      context.subscribe(Pattern::of("bus.slow_subscriber.>"));
      return std::make_unique<Hand>(&a_.got);
    });
    start(b_, "b", trust, &a_);
    b_.node->spawn("hand", [this](Context& context) {
      b_.hand = &context;
      context.subscribe(Pattern::of("instance.>"), [this] { in_effect_ = true; },
                        {.full = Queueing::Full::hold});
      return std::make_unique<Hand>(&b_.got);
    });
    ASSERT_TRUE(run_until([&] { return in_effect_; }));
  }
  std::shared_ptr<std::optional<absl::Status>> publish(const std::string& subject) {
    auto told = std::make_shared<std::optional<absl::Status>>();
    Draft draft = a_.hand->draft(subject);
    draft.payload().initInstanceRequested().setClientToken(subject);
    a_.hand->publish(std::move(draft), [told](const absl::Status& status) { *told = status; });
    return told;
  }
  bool run_until(const std::function<bool()>& condition) {
    return loop_.run_until(condition, absl::Seconds(30));
  }
  // Until a has heard what b says each second, twice.
  void hear_each_other() {
    const auto ping = Message<schema::Request>::build(
        [](schema::Request::Builder request) { request.setPing(); });
    for (int i = 0; i < 2; ++i) {
      bool over = false;
      b_.hand->after(absl::Milliseconds(1100), [&] {
        a_.hand->request({"b", "node"}, ping, absl::Seconds(5), [&](const auto&) { over = true; });
      });
      ASSERT_TRUE(run_until([&] { return over; }));
    }
  }

  EventLoop loop_;
  Member a_, b_;
  bool in_effect_ = false;  // what b's hand has subscribed
};

TEST_F(HoldingOverZmq, a_publisher_waits_until_it_is_taken_or_the_holder_is_gone) {
  start_both(test_trust({"a", "b"}));
  ASSERT_TRUE(run_until([&] { return a_.custody->holders().contains("b/hand"); }));
  const auto one = publish("one");
  ASSERT_TRUE(run_until([&] { return b_.got.size() == 1; }));
  hear_each_other();
  EXPECT_FALSE(*one);
  b_.hand->taken(b_.got[0]);
  ASSERT_TRUE(run_until([&] { return one->has_value(); }));
  EXPECT_TRUE((*one)->ok()) << **one;

  const auto two = publish("two");
  ASSERT_TRUE(run_until([&] { return b_.got.size() == 2; }));
  EXPECT_FALSE(*two);
  b_.end();
  ASSERT_TRUE(run_until([&] { return two->has_value(); }));
  EXPECT_TRUE((*two)->ok()) << **two;
  ASSERT_TRUE(run_until([&] { return !a_.got.empty(); }));
  EXPECT_EQ(text(a_.got[0].payload().getBusSlowSubscriber().getDone()),
            "held them, released: not heard for 3s");
}

TEST_F(HoldingOverZmq, who_has_no_right_to_say_that_it_holds_holds_nobody_up) {
  Trust trust = test_trust({"a", "b"});
  NameRights rights = *trust.rights.find("b");
  rights.publish = {Pattern::of("node.>"), Pattern::of("instance.>"), Pattern::of("bus.gap.>")};
  trust.rights.grant("b", rights);
  start_both(trust);
  hear_each_other();
  const auto told = publish("one");
  ASSERT_TRUE(run_until([&] { return told->has_value() && b_.got.size() == 1; }));
  EXPECT_TRUE((*told)->ok()) << **told;
  EXPECT_TRUE(a_.custody->holders().empty());
}

}  // namespace
}  // namespace supercloud
