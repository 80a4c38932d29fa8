// The fold of migrations and VMs: pure, in any order, however often; and the actor that keeps it.
#include "actors/observer/observer.h"

#include <gtest/gtest.h>

#include <memory>

#include "actors/observer/cluster_fold.h"
#include "actors/observer/describe.h"
#include "actors/observer/migration_fold.h"
#include "actors/observer/state_json.h"
#include "actors/observer/words.h"
#include "tests/actors/market_world.h"
#include "tests/actors/told.h"
#include "tests/core/filled.h"

namespace supercloud {
namespace {

using schema::Payload;

MigrationState folded(const std::vector<Event>& events) {
  MigrationState state;
  for (const Event& event : events) state = fold(std::move(state), event);
  return state;
}

struct Move {
  Told told;
  Event proposal, accepted;
  Move() {
    proposal = told.proposed("web1", 0, "because", nullptr, {});
    accepted = told.accepted(proposal, 50);
  }
};

TEST(MigrationFold, follows_a_move_from_stage_to_stage) {
  Move move;
  move.told.moved(move.proposal, move.accepted, 100);
  const std::vector<Event> events = move.told.events();
  std::vector<MigrationStage> stages;
  MigrationState state;
  for (const Event& event : events) {
    state = fold(std::move(state), event);
    if (stages.empty() || stages.back() != stage(state)) stages.push_back(stage(state));
  }
  using S = MigrationStage;
  EXPECT_EQ(stages, (std::vector<S>{S::proposed, S::accepted, S::preparing, S::copying, S::paused,
                                    S::switching_over, S::resumed, S::completed}));
  EXPECT_TRUE(ended(state));
  EXPECT_EQ(state.vm, "main/web1");
  EXPECT_EQ(source_of(state), "node-a");
  EXPECT_EQ(target_of(state), "node-c");
  EXPECT_EQ(blackout(state), absl::Milliseconds(41));
  EXPECT_EQ(state.end->passes, 3U);
  EXPECT_EQ(state.end->sent_bytes, std::uint64_t{600} << 20U);
  EXPECT_EQ(state.target_ready->node, "node-c");
  EXPECT_EQ(state.accepted->time, HybridTime::at(Told::start() + absl::Milliseconds(50)));
  EXPECT_EQ(state.cleaned.size(), 1U);
  EXPECT_EQ(percent(state), 100U);
}

TEST(MigrationFold, makes_the_same_of_the_same_events_in_any_order_and_number) {
  Move move;
  move.told.moved(move.proposal, move.accepted, 100);
  // Two ends, as a source that lost touch may tell: the first counts, whichever arrives first.
  move.told.aborted(move.proposal, move.accepted, "node-d", 9000, "committed", "late");
  const std::vector<Event> events = move.told.events();
  const MigrationState expected = folded(events);
  EXPECT_EQ(stage(expected), MigrationStage::completed);
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    Random random(seed);
    EXPECT_EQ(folded(shuffled(events, random)), expected) << "seed " << seed;
  }
}

TEST(MigrationFold, does_without_any_one_event) {
  Move move;
  move.told.moved(move.proposal, move.accepted, 100);
  const std::vector<Event> events = move.told.events();
  for (std::size_t missing = 0; missing < events.size(); ++missing) {
    std::vector<Event> rest = events;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(missing));
    const MigrationState state = folded(rest);
    EXPECT_EQ(state.id, move.proposal.id());
    EXPECT_EQ(ended(state), events[missing].type() != Payload::MIGRATION_COMPLETED) << missing;
    EXPECT_EQ(source_of(state), "node-a") << missing;
    EXPECT_EQ(target_of(state), "node-c") << missing;
  }
}

TEST(MigrationFold, leaves_other_migrations_alone) {
  Move one;
  const Event other = one.told.proposed("web2", 200, "because", nullptr, {});
  const MigrationState state = folded({one.proposal, one.accepted});
  EXPECT_EQ(fold(state, other), state);
  EXPECT_EQ(fold(state, one.told.price(Told::place_a, 1, 300)), state);
}

TEST(MigrationFold, keeps_every_failed_check_of_a_refusal) {
  Told told;
  const Event proposal = told.proposed("web1", 0, "because", nullptr, {});
  const MigrationState state = folded({proposal, told.refused(proposal, 10)});
  EXPECT_EQ(stage(state), MigrationStage::refused);
  ASSERT_EQ(state.end->failures.size(), 2U);
  EXPECT_EQ(state.end->failures[1].cure, "raise the MTU there, or lower the guest's");
}

TEST(MigrationFold, does_not_take_a_source_that_got_its_machine_back_for_a_moved_one) {
  Move move;
  const auto say = [&](std::int64_t at_ms, const std::function<void(Payload::Builder)>& fill) {
    return move.told.tell("node-a/executor", at_ms, "web1", {&move.accepted, &move.proposal}, fill);
  };
  const Event paused = say(100, [](Payload::Builder p) { p.initVmPaused().setNode("node-a"); });
  const Event resumed = say(400, [](Payload::Builder p) { p.initVmResumed().setNode("node-a"); });
  MigrationState state = folded({move.proposal, move.accepted, paused, resumed});
  EXPECT_EQ(stage(state), MigrationStage::switching_over);
  EXPECT_EQ(blackout(state), absl::Milliseconds(300));
  EXPECT_FALSE(ended(state));
  state = fold(state, move.told.aborted(move.proposal, resumed, "node-a", 410, "switching over",
                                        "the blackout's deadline passed"));
  EXPECT_EQ(stage(state), MigrationStage::aborted);
  EXPECT_EQ(state.end->why, "the blackout's deadline passed");
  EXPECT_EQ(state.end->at_stage, "switching over");
}

TEST(ClusterFold, knows_where_a_vm_runs_and_what_prices_were_known_when) {
  Told told;
  told.joined("node-a", Told::place_a, 0);
  told.joined("node-c", Told::place_c, 0);
  told.price(Told::place_c, 20'000'000, 5);
  told.running("node-a", "web1", 10);
  told.price(Told::place_c, 14'100'000, 500);
  told.considered("web1", 600, "stay", "the hour is paid", nullptr);
  const Event proposal = told.proposed("web1", 1000, "because", nullptr, {});
  told.moved(proposal, told.accepted(proposal, 1010), 1100);
  const std::vector<Event> events = told.events();
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Random random(seed);
    ClusterFold fold;
    for (const Event& event : seed == 0 ? events : shuffled(events, random)) fold.apply(event);
    const VmHistory& vm = fold.vms().at("main/web1");
    ASSERT_NE(running_now(vm), nullptr);
    EXPECT_EQ(running_now(vm)->node, "node-c");
    EXPECT_EQ(running_now(vm)->migration, proposal.id());
    EXPECT_EQ(vm.moves.size(), 1U);
    EXPECT_EQ(vm.moves.begin()->first, proposal.time());
    EXPECT_EQ(vm.considered->reason, "the hour is paid");
    const auto at = [&](std::int64_t ms) {
      return HybridTime::at(Told::start() + absl::Milliseconds(ms));
    };
    EXPECT_EQ(fold.price_at(Told::place_c, at(2)), nullptr);
    EXPECT_EQ(fold.price_at(Told::place_c, at(499))->nano_usd_per_hour, 20'000'000);
    EXPECT_EQ(fold.price_at(Told::place_c, at(500))->nano_usd_per_hour, 14'100'000);
    EXPECT_EQ(fold.place_of("node-c"), Told::place_c);
    EXPECT_EQ(fold.migrations_like(proposal.id().short_id().substr(0, 4)).size(), 1U);
    EXPECT_EQ(fold.migrations_like(proposal.id().to_string()).size(), 1U);
  }
}

TEST(ClusterFold, forgets_the_quietest_when_it_is_told_to_keep_few) {
  Told told;
  ClusterFold fold;
  std::vector<Event> proposals;
  for (int i = 0; i < 10; ++i) {
    proposals.push_back(told.proposed("web1", i * 1000, "because", nullptr, {}));
    fold.apply(proposals.back());
    if (i != 0) fold.apply(told.refused(proposals.back(), i * 1000 + 10));
    fold.apply(told.price(Told::place_a, i + 1, i * 1000));
    fold.keep(3, 2);
  }
  EXPECT_EQ(fold.migrations().size(), 3U);
  EXPECT_NE(fold.migration(proposals[0].id()), nullptr) << "it has not ended";
  EXPECT_NE(fold.migration(proposals[9].id()), nullptr);
  EXPECT_EQ(fold.vms().at("main/web1").moves.size(), 3U);
}

TEST(Describe, has_one_plain_line_for_every_type_of_event) {
  EventPool pool;
  for (std::uint16_t type = 1; type < 256; ++type) {
    if (topic_of(static_cast<Payload::Which>(type)).empty()) continue;
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      Random random(seed);
      Draft draft = pool.draft("web1");
      fill_member(draft.payload(), type, random);
      Envelope envelope;
      envelope.origin = "node-a/executor";
      envelope.incarnation = envelope.sequence = 1;
      const auto event = std::move(draft).seal(envelope);
      ASSERT_TRUE(event.ok()) << event.status().message();
      const std::string line = event_line(*event);
      EXPECT_EQ(line.find('\n'), std::string::npos) << line;
      EXPECT_EQ(line.find('\x01'), std::string::npos) << line;
      EXPECT_EQ(line.find("does not know"), std::string::npos) << line;
      EXPECT_NE(line.find(event->id().short_id()), std::string::npos);
    }
  }
}

TEST(Words, are_exact_and_plain) {
  EXPECT_EQ(place_words(Told::place_a), "us-east-1a/spot");
  EXPECT_EQ(place_words("node-a"), "node-a");
  EXPECT_EQ(shorten_places("the hour at aws/us-east-1/us-east-1a/m3.medium/spot ends, at "
                           "aws/us-east-1/us-east-1b/m3.medium/on-demand."),
            "the hour at us-east-1a/spot ends, at us-east-1b/on-demand.");
  EXPECT_EQ(price_words(33'149'999), "0.0331 USD/h");
  EXPECT_EQ(money_words({33'150'000}), "0.0332 USD");
  EXPECT_EQ(money_words({-1'500'000'000}), "-1.5000 USD");
  EXPECT_EQ(money_words({1}), "0.000000001 USD");
  EXPECT_EQ(span_words(absl::Milliseconds(41)), "41 ms");
  EXPECT_EQ(span_words(absl::Milliseconds(3250)), "3.2 s");
  EXPECT_EQ(span_words(absl::Seconds(125)), "2 min 5 s");
  EXPECT_EQ(bytes_words(std::uint64_t{3} << 29U), "1.5 GiB");
  EXPECT_EQ(bytes_words(1), "1 byte");
}

// A flight may be dearer than what it leaves: that is no cost of the move.
TEST(Words, of_a_gain_are_true_below_zero_too) {
  Told told;
  const auto words = [&](std::int64_t gain) {
    return describe(told.tell("node-a/policy", 0, "web1", {}, [gain](Payload::Builder payload) {
      auto proposed = payload.initMigrationProposed();
      proposed.setTargetPlace(Told::place_c);
      proposed.setProposer("policy x");
      proposed.setGainNanoUsd(gain);
    }));
  };
  EXPECT_EQ(words(19'000'000),
            "web1 is to go to us-east-1c/spot (policy x, expected to cost 0.0190 USD less than "
            "here)");
  EXPECT_EQ(words(-19'000'000),
            "web1 is to go to us-east-1c/spot (policy x, expected to cost 0.0190 USD more than "
            "here)");
  EXPECT_EQ(words(0), "web1 is to go to us-east-1c/spot (policy x)");
}

TEST_F(MarketWorld, an_observer_that_joined_late_answers_for_what_was_before) {
  TestNode& a = start("a");
  publish(a, "web1", [](Payload::Builder payload) {
    auto proposed = payload.initMigrationProposed();
    proposed.setVm("main/web1");
    proposed.setTargetNode("b");
  });
  run(absl::Seconds(1));
  TestNode& b = start("b");
  b.node->spawn("observer", [](Context& context) { return std::make_unique<Observer>(context); });
  run(absl::Seconds(5));
  const auto request = Message<schema::Request>::build(
      [](schema::Request::Builder builder) { builder.setMigrationState(""); });
  const auto answer = ask(a, {"b", "observer"}, request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  const std::string json(text(answer->reader().getJson()));
  EXPECT_NE(json.find("\"vm\":\"main/web1\",\"stage\":\"proposed\""), std::string::npos) << json;
}

}  // namespace
}  // namespace supercloud
