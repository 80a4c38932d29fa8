#include "actors/archive/archive.h"

#include "tests/actors/archive/archive_world.h"

namespace supercloud {
namespace {

using Names = std::vector<std::string>;

std::string bytes_of(const Event& event) {
  return {reinterpret_cast<const char*>(event.bytes().data()), event.bytes().size()};
}

class EveryArchive : public ArchiveWorld, public testing::WithParamInterface<LogKind> {
 protected:
  EveryArchive() : ArchiveWorld(GetParam()) {}
};

INSTANTIATE_TEST_SUITE_P(Over, EveryArchive, testing::Values(LogKind::memory, LogKind::rocks),
                         [](const auto& kind) {
                           return kind.param == LogKind::memory ? "memory" : "rocks";
                         });

TEST_P(EveryArchive, keeps_what_nodes_log_byte_for_byte_its_own_node_too) {
  TestNode& home = start_home();
  TestNode& a = start("a");
  run(absl::Seconds(3));
  const Event first = say(a, "first");
  run(absl::Milliseconds(100));
  const Event second = say(home, "second");
  run(absl::Milliseconds(100));
  const Event third = say(a, "third");
  run(absl::Milliseconds(100));
  EXPECT_EQ(archived(), (Names{bytes_of(first), bytes_of(second), bytes_of(third)}));
  EXPECT_EQ(archived("node.capacity.>"), Names{}) << "telemetry is in no log";
}

TEST_P(EveryArchive, has_what_a_node_said_that_is_gone_with_its_disk) {
  TestNode& a = start("a");
  for (int i = 0; i < 20; ++i) say(a, absl::StrCat("e", i));
  TestNode& home = start_home();  // it was not there when that was said
  run(absl::Seconds(3));
  const Names before = all_of(home, {"a", "log"}, ">");
  lose("a");
  run(absl::Seconds(10));
  Names kept;
  for (const std::string& bytes : archived(">"))
    if (std::ranges::find(before, bytes) != before.end()) kept.push_back(bytes);
  EXPECT_EQ(kept, before);
  EXPECT_EQ(subjects().size(), 20);
}

TEST_P(EveryArchive, reads_what_it_missed_when_it_was_down_and_nothing_twice) {
  start_home();
  TestNode& a = start("a");
  run(absl::Seconds(3));
  Names said;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 10; ++i) {
      said.push_back(absl::StrCat("e", round, "-", i));
      say(a, said.back());
    }
    if (round == 1) run(absl::Seconds(1));
    crash("home");
    said.push_back(absl::StrCat("missed", round));
    say(a, said.back());
    run(absl::Seconds(5));
    start_home();
    run(absl::Seconds(5));
    EXPECT_EQ(subjects(), said);
  }
}

TEST_P(EveryArchive, goes_on_where_it_was_and_does_not_read_all_again) {
  start_home();
  TestNode& a = start("a");
  run(absl::Seconds(3));
  for (int i = 0; i < 10; ++i) say(a, absl::StrCat("e", i));
  run(absl::Seconds(1));
  crash("home");
  std::vector<std::uint64_t> asked;
  crash("a");
  TestNode& again = start("a");
  // In the place of its log, one that tells from where it is asked.
  again.node.reset();
  again.bus.reset();
  again.bus = std::make_unique<SimulatedBus>("a", network, scheduler, again.pool);
  again.node = std::make_unique<Node>(NodeSeams{scheduler, *again.bus, *again.log, again.pool},
                                      NodeOptions{.name = "a"});
  class Asked final : public Actor {
   public:
    explicit Asked(std::vector<std::uint64_t>& asked) : asked_(asked) {}
    void receive(const Event&) override {}
    void serve(Message<schema::Request> request, Answer) override {
      asked_.push_back(request.reader().getReadLog().getFrom());
    }
    std::vector<std::uint64_t>& asked_;
  };
  again.node->spawn("log", [&](Context&) { return std::make_unique<Asked>(asked); });
  again.node->spawn("beat", [](Context& context) { return std::make_unique<Beat>(context); });
  start_home();
  run(absl::Seconds(3));
  ASSERT_FALSE(asked.empty());
  EXPECT_GE(asked.front(), 10);
}

TEST_P(EveryArchive, reads_a_log_in_pages_however_long_it_is) {
  TestNode& a = start("a");
  Names said;
  for (int i = 0; i < 50; ++i) {
    said.push_back(absl::StrCat("e", i));
    say(a, said.back());
  }
  run(absl::Seconds(1));
  start_home({.page_events = 3});
  run(absl::Seconds(4));
  EXPECT_EQ(subjects(), said);
}

TEST_P(EveryArchive, keeps_both_logs_of_a_node_that_lost_one) {
  start_home();
  say(start("a"), "before");
  run(absl::Seconds(3));
  lose("a");
  run(absl::Seconds(5));
  TestNode& anew = start("a");
  say(anew, "after");
  run(absl::Seconds(5));
  EXPECT_EQ(subjects(), (Names{"before", "after"}));
  crash("home");
  say(anew, "missed");
  start_home();
  run(absl::Seconds(5));
  EXPECT_EQ(subjects(), (Names{"before", "after", "missed"}));
}

class ArchiveTest : public ArchiveWorld {};

TEST_F(ArchiveTest, waits_with_few_pages_while_its_disk_is_full_and_says_so_once) {
  TestNode& home = start_home({.page_events = 5, .pages_max = 2});
  TestNode& a = start("a");
  TestNode& b = start("b");
  TestNode& c = start("c");
  run(absl::Seconds(3));
  memory->set_full(true);
  for (int i = 0; i < 20; ++i)
    for (TestNode* node : {&a, &b, &c}) say(*node, absl::StrCat("e", i));
  run(absl::Seconds(20));
  EXPECT_LE(memory->unsynced(), 2);
  EXPECT_EQ(subjects(), Names{});
  const auto slow = of(home, schema::Payload::BUS_SLOW_SUBSCRIBER);
  ASSERT_EQ(slow.size(), 1);
  EXPECT_EQ(text(slow[0].payload().getBusSlowSubscriber().getSubscriber()), "home/archive");
  EXPECT_NE(text(slow[0].payload().getBusSlowSubscriber().getDone()).find("full"),
            std::string_view::npos);
  EXPECT_TRUE(of(home, schema::Payload::BUS_ACTOR_FAILED).empty());
  memory->set_full(false);
  run(absl::Seconds(40));
  EXPECT_EQ(subjects().size(), 60);
}

TEST_F(ArchiveTest, appends_nothing_twice_when_it_fails_in_the_middle_of_an_append) {
  TestNode& home = start_home();
  TestNode& a = start("a");
  run(absl::Seconds(3));
  memory->set_sync_latency(absl::Milliseconds(50));
  say(a, "once");
  while (memory->unsynced() == 0) run(absl::Milliseconds(1));
  home.node->fail_actor(archive_actor, absl::InternalError("a test"));
  run(absl::Seconds(5));
  EXPECT_EQ(of(home, schema::Payload::BUS_ACTOR_FAILED).size(), 1);
  EXPECT_EQ(subjects(), Names{"once"});
}

TEST_F(ArchiveTest, finds_at_its_next_look_what_it_did_not_hear_of) {
  start_home();
  TestNode& a = start("a");
  run(absl::Seconds(3));
  network.block("a", "home");
  say(a, "unheard");
  run(absl::Seconds(30));
  EXPECT_EQ(subjects(), Names{});
  network.heal();
  run(absl::Seconds(15));
  EXPECT_EQ(subjects(), Names{"unheard"});
}

TEST_F(ArchiveTest, keeps_what_its_patterns_say) {
  start_home({.patterns = {"instance.launched.>", "instance.returned.*.i-1"}});
  TestNode& a = start("a");
  run(absl::Seconds(3));
  for (const char* subject : {"i-1", "i-2"}) {
    say(a, subject);
    publish(a, subject,
            [](schema::Payload::Builder payload) { payload.initInstanceReturned().setWhy("x"); });
    publish(a, subject,
            [](schema::Payload::Builder payload) { payload.initInstanceRefused().setWhy("x"); });
  }
  run(absl::Seconds(1));
  EXPECT_EQ(subjects(">"), (Names{"i-1", "i-1", "i-2"}));
}

TEST_F(ArchiveTest, takes_of_a_log_nothing_that_is_another_nodes) {
  start_home();
  TestNode& a = start("a");
  TestNode& b = start("b");
  run(absl::Seconds(3));
  const Event of_b = say(b, "said by b");
  run(absl::Seconds(1));
  // Whoever owns a machine can write to its disk.
  Draft draft = pool_.draft("forged");
  draft.payload().initInstanceLaunched().setInstance("i");
  const Envelope envelope{.origin = "b/provider",
                          .incarnation = of_b.incarnation(),
                          .sequence = 1000,
                          .time = of_b.time()};
  a.disk.add(*std::move(draft).seal(envelope));
  say(a, "said by a");
  run(absl::Seconds(1));
  EXPECT_EQ(subjects(), (Names{"said by b", "said by a"}));
}

TEST_F(ArchiveTest, answers_nothing_but_for_its_log) {
  TestNode& home = start_home();
  const auto other = ask(home, {"home", archive_actor},
                         Message<schema::Request>::build([](auto request) { request.setPing(); }));
  EXPECT_TRUE(absl::IsUnimplemented(other.status())) << other.status();
}

}  // namespace
}  // namespace supercloud
