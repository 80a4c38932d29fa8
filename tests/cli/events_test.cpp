// What `events` prints, and what it says instead of nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bus/checkpoint.h"
#include "cli/cluster_target.h"
#include "cli/events_command.h"
#include "cli/interrupt.h"
#include "cli/measure/temporary_folder.h"
#include "storage/rocks_event_log.h"
#include "tests/actors/told.h"
#include "tests/storage/driven_scheduler.h"
#include "tests/storage/stored_events.h"

namespace supercloud {
namespace {

using testing::HasSubstr;

class EventsTest : public testing::Test {
 protected:
  EventsTest() {
    told_.joined("node-a", Told::place_a, 0);
    told_.price(Told::place_c, 14'100'000, 60'000);
    told_.running("node-a", "web1", 120'000);
    told_.tell("node-a/agent", 121'000, "node-a", {}, [](schema::Payload::Builder payload) {
      payload.initNodeCapacity().setNode("node-a");
    });
    proposal_ = told_.proposed("web1", 180'000, "because", nullptr, {});
    told_.refused(proposal_, 180'100);
  }

  struct Said {
    int code;
    std::string out, err;
    std::ptrdiff_t lines() const { return std::count(out.begin(), out.end(), '\n'); }
  };
  Said ask(const std::string& pattern, const std::string& since = "", bool json = false) {
    std::ostringstream out, err;
    const int code =
        print_history(told_.events(), {.pattern = pattern, .since = since, .json = json},
                      Told::start() + absl::Minutes(4), nullptr, out, err);
    return {code, out.str(), err.str()};
  }

  Told told_;
  Event proposal_;
};

TEST_F(EventsTest, without_a_pattern_all_but_what_nodes_say_of_themselves) {
  const Said said = ask("");
  EXPECT_EQ(said.code, exit_ok);
  EXPECT_EQ(said.lines(), 5);
  EXPECT_THAT(said.out, HasSubstr("14:01:00.000  "));
  EXPECT_THAT(said.out, HasSubstr("us-east-1c/spot costs 0.0141 USD/h"));
  EXPECT_EQ(ask(">").lines(), 6);
}

TEST_F(EventsTest, from_when_can_be_said_in_four_ways) {
  EXPECT_EQ(ask("", "start").lines(), 5);
  EXPECT_EQ(ask("", "2m").lines(), 3);
  EXPECT_EQ(ask("", "2027-01-15T14:02:30Z").lines(), 2);
  EXPECT_EQ(ask("", proposal_.id().short_id()).lines(), 2);
  EXPECT_EQ(ask("", "yesterday").code, exit_usage);
  EXPECT_EQ(ask("", "zz").code, exit_usage);
  EXPECT_EQ(ask("", "2027-01-15T15:00:00Z").code, exit_no_match);
  EXPECT_THAT(ask("", "2027-01-15T15:00:00Z").err, HasSubstr("5 before"));
}

TEST_F(EventsTest, no_more_is_read_than_there_is_to_tell) {
  const absl::Time now = Told::start() + absl::Minutes(4);
  std::vector<HybridTime> asked;
  const auto read = [&](const std::string& pattern, const std::string& since) {
    asked.clear();
    const auto events =
        read_past({.pattern = pattern, .since = since}, *EventFilter::make(pattern), now,
                  [&](HybridTime from) -> absl::StatusOr<std::vector<Event>> {
                    asked.push_back(from);
                    return told_.events();  // a log may give more than it is asked for
                  });
    EXPECT_TRUE(events.ok()) << events.status();
    return events->size();
  };
  EXPECT_EQ(read("", "2m"), 4U);
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0], HybridTime::at(now - absl::Minutes(2)));
  const std::size_t all = told_.events().size();
  EXPECT_EQ(read("spot.>", "1m"), all) << "what was before is told in its place";
  EXPECT_EQ(asked.size(), 2U);
  for (const std::string since : {"", "start", "an-id", "00ab"}) {
    EXPECT_EQ(read("", since), all);
    ASSERT_EQ(asked.size(), 1U);
    EXPECT_EQ(asked[0], HybridTime{});
  }
}

TEST_F(EventsTest, what_is_past_can_be_told_in_its_time) {
  const auto replay = [&](double speed, int at_most) {
    std::ostringstream out, err;
    std::vector<Duration> due;
    const Pace pace = [&](Duration since_first) {
      due.push_back(since_first);
      return static_cast<int>(due.size()) <= at_most;
    };
    const int code = print_history(told_.events(), {.pattern = "", .since = "2m", .speed = speed},
                                   Told::start() + absl::Minutes(4), pace, out, err);
    const std::string text = out.str();
    return std::tuple(code, due, std::count(text.begin(), text.end(), '\n'));
  };
  using Due = std::vector<Duration>;
  const Due original = {absl::ZeroDuration(), absl::Seconds(60), absl::Seconds(60.1)};
  EXPECT_EQ(replay(1, 9), std::tuple(exit_ok, original, 3));
  const Due fast = {absl::ZeroDuration(), absl::Seconds(1), absl::Seconds(60.1) / 60.0};
  EXPECT_EQ(replay(60, 9), std::tuple(exit_ok, fast, 3));
  EXPECT_EQ(replay(0, 0), std::tuple(exit_ok, Due{}, 3)) << "at once";
  EXPECT_EQ(std::get<0>(replay(1, 2)), exit_interrupted);
  EXPECT_EQ(std::get<2>(replay(1, 2)), 2);
}

TEST_F(EventsTest, speeds_are_words_or_factors) {
  EXPECT_EQ(*parse_replay_speed("max"), 0);
  EXPECT_EQ(*parse_replay_speed("original"), 1);
  EXPECT_EQ(*parse_replay_speed("0.5"), 0.5);
  for (const char* wrong : {"", "0", "-1", "fast", "nan", "inf", "1e9"})
    EXPECT_THAT(std::string(parse_replay_speed(wrong).status().message()),
                HasSubstr("write original, max, or how many times as fast"))
        << wrong;
}

TEST_F(EventsTest, what_matches_nothing_gets_near_topics_and_names) {
  EXPECT_THAT(ask("migration.refusd.>").err, HasSubstr("migration.refused"));
  EXPECT_THAT(ask("migratoin.>").err, HasSubstr("migration"));
  EXPECT_THAT(ask("*.*.main.web2").err, HasSubstr("web1"));
  EXPECT_THAT(ask("web1").err, HasSubstr("'*.*.*.web1'"));
  EXPECT_THAT(ask("migration").err, HasSubstr("'migration.>'"));
  EXPECT_THAT(ask("storage.sealed.>").err, HasSubstr("no such event"));
  for (const char* pattern : {"migration.refusd.>", "migratoin.>", "*.*.main.web2", "web1",
                              "migration", "storage.sealed.>"}) {
    const Said said = ask(pattern);
    EXPECT_EQ(said.code, exit_no_match) << pattern;
    EXPECT_EQ(said.out, "") << pattern;
  }
  EXPECT_EQ(ask("a..b").code, exit_usage);
}

TEST_F(EventsTest, an_event_that_does_not_exist_gets_near_ids) {
  const std::string id = proposal_.id().short_id();
  std::string wrong = id;
  wrong.back() = wrong.back() == '0' ? '1' : '0';
  const Said said = ask("", wrong);
  EXPECT_EQ(said.code, exit_no_match);
  EXPECT_THAT(said.err, HasSubstr("did you mean " + id));
  EXPECT_EQ(said.out, "");
  const std::string full = proposal_.id().to_string();
  EXPECT_THAT(ask("", full + "9").err, HasSubstr("did you mean " + full));
}

TEST(EventPatternTest, that_no_event_can_match_is_told_before_one_waits_for_it) {
  EXPECT_THAT(names_no_topic("migratoin.>"), HasSubstr("did you mean migration"));
  EXPECT_THAT(names_no_topic("migration.refusd.>"), HasSubstr("migration.refused"));
  EXPECT_THAT(names_no_topic("migration"), HasSubstr("'migration.>'"));
  EXPECT_THAT(names_no_topic("migration.refused"), HasSubstr("'migration.refused.>'"));
  EXPECT_THAT(names_no_topic("*.*.main.web1.>"), HasSubstr("four parts"));
  for (const char* pattern : {"", ">", "migration.>", "*.*.main.web1", "migration.refused.>",
                              "migration.*.main.web1", "*.refused.>", "vm.started.main.>"})
    EXPECT_EQ(names_no_topic(pattern), "") << pattern;
}

TEST_F(EventsTest, json_is_one_whole_event_a_line) {
  const Said said = ask("migration.refused.>", "", true);
  EXPECT_EQ(said.lines(), 1);
  EXPECT_EQ(said.out.front(), '{');
  EXPECT_THAT(said.out, HasSubstr("raise the MTU there"));
}

// Read from the disk of a node that is down.
TEST(History, says_whose_log_begins_later) {
  const TemporaryFolder folder;
  DrivenScheduler scheduler;
  EventPool pool;
  ClusterTarget target;
  for (const auto& [name, events] : {std::pair("node-a", 5), std::pair("node-b", 50)}) {
    NodeEntry node;
    node.name = name;
    node.log = folder.path() / name / "log";
    auto log = RocksEventLog::open(
        scheduler, pool, {.path = node.log.string(), .node = name, .retention = {.events = 10}});
    ASSERT_TRUE(log.ok()) << log.status();
    for (int i = 1; i <= events; ++i) {
      const auto done = scheduler.wait<Done>(
          [&](Reply<Done> reply) {
            (*log)->append({stored_event(pool, static_cast<std::uint64_t>(i), "web1",
                                         absl::StrCat(name, "/executor"))},
                           std::nullopt, std::move(reply));
          },
          true);
      ASSERT_TRUE(done.ok()) << done.status();
    }
    target.nodes.push_back(node);
  }
  std::vector<std::string> forgetful;
  const auto history = read_history(target, Pattern::of(">"), pool, nullptr, &forgetful);
  ASSERT_TRUE(history.ok()) << history.status();
  EXPECT_EQ(history->size(), 15U);
  EXPECT_EQ(forgetful, std::vector<std::string>{"the log of node-b"});
  EXPECT_THAT(begins_later(forgetful), HasSubstr("the log of node-b begins later"));
  EXPECT_EQ(begins_later({}), "");
}

TEST(Events, a_gap_is_told_with_its_origin_prefix_and_range) {
  EXPECT_EQ(gap_line({.origin = "node-a/executor",
                      .incarnation = 3,
                      .prefix = "vm.",
                      .after = 11,
                      .up_to = 15,
                      .why = "the log does not have it"}),
            "events of node-a/executor under vm. were missed here, 3:12 to 3:15 (the log does not "
            "have it); `supercloud events` without --follow has what a log has of them");
  EXPECT_THAT(gap_line({.origin = "node-a/executor",
                        .incarnation = 3,
                        .prefix = "",
                        .after = 11,
                        .up_to = BusGap::unknown,
                        .why = ""}),
              HasSubstr("node-a/executor were missed here, from 3:12 on; "));
}

// Whose log and archive are below the folder.
NodeEntry node_a(const TemporaryFolder& folder) {
  NodeEntry node;
  node.name = "node-a";
  node.log = folder.path() / "node-a" / "log";
  return node;
}

// What an archive has of a node that is nowhere to be asked.
TEST(History, names_those_whose_log_is_nowhere) {
  const TemporaryFolder folder;
  DrivenScheduler scheduler;
  EventPool pool;
  const NodeEntry node = node_a(folder);
  {
    const std::string path = (node.log.parent_path() / archive_folder).string();
    const auto log = RocksEventLog::open(scheduler, pool, {.path = path, .node = "node-a"});
    ASSERT_TRUE(log.ok()) << log.status();
    const auto done = scheduler.wait<Done>(
        [&](Reply<Done> reply) {
          (*log)->append({stored_event(pool, 1, "web1", "node-b/executor")}, std::nullopt,
                         std::move(reply));
        },
        true);
    ASSERT_TRUE(done.ok()) << done.status();
  }
  ClusterTarget target;
  target.nodes = {node};
  ClusterClient* const offline = nullptr;
  testing::internal::CaptureStderr();
  const auto history = read_history(target, Pattern::of(">"), pool, offline);
  const std::string said = testing::internal::GetCapturedStderr();
  ASSERT_TRUE(history.ok()) << history.status();
  EXPECT_EQ(history->size(), 1U);
  EXPECT_THAT(said, HasSubstr("not read is the log of node-b"));
}

// An archive could make up what others have said.
TEST(History, takes_from_an_archive_what_is_proven_where_the_bus_has_keys) {
  const TemporaryFolder folder;
  DrivenScheduler scheduler;
  EventPool pool;
  const NodeEntry node = node_a(folder);
  const auto key = KeyPair::generate();
  std::vector<Event> said = {stored_event(pool, 1, "web1", "node-b/executor"),
                             stored_event(pool, 2, "web1", "node-b/executor")};
  Draft draft = KeyNotary(pool, "node-b", key).checkpoint(said);
  Envelope envelope;
  envelope.origin = "node-b/log";
  envelope.incarnation = 1;
  envelope.sequence = 1;
  envelope.time = said[1].time();
  const Event checkpoint = *std::move(draft).seal(envelope);
  const Event made_up = stored_event(pool, 3, "web1", "node-b/executor");
  {
    const std::string path = (node.log.parent_path() / archive_folder).string();
    const auto log = RocksEventLog::open(scheduler, pool, {.path = path, .node = "node-a"});
    ASSERT_TRUE(log.ok()) << log.status();
    const auto done = scheduler.wait<Done>(
        [&](Reply<Done> reply) {
          (*log)->append({said[0], said[1], checkpoint, made_up}, std::nullopt, std::move(reply));
        },
        true);
    ASSERT_TRUE(done.ok()) << done.status();
  }
  ClusterTarget target;
  target.nodes = {node};
  const auto read = [&] {
    std::vector<std::uint64_t> sequences;
    ClusterClient* const offline = nullptr;
    const auto history = read_history(target, Pattern::of("vm.>"), pool, offline);
    EXPECT_TRUE(history.ok()) << history.status();
    for (const Event& event : *history) sequences.push_back(event.sequence());
    return sequences;
  };
  EXPECT_EQ(read(), (std::vector<std::uint64_t>{1, 2, 3})) << "without keys it is believed";
  target.trust = (folder.path() / "trust.toml").string();
  const auto enrol = [&](const KeyPair& whose) {
    std::ofstream(target.trust) << "[[key]]\nname = \"node-b\"\npublic = \""
                                << whose.public_key().text() << "\"\n";
  };
  enrol(*key);
  EXPECT_EQ(read(), (std::vector<std::uint64_t>{1, 2}));
  enrol(*KeyPair::generate());
  EXPECT_EQ(read(), (std::vector<std::uint64_t>{})) << "signed by another";
}

}  // namespace
}  // namespace supercloud
