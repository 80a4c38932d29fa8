#include <memory>

#include "actors/latency/latency_watcher.h"
#include "actors/resource/resource_stub.h"
#include "tests/actors/market_world.h"

namespace supercloud {
namespace {

using schema::Payload;

class Pong final : public Actor {
 public:
  explicit Pong(Context& /*context*/) {}
  void receive(const Event&) override {}
  void serve(Message<schema::Request> request, Answer answer) override {
    ASSERT_TRUE(request.reader().isPing());
    answer(Message<schema::Response>::build(
        [](schema::Response::Builder response) { response.setDone(); }));
  }
};

TEST_F(MarketWorld, LatencyWatcherMeasuresTheWayToEveryOtherNode) {
  LinkFaults slow;
  slow.delay_min = absl::Milliseconds(20);
  slow.delay_max = absl::Milliseconds(20);
  network.set_faults(slow);
  TestNode& a = start("a");
  TestNode& b = start("b");
  b.node->spawn("pong", [](Context& context) { return std::make_unique<Pong>(context); });
  run(absl::Seconds(3));
  LatencyOptions options;
  options.answered_by = "pong";
  a.node->spawn("latency", [options](Context& context) {
    return std::make_unique<LatencyWatcher>(context, options);
  });
  run(absl::Seconds(3));
  publish(b, "b", [&](Payload::Builder payload) {
    auto joined = payload.initNodeJoined();
    joined.setNode("b");
    write_place(zone("b"), {}, joined.initPlace());
  });
  run(absl::Seconds(25));
  const auto measured = of(a, Payload::LATENCY_MEASURED);
  ASSERT_EQ(measured.size(), 2U);
  EXPECT_EQ(text(measured[0].payload().getLatencyMeasured().getClient()), "a");
  EXPECT_EQ(text(measured[0].payload().getLatencyMeasured().getPlace()), zone("b").id());
  EXPECT_EQ(measured[0].payload().getLatencyMeasured().getMilliseconds(), 40.0);
}

TEST_F(MarketWorld, ResourceStubMakesAnEventOfAnAccess) {
  TestNode& a = start("a");
  a.node->spawn("resource",
                [](Context& context) { return std::make_unique<ResourceStub>(context); });
  const auto access = [](const char* resource) {
    return Message<schema::Request>::build([&](schema::Request::Builder request) {
      auto body = request.initAccessResource();
      body.setResource(resource);
      body.initVm().setName("web1");
      body.setBytes(7);
    });
  };
  EXPECT_TRUE(ask(a, {"a", "resource"}, access("genome")).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(ask(a, {"a", "resource"}, access("")).status()));
  ASSERT_EQ(of(a, Payload::RESOURCE_ACCESSED).size(), 1U);
  EXPECT_EQ(of(a, Payload::RESOURCE_ACCESSED)[0].subject(), "web1");
}

}  // namespace
}  // namespace supercloud
