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

TEST_F(MarketWorld, LatencyWatcherTakesTheNewestOfEachNodeHoweverManyComeAtOnce) {
  start("b");
  TestNode a;
  a.log = std::make_unique<MemoryEventLog>(scheduler, a.pool, a.disk);
  a.bus = std::make_unique<SimulatedBus>("a", network, scheduler, a.pool);
  NodeOptions options;
  options.name = "a";
  options.mailbox_max = 64;
  a.node = std::make_unique<Node>(
      NodeSeams{.scheduler = scheduler, .bus = *a.bus, .log = *a.log, .pool = a.pool},
      std::move(options));
  std::vector<std::string> measured;
  a.node->spawn("hearer", [&measured](Context& context) {
    context.subscribe(Pattern::of("latency.measured.>"));
    return std::make_unique<Puppet>([&measured](const Event& event) {
      measured.emplace_back(text(event.payload().getLatencyMeasured().getPlace()));
    });
  });
  a.node->spawn(latency_actor,
                [](Context& context) { return std::make_unique<LatencyWatcher>(context); });
  // Their turns are one after another, before any of what they say is taken.
  int told = 0;
  for (const char* teller : {"one", "two", "three"})
    a.node->spawn(teller, [&told](Context& context) {
      context.after(absl::Seconds(3), [&context, &told] {
        for (int i = 0; i < 50; ++i) {
          Draft draft = context.draft("b");
          auto joined = draft.payload().initNodeCapacity().initJoined();
          joined.setNode("b");
          write_place(zone(++told < 150 ? "a" : "b"), {}, joined.initPlace());
          context.publish(std::move(draft));
        }
      });
      return std::make_unique<Puppet>(nullptr);
    });
  run(absl::Seconds(12));
  EXPECT_EQ(told, 150);
  EXPECT_FALSE(a.disk.by_kind.contains("bus.actor_failed."));
  EXPECT_EQ(measured, std::vector<std::string>{zone("b").id()});
}

class LinkProbes : public MarketWorld {
 protected:
  TestNode& measurer(const std::string& name) {
    TestNode& node = start(name);
    node.node->spawn(latency_actor,
                     [](Context& context) { return std::make_unique<LatencyWatcher>(context); });
    return node;
  }
  // What "a" says of messages of so many bytes to `to`.
  absl::StatusOr<std::string> asked_of_a(const std::string& to, std::size_t content,
                                         std::uint64_t bytes) {
    const auto answer = ask(node("a"), {"a", latency_actor},
                            Message<schema::Request>::build([&](schema::Request::Builder request) {
                              auto access = request.initAccessResource();
                              access.setResource(to);
                              access.initVm().setName(std::string(content, 'x'));
                              access.setBytes(bytes);
                            }));
    if (!answer.ok()) return answer.status();
    return std::string(answer->reader().isDone() ? "done" : text(answer->reader().getJson()));
  }
  TestNode& node(const std::string& name) { return *nodes.at(name); }
};

TEST_F(LinkProbes, MeasureTheWayToAnotherNodeAndBackOnRequest) {
  LinkFaults slow;
  slow.delay_min = slow.delay_max = absl::Milliseconds(20);
  network.set_faults(slow);
  measurer("a");
  measurer("b");
  run(absl::Seconds(3));
  EXPECT_EQ(*asked_of_a("a", 1, 1), "done") << "it is here";
  EXPECT_EQ(*asked_of_a("b", 256, 256), R"({"messages":1,"nanoseconds":40000000})");
  EXPECT_EQ(*asked_of_a("b", 256, 0), R"({"messages":1,"nanoseconds":40000000})");
  // 64 at a time: the 65th leaves when the first is answered.
  EXPECT_EQ(*asked_of_a("b", 100, 6400), R"({"messages":64,"nanoseconds":40000000})");
  EXPECT_EQ(*asked_of_a("b", 100, 6500), R"({"messages":65,"nanoseconds":80000000})");
}

TEST_F(LinkProbes, AreBoundedAndTellWhatIsWrong) {
  measurer("a");
  start("bare");
  run(absl::Seconds(3));
  EXPECT_TRUE(absl::IsInvalidArgument(asked_of_a("b", 0, 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(asked_of_a("", 1, 1).status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(asked_of_a("b", LinkProbe::content_bytes_max + 1, 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(asked_of_a("b", 1, LinkProbe::messages_max + 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      asked_of_a("b", LinkProbe::content_bytes_max, LinkProbe::bytes_max * 2).status()));
  // Those beyond what runs at a time are refused at once, and asked again they are served.
  const auto of_bare = [](std::uint64_t bytes) {
    return Message<schema::Request>::build([&](schema::Request::Builder request) {
      auto access = request.initAccessResource();
      access.setResource("bare");
      access.initVm().setName("x");
      access.setBytes(bytes);
    });
  };
  constexpr int at_once = 2 * LinkProbe::runs_max;
  int refused = 0, open = at_once;
  for (int i = 0; i < at_once; ++i)
    node("bare").hand->request({"a", latency_actor}, of_bare(10), absl::Seconds(60),
                               [&](const absl::StatusOr<Message<schema::Response>>& answer) {
                                 --open;
                                 refused += absl::IsResourceExhausted(answer.status()) ? 1 : 0;
                               });
  run(absl::Seconds(2));
  EXPECT_EQ(open, 0);
  EXPECT_EQ(refused, at_once - LinkProbe::runs_max);
  // As often as one likes: what has failed is not under way any more.
  for (int i = 0; i < 2 * LinkProbe::runs_max; ++i) {
    EXPECT_TRUE(absl::IsUnavailable(asked_of_a("nobody", 10, 1000).status()));
    const absl::Status without = asked_of_a("bare", 10, 1000).status();
    EXPECT_TRUE(absl::IsNotFound(without)) << "no such actor there: " << without;
  }
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
