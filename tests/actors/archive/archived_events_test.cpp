// What is waited for under archived(k), over real archives.
#include "actors/archive/archived_events.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "actors/archive/archive.h"
#include "actors/provider/provider_actor.h"
#include "actors/provider/simulated_market.h"
#include "tests/actors/market_world.h"

namespace supercloud {
namespace {

constexpr auto requested = schema::Payload::INSTANCE_REQUESTED;

class ArchivedTest : public MarketWorld {
 protected:
  ~ArchivedTest() override {
    for (auto& [name, node] : nodes) node->crash();
    keepers.clear();
  }

  struct Keeper {
    MemoryLogDisk disk;
    std::unique_ptr<MemoryEventLog> log;
  };
  // Says that it keeps `said`, and keeps `kept`.
  TestNode& keep(const std::string& name, const std::vector<std::string>& said = {">"},
                 const std::vector<std::string>& kept = {">"}, std::size_t waiters_max = 256) {
    if (!nodes[name]) nodes[name] = std::make_unique<TestNode>();
    nodes[name]->archives = said;
    TestNode& node = start(name);
    Keeper& keeper = keepers[name];
    keeper.log = std::make_unique<MemoryEventLog>(scheduler, pool, keeper.disk);
    node.node->spawn(archive_actor, [&keeper, kept, waiters_max](Context& context) {
      return std::make_unique<Archive>(
          context, *keeper.log, ArchiveOptions{.patterns = kept, .waiters_max = waiters_max});
    });
    run(absl::Seconds(1));
    return node;
  }
  void end(const std::string& name) {
    crash(name);
    keepers.at(name).log.reset();
  }

  // "a", whose requests wait for the archives of `machines` others.
  TestNode& publisher(std::uint32_t machines, std::size_t waiting_max = 1024,
                      CustodianOptions options = {}) {
    events = std::make_unique<ArchivedEvents>(
        ArchivedOptions{.types = {{requested, machines}}, .waiting_max = waiting_max});
    if (!nodes["a"]) nodes["a"] = std::make_unique<TestNode>();
    nodes["a"]->custody = events.get();
    TestNode& node = start("a");
    node.node->spawn(custodian_actor, [this, options](Context& context) {
      return std::make_unique<Custodian>(context, *events, options);
    });
    run(absl::Seconds(3));
    return node;
  }

  struct Told {
    Event event;
    std::optional<absl::Status> status;
    bool ok() const { return status && status->ok(); }
  };
  // `done`, if given, in the turn in which it is told.
  std::shared_ptr<Told> request(TestNode& node, const std::string& subject,
                                const std::function<void(const Told&)>& done = nullptr) {
    auto told = std::make_shared<Told>();
    Draft draft = node.hand->draft(subject);
    draft.payload().initInstanceRequested().setClientToken(subject);
    told->event = node.hand->publish(std::move(draft), [told, done](const absl::Status& status) {
      told->status = status;
      if (done) done(*told);
    });
    return told;
  }

  // On the disk of an archive.
  bool in(const std::string& keeper, const Event& event) {
    const auto& stored = keepers.at(keeper).disk.events;
    return std::ranges::any_of(stored, [&](const MemoryLogDisk::Stored& each) {
      return std::ranges::equal(each.span(), event.bytes());
    });
  }
  static std::vector<std::string> late(const TestNode& node) {
    std::vector<std::string> said;
    for (const Event& event : of(node, schema::Payload::BUS_SLOW_SUBSCRIBER))
      if (text(event.payload().getBusSlowSubscriber().getSubscriber()) == "a/custodian")
        said.emplace_back(text(event.payload().getBusSlowSubscriber().getDone()));
    return said;
  }
  absl::Status await(TestNode& asker, const std::string& keeper, const std::vector<EventId>& ids,
                     Duration wait = absl::Seconds(2)) {
    const auto request = Message<schema::Request>::build([&](auto builder) {
      auto list = builder.initAwaitArchived(static_cast<unsigned>(ids.size()));
      for (unsigned i = 0; i < ids.size(); ++i) ids[i].write(list[i]);
    });
    return ask(asker, {keeper, archive_actor}, request, wait).status();
  }

  EventPool pool;
  std::map<std::string, Keeper> keepers;
  std::unique_ptr<ArchivedEvents> events;
};

TEST_F(ArchivedTest, is_told_when_as_many_machines_have_it_and_not_before) {
  TestNode& b = keep("b");
  TestNode& a = publisher(2);
  const auto told = request(a, "one");
  run(absl::Seconds(10));
  EXPECT_TRUE(in("b", told->event));
  EXPECT_FALSE(told->status) << *told->status;
  EXPECT_EQ(of(b, requested).size(), 1) << "others hear it all the same";
  keep("c");
  run(absl::Seconds(3));
  EXPECT_TRUE(told->ok());
  EXPECT_TRUE(in("c", told->event));
}

TEST_F(ArchivedTest, is_told_within_a_fraction_of_a_second_where_all_is_well) {
  keep("b");
  TestNode& a = publisher(1);
  const auto told = request(a, "one");
  run(absl::Milliseconds(100));
  EXPECT_TRUE(told->ok());
}

TEST_F(ArchivedTest, neither_the_own_nodes_archive_counts_nor_one_on_the_same_instance) {
  nodes["a"] = std::make_unique<TestNode>();
  nodes["a"]->archives = {">"};
  TestNode& a = publisher(1, 1024, {.instance = "i-1"});
  Keeper& own = keepers["a"];
  own.log = std::make_unique<MemoryEventLog>(scheduler, pool, own.disk);
  a.node->spawn(archive_actor,
                [&own](Context& context) { return std::make_unique<Archive>(context, *own.log); });
  nodes["beside"] = std::make_unique<TestNode>();
  nodes["beside"]->instance = "i-1";
  keep("beside");
  const auto told = request(a, "one");
  run(absl::Seconds(10));
  EXPECT_TRUE(in("a", told->event) && in("beside", told->event));
  EXPECT_FALSE(told->status);
  keep("c");
  run(absl::Seconds(3));
  EXPECT_TRUE(told->ok());
}

TEST_F(ArchivedTest, is_in_the_archives_when_its_machine_is_gone_right_after_it_was_told) {
  keep("b");
  keep("c");
  TestNode& a = publisher(2);
  for (const char* name : {"b", "c"})
    keepers.at(name).log->set_sync_latency(absl::Milliseconds(10));
  int checked = 0;
  std::vector<std::shared_ptr<Told>> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back(request(a, absl::StrCat("e", i), [&](const Told& told) {
      if (!told.status->ok()) return;
      ++checked;
      EXPECT_TRUE(in("b", told.event) && in("c", told.event)) << told.event.topic();
    }));
    run(absl::Milliseconds(3));
  }
  crash("a");
  nodes.at("a")->disk = MemoryLogDisk();
  EXPECT_GT(checked, 5);
  EXPECT_LT(checked, 20) << "some are to be on their way";
  for (const auto& told : all)
    if (told->ok()) {
      EXPECT_TRUE(in("b", told->event) && in("c", told->event));
    }
}

TEST_F(ArchivedTest,
       waits_for_another_archive_when_one_ends_before_it_has_stored_and_says_so_once) {
  keep("b");
  TestNode& a = publisher(1);
  keepers.at("b").log->set_full(true);
  const auto told = request(a, "one");
  run(absl::Seconds(3));
  end("b");
  run(absl::Seconds(20));
  EXPECT_EQ(late(a), std::vector<std::string>{});
  run(absl::Seconds(60));
  EXPECT_FALSE(told->status);
  const std::vector<std::string> said = late(a);
  ASSERT_EQ(said.size(), 1);
  EXPECT_TRUE(absl::StrContains(said[0], "instance.requested.main.one")) << said[0];
  EXPECT_TRUE(absl::StrContains(said[0], "of 1 other machines, and is in 0")) << said[0];
  EXPECT_TRUE(absl::StrContains(said[0], "b (")) << said[0];
  keep("c");
  run(absl::Seconds(3));
  EXPECT_TRUE(told->ok());
  EXPECT_TRUE(in("c", told->event));
}

TEST_F(ArchivedTest, goes_on_when_the_archive_is_back_or_its_disk_has_room) {
  keep("b");
  TestNode& a = publisher(1);
  keepers.at("b").log->set_full(true);
  const auto told = request(a, "one");
  run(absl::Seconds(20));
  EXPECT_FALSE(told->status);
  keepers.at("b").log->set_full(false);
  run(absl::Seconds(40));
  EXPECT_TRUE(told->ok());
  end("b");
  const auto second = request(a, "two");
  run(absl::Seconds(10));
  EXPECT_FALSE(second->status);
  keep("b");
  run(absl::Seconds(10));
  EXPECT_TRUE(second->ok());
  EXPECT_TRUE(in("b", second->event));
}

TEST_F(ArchivedTest, is_not_told_by_an_archive_that_keeps_other_types) {
  keep("b", {"migration.>"}, {"migration.>"});
  TestNode& a = publisher(1);
  const auto told = request(a, "one");
  run(absl::Seconds(40));
  EXPECT_FALSE(told->status);
  ASSERT_EQ(late(a).size(), 1);
  keep("c");
  run(absl::Seconds(3));
  EXPECT_TRUE(told->ok());
}

TEST_F(ArchivedTest, is_told_of_the_others_by_an_archive_that_refuses_some) {
  keep("b", {">"}, {"instance.requested.main.kept"});
  TestNode& a = publisher(1);
  std::vector<std::shared_ptr<Told>> kept, refused;
  for (int i = 0; i < 5; ++i) {
    refused.push_back(request(a, absl::StrCat("refused", i)));
    kept.push_back(request(a, "kept"));
  }
  run(absl::Seconds(20));
  for (const auto& told : kept) EXPECT_TRUE(told->ok());
  for (const auto& told : refused) EXPECT_FALSE(told->status);
}

TEST_F(ArchivedTest, answers_what_it_keeps_and_refuses_what_it_does_not_however_new_its_newest_is) {
  keep("b", {">"}, {"instance.launched.>"});
  TestNode& a = publisher(1);
  const Event other = publish(
      a, "i", [](schema::Payload::Builder payload) { payload.initInstanceRefused().setWhy("x"); });
  const Event kept = publish(a, "i", [](schema::Payload::Builder payload) {
    payload.initInstanceLaunched().setInstance("i");
  });
  EXPECT_TRUE(await(a, "b", {kept.id()}).ok());
  const absl::Status refused = await(a, "b", {kept.id(), other.id()});
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_TRUE(absl::StrContains(refused.message(), "keeps instance.launched.>")) << refused;
  EXPECT_TRUE(absl::IsInvalidArgument(await(a, "b", {}))) << "nothing";
  EXPECT_TRUE(absl::IsInvalidArgument(await(a, "b", {kept.id(), {"c/hand", 1, 1}}))) << "of two";
  EXPECT_TRUE(absl::IsUnavailable(await(a, "b", {{"nobody/hand", 1, 1}}))) << "never heard";
}

TEST_F(ArchivedTest, has_room_again_as_soon_as_who_asked_does_not_wait_any_more) {
  keep("b", {">"}, {">"}, /*waiters_max=*/1);
  TestNode& a = publisher(1);
  keep("c");
  run(absl::Seconds(3));
  end("c");  // its log cannot be asked what it has
  const EventId unknown{"c/hand", 1, 1'000'000};
  for (int i = 0; i < 3; ++i) {
    const absl::Status late = await(a, "b", {unknown}, absl::Milliseconds(20));
    EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  }
}

TEST_F(ArchivedTest, takes_no_more_than_so_many_that_wait) {
  TestNode& a = publisher(1, 2);
  const auto one = request(a, "one");
  const auto two = request(a, "two");
  run(absl::Seconds(1));
  const auto three = request(a, "three");
  run(absl::Seconds(1));
  ASSERT_TRUE(three->status);
  EXPECT_TRUE(absl::IsResourceExhausted(*three->status)) << *three->status;
  EXPECT_FALSE(three->event) << "nothing happened";
  EXPECT_FALSE(one->status || two->status);
  keep("b");
  run(absl::Seconds(5));
  EXPECT_TRUE(one->ok() && two->ok());
  const auto four = request(a, "four");
  run(absl::Seconds(1));
  EXPECT_TRUE(four->ok());
}

TEST_F(ArchivedTest, other_types_and_those_that_nobody_waits_for_are_local) {
  TestNode& a = publisher(1);
  std::optional<absl::Status> launched;
  Draft draft = a.hand->draft("i");
  draft.payload().initInstanceLaunched().setInstance("i");
  a.hand->publish(std::move(draft), [&](const absl::Status& status) { launched = status; });
  Draft unawaited = a.hand->draft("i");
  unawaited.payload().initInstanceRequested().setClientToken("i");
  a.hand->publish(std::move(unawaited));
  run(absl::Seconds(1));
  ASSERT_TRUE(launched);
  EXPECT_TRUE(launched->ok());
  EXPECT_TRUE(events->waiting().empty());
}

// What it is for: no money is spent on what would be forgotten with this machine.
TEST_F(ArchivedTest, a_provider_rents_when_its_request_is_archived) {
  SimulatedMarket account(scheduler, {.market = market});
  TestNode& a = publisher(1);
  a.node->spawn(provider_actor, [&](Context& context) {
    return std::make_unique<ProviderActor>(context, leases, a.session, account,
                                           ProviderActorOptions{.market = market});
  });
  run(absl::Seconds(3));
  publish_price(a, zone("a"), 30'000'000, market.origin);
  run(absl::Seconds(1));
  std::optional<absl::Status> rented;
  a.hand->request({"a", provider_actor},
                  Message<schema::Request>::build([&](schema::Request::Builder request) {
                    auto rent = request.initRent();
                    rent.setPlace(zone("a").id());
                    rent.setBidNanoUsdPerHour(50'000'000);
                    rent.setClientToken("token");
                  }),
                  absl::Minutes(10), [&](const auto& answer) { rented = answer.status(); });
  run(absl::Minutes(3));
  EXPECT_EQ(of(a, requested).size(), 1);
  EXPECT_FALSE(rented);
  EXPECT_TRUE(of(a, schema::Payload::INSTANCE_LAUNCHED).empty());
  keep("b");
  run(absl::Minutes(3));
  ASSERT_TRUE(rented);
  EXPECT_TRUE(rented->ok()) << *rented;
  EXPECT_EQ(of(a, schema::Payload::INSTANCE_LAUNCHED).size(), 1);
  crash("a");  // before the account
}

TEST_F(ArchivedTest, waits_on_when_the_custodian_fails) {
  TestNode& a = publisher(1);
  const auto told = request(a, "one");
  run(absl::Seconds(1));
  a.node->fail_actor(custodian_actor, absl::InternalError("a test"));
  run(absl::Seconds(1));
  EXPECT_FALSE(told->status);
  keep("b");
  run(absl::Seconds(5));
  EXPECT_TRUE(told->ok());
}

TEST_F(ArchivedTest, holds_no_leave_up_and_tells_who_waits) {
  TestNode& a = publisher(1);
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
  ASSERT_TRUE(ended);
  EXPECT_TRUE(ended->ok()) << *ended;
  ASSERT_TRUE(told);
  EXPECT_TRUE(absl::IsUnavailable(*told)) << *told;
}

TEST(ArchivedTypes, are_named_one_by_one_or_by_their_domain_and_the_nearer_name_holds) {
  const auto types = archived_types({{"instance.*", 2}, {"instance.requested", 1}});
  ASSERT_TRUE(types.ok()) << types.status();
  EXPECT_EQ(types->at(requested), 1);
  EXPECT_EQ(types->at(schema::Payload::INSTANCE_LAUNCHED), 2);
  EXPECT_FALSE(types->contains(schema::Payload::MIGRATION_ACCEPTED));
  const auto vms = archived_types({{"vm.*", 1}});
  ASSERT_TRUE(vms.ok()) << vms.status();
  EXPECT_FALSE(vms->contains(schema::Payload::VM_DIRTY_RATE)) << "it is in no log";
}

TEST(ArchivedTypes, that_cannot_be_waited_for_are_refused) {
  const std::map<std::string, std::string> wrong = {{"instance.reqested", "no type of event"},
                                                    {"instances.*", "no type of event"},
                                                    {"*", "no type of event"},
                                                    {"", "no type of event"},
                                                    {"instance.>", "no type of event"},
                                                    {"latency.*", "telemetry"},
                                                    {"vm.dirty_rate", "telemetry"},
                                                    {"bus.gap", "nobody waits for it"},
                                                    {"node.*", "nobody waits for it"}};
  for (const auto& [name, why] : wrong) {
    const auto types = archived_types({{name, 1}});
    EXPECT_TRUE(absl::IsInvalidArgument(types.status())) << name;
    EXPECT_TRUE(absl::StrContains(types.status().message(), why)) << types.status();
  }
}

}  // namespace
}  // namespace supercloud
