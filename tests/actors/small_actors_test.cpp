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

TEST_F(MarketWorld, LatencyWatcherMeasuresTheWayToTheOtherNodesOneAfterAnother) {
  LinkFaults slow;
  slow.delay_min = absl::Milliseconds(20);
  slow.delay_max = absl::Milliseconds(20);
  network.set_faults(slow);
  TestNode& a = start("a");
  TestNode& b = start("b");
  TestNode& c = start("c");
  for (TestNode* node : {&b, &c})
    node->node->spawn("pong", [](Context& context) { return std::make_unique<Pong>(context); });
  run(absl::Seconds(3));
  LatencyOptions options;
  options.answered_by = "pong";
  a.node->spawn("latency", [options](Context& context) {
    return std::make_unique<LatencyWatcher>(context, options);
  });
  run(absl::Seconds(3));
  const auto here = [&](TestNode& node, const std::string& name) {
    publish(node, name, [&](Payload::Builder payload) {
      auto joined = payload.initNodeCapacity().initJoined();
      joined.setNode(name);
      write_place(zone(name), {}, joined.initPlace());
    });
  };
  here(a, "a");
  here(b, "b");
  here(c, "c");
  run(absl::Seconds(30));
  const auto measured = of(a, Payload::LATENCY_MEASURED);
  ASSERT_EQ(measured.size(), 3U) << "one every ten seconds, however many nodes there are";
  const char* const turns[] = {"b", "c", "b"};
  for (std::size_t i = 0; i < 3; ++i) {
    const auto latency = measured[i].payload().getLatencyMeasured();
    EXPECT_EQ(text(latency.getClient()), "a");
    EXPECT_EQ(text(latency.getPlace()), zone(turns[i]).id());
    EXPECT_EQ(latency.getMilliseconds(), 40.0);
  }
  // Who does not answer is asked no more, until it says that it is here.
  crash("c");
  run(absl::Seconds(40));
  const std::size_t before = of(a, Payload::LATENCY_MEASURED).size();
  run(absl::Seconds(30));
  EXPECT_EQ(of(a, Payload::LATENCY_MEASURED).size(), before + 3) << "b's turn each time";
}

TEST_F(MarketWorld, ResourceStubMakesAnEventOfAnAccess) {
  TestNode& a = start("a");
  a.node->spawn("resource", [](Context& context) {
    return std::make_unique<ResourceStub>(
        context, zone("a").id(),
        resources_of({{"resource.genome", "here"}, {"resource.", ""}, {"trust", "high"}}));
  });
  const auto access = [](const char* resource) {
    return Message<schema::Request>::build([&](schema::Request::Builder request) {
      auto body = request.initAccessResource();
      body.setResource(resource);
      body.initVm().setName("web1");
      body.setBytes(7);
    });
  };
  EXPECT_TRUE(ask(a, {"a", "resource"}, access("genome")).ok());
  const absl::Status other = ask(a, {"a", "resource"}, access("trust")).status();
  EXPECT_TRUE(absl::IsNotFound(other)) << other;
  EXPECT_NE(other.message().find("genome"), std::string::npos) << "what is there: " << other;
  EXPECT_TRUE(absl::IsNotFound(ask(a, {"a", "resource"}, access("")).status()));
  ASSERT_EQ(of(a, Payload::RESOURCE_ACCESSED).size(), 1U);
  const Event accessed = of(a, Payload::RESOURCE_ACCESSED)[0];
  EXPECT_EQ(accessed.subject(), "web1");
  EXPECT_EQ(text(accessed.payload().getResourceAccessed().getHome()), zone("a").id());
}

}  // namespace
}  // namespace supercloud
