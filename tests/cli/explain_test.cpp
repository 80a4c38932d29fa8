// What `explain` says of histories whose truth is known, made by hand and by the simulator.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>
#include <utility>

#include "cli/explain/story.h"
#include "cli/explain_command.h"
#include "simulation/cluster.h"
#include "tests/actors/told.h"

namespace supercloud {
namespace {

using testing::HasSubstr;

struct Said {
  int code = 0;
  std::string out, err;
};

Said ask(const History& history, const std::string& what, bool full = false, bool json = false) {
  std::ostringstream out, err;
  const int code = explain(history, {.what = what, .full = full, .json = json}, out, err);
  if (std::getenv("SUPERCLOUD_TRACE") != nullptr)
    std::cerr << "> explain " << what << "\n" << out.str() << err.str() << "\n";
  return {code, out.str(), err.str()};
}

// The prices, the places and a running VM that every story below begins with.
class ExplainTest : public testing::Test {
 protected:
  ExplainTest() {
    told_.joined("node-a", Told::place_a, 0);
    told_.joined("node-c", Told::place_c, 10);
    price_a_ = told_.price(Told::place_a, 33'100'000, 1000);
    told_.running("node-a", "web1", 2000);
    price_c_ = told_.price(Told::place_c, 14'100'000, 180'000);
  }

  Event propose(std::int64_t at_ms) {
    const std::string reason =
        "the paid hour at aws/us-east-1/us-east-1a/m3.medium/spot ends; the next would cost "
        "0.0331, at "
        "aws/us-east-1/us-east-1c/m3.medium/spot 0.0141";
    told_.considered("web1", at_ms, Told::place_c, reason, &price_c_);
    return told_.proposed("web1", at_ms, reason, &price_c_, {&price_a_, &price_c_});
  }

  Told told_;
  Event price_a_, price_c_;
};

TEST_F(ExplainTest, an_instance_is_told_from_the_decision_to_its_charges) {
  const Event proposal = propose(180'100);
  told_.tell("node-a/provider", 180'200, "place", {}, [&](schema::Payload::Builder payload) {
    auto requested = payload.initInstanceRequested();
    requested.setPlace(Told::place_c);
    requested.setClientToken("token");
    requested.setWhy("migration " + proposal.id().short_id());
    proposal.id().write(requested.initMigration());
  });
  told_.tell("node-a/provider", 240'200, "i-7", {}, [&](schema::Payload::Builder payload) {
    auto launched = payload.initInstanceLaunched();
    launched.setInstance("i-7");
    launched.initPlace().setId(Told::place_c);
    launched.setClientToken("token");
    launched.setPriceNanoUsdPerHour(14'100'000);
  });
  for (const int hour : {1, 2, 2})  // the last by who took the role over
    told_.tell("node-a/ledger", 240'200 + hour * 3'600'000, "i-7", {},
               [&](schema::Payload::Builder payload) {
                 auto charged = payload.initLedgerCharged();
                 charged.setInstance("i-7");
                 charged.setPlace(Told::place_c);
                 charged.setFromNs(hour * 3'600'000'000'000);
                 charged.setAmountNanoUsd(14'100'000);
                 price_c_.id().write(charged.initPriceEvent());
                 proposal.id().write(charged.initDecision());
               });
  const Said said = ask(History(told_.events()), "i-7");
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_THAT(said.out,
              HasSubstr("i-7 at us-east-1c/spot was rented at 14:04:00 for 0.0141 USD/h"));
  EXPECT_THAT(said.out, HasSubstr("0.0282 USD charged so far"));
  EXPECT_THAT(said.out, HasSubstr("web1 is to go to us-east-1c/spot"));
  EXPECT_EQ(ask(History(told_.events()), "i-8").code, 4);
}

TEST_F(ExplainTest, a_completed_move_is_told_from_the_price_to_the_end) {
  const Event proposal = propose(180'100);
  told_.moved(proposal, told_.accepted(proposal, 180'150), 180'200);
  EXPECT_EQ(
      ask(History(told_.events()), "web1").out,
      R"(web1 runs on node-c at us-east-1c/spot since 14:03:02 because the paid hour at us-east-1a/spot ends; the next would cost 0.0331, at us-east-1c/spot 0.0141 (0.0190 USD/h less). The move took 1.8 s, and the guest was paused for 41 ms.
14:03:00.000 us-east-1c/spot costs 0.0141 USD/h since 2015-08-22 00:00 market time
14:03:00.100 └ web1 is to go to us-east-1c/spot: the paid hour at us-east-1a/spot ends; the next would cost 0.0331, at us-east-1c/spot 0.0141 (policy cheapest, expected to cost 0.0190 USD less than here)
14:00:01.000   ├ known: us-east-1a/spot costs 0.0331 USD/h since 2015-08-22 00:00 market time
14:03:00.100   ├ policy cheapest compared:
               │ ├ us-east-1c/spot would cost 0.0141 USD, 0.0190 USD less than staying; chosen
               │ └ us-east-1a/spot would cost 0.0331 USD
14:03:00.150   └ node-a will hand web1 to node-c within 30 s
14:03:00.350     ├ node-c has the disk of web1, version 0
14:03:00.360     ├ node-c has the network path for web1
14:03:00.300     └ node-c has room and waits for web1
14:03:00.400       └ node-a copies 512 MiB of web1 to node-c
14:03:02.000         └ web1 is paused on node-a
14:03:02.005           ├ node-a sealed the disk of web1 at version 0
14:03:02.015           ├ node-c has the same version 0 of the disk of web1 on stable storage
14:03:02.041           └ web1 runs on node-c at epoch 2 (committed)
14:03:02.045             ├ frames for web1 go to node-c
14:03:02.050             ├ node-a gives up the memory of web1
14:03:02.060             ├ web1 has moved from node-a to node-c: 1.8 s, 600 MiB, 3 passes, paused for 41.0 ms
14:03:02.100             └ node-a keeps nothing of web1
)");
}

TEST_F(ExplainTest, a_move_tells_what_was_paid_for_what_it_sent) {
  const Event proposal = propose(180'100);
  told_.moved(proposal, told_.accepted(proposal, 180'150), 180'200);
  told_.tell("site/ledger", 182'200, "i-1", {}, [&](schema::Payload::Builder payload) {
    auto charged = payload.initLedgerCharged();
    charged.setInstance("i-1");
    charged.setPlace(Told::place_a);
    charged.setAmountNanoUsd(5'860'000);
    charged.setPriceNanoUsdPerHour(10'000'000);
    charged.setSentBytes(std::uint64_t{600} << 20U);
    charged.setWhy("sent by the move of web1 to node-c");
    proposal.id().write(charged.initDecision());
  });
  const std::string told =
      "0.0059 USD for 600 MiB out of us-east-1a/spot (i-1), 0.0100 USD per GiB: sent by the move "
      "of web1 to node-c";
  const History history(told_.events());
  EXPECT_THAT(ask(history, "web1", true).out, HasSubstr(told));
  EXPECT_THAT(ask(history, proposal.id().short_id(), true).out, HasSubstr(told));
  EXPECT_EQ(history.fold().migration(proposal.id())->vm, "main/web1");
}

TEST_F(ExplainTest, a_refusal_shows_every_failed_check_with_its_cure) {
  const Event proposal = propose(180'100);
  told_.refused(proposal, 180'150);
  EXPECT_EQ(
      ask(History(told_.events()), proposal.id().short_id()).out,
      R"(web1 was not moved to node-c at us-east-1c/spot: node-a refused at 14:03:00, 2 checks failed.
14:03:00.000 us-east-1c/spot costs 0.0141 USD/h since 2015-08-22 00:00 market time
14:03:00.100 └ web1 is to go to us-east-1c/spot: the paid hour at us-east-1a/spot ends; the next would cost 0.0331, at us-east-1c/spot 0.0141 (policy cheapest, expected to cost 0.0190 USD less than here)
14:00:01.000   ├ known: us-east-1a/spot costs 0.0331 USD/h since 2015-08-22 00:00 market time
14:03:00.100   ├ policy cheapest compared:
               │ ├ us-east-1c/spot would cost 0.0141 USD, 0.0190 USD less than staying; chosen
               │ └ us-east-1a/spot would cost 0.0331 USD
14:03:00.150   └ node-a refuses to move web1 to node-c:
                 ├ memory: the guest needs 512 MiB, 256 MiB are free; cure: choose a larger target, or move something away from it
                 └ mtu: the target's network carries 1400 bytes, the guest uses 1450; cure: raise the MTU there, or lower the guest's
)");
}

TEST_F(ExplainTest, an_abort_names_its_first_cause_and_where_the_vm_still_runs) {
  const Event proposal = propose(180'100);
  const Event accepted = told_.accepted(proposal, 180'150);
  told_.aborted(proposal, accepted, "node-a", 190'000, "copying memory",
                "pre-copy: node-c is out of reach");
  const Said said = ask(History(told_.events()), "web1");
  EXPECT_THAT(said.out, HasSubstr("web1 runs on node-a at us-east-1a/spot since 14:00:02, created. "
                                  "The move of web1 from node-a to "
                                  "node-c at us-east-1c/spot ended without effect at 14:03:10 "
                                  "(copying memory): pre-copy: node-c is "
                                  "out of reach.\n"));
}

TEST_F(ExplainTest, a_vm_that_never_moved_says_why_it_stays) {
  told_.considered(
      "web1", 200'000, "stay",
      "the hour at aws/us-east-1/us-east-1a/m3.medium/spot is paid until 2015-08-22 01:00",
      &price_c_);
  const Said said = ask(History(told_.events()), "web1");
  EXPECT_EQ(said.code, exit_ok);
  EXPECT_THAT(said.out, HasSubstr("web1 runs on node-a at us-east-1a/spot since 14:00:02, created. "
                                  "It stays because the hour at "
                                  "us-east-1a/spot is paid until 2015-08-22 01:00.\n"));
  EXPECT_THAT(said.out,
              HasSubstr("us-east-1c/spot would cost 0.0141 USD, 0.0190 USD less than staying\n"));
}

TEST_F(ExplainTest, a_vm_whose_policy_fails_says_how_and_since_when) {
  const auto fail = [&](std::int64_t at_ms, const std::string& why) {
    told_.tell("node-a/policy", at_ms, "web1", {}, [&](schema::Payload::Builder payload) {
      auto failed = payload.initPolicyFailed();
      failed.setPolicy("mine");
      failed.setWhy(why);
      failed.setTookNs(800'000'000);
    });
  };
  fail(170'000, "policy mine failed: mine.py ended with exit code 1");
  const Event proposal = propose(180'100);
  told_.moved(proposal, told_.accepted(proposal, 180'150), 180'200);
  for (int i = 0; i < 5; ++i)
    fail(200'000 + i * 1000, "policy mine failed: mine.py did not answer within 800ms");
  told_.considered("web1", 204'100, "stay",
                   "policy mine failed: mine.py did not answer within 800ms; staying", nullptr);
  const History history(told_.events());
  const Said said = ask(history, "web1"), full = ask(history, "web1", true);
  EXPECT_THAT(said.out, HasSubstr("It stays because policy mine failed: mine.py did not answer "
                                  "within 800ms; staying.\n"));
  EXPECT_THAT(said.out, HasSubstr("14:03:24.000 policy mine failed for web1 after 800 ms"));
  EXPECT_THAT(said.out, testing::Not(HasSubstr("14:03:20.000"))) << "of many the last ones";
  EXPECT_THAT(full.out, HasSubstr("14:03:20.000 policy mine failed for web1"));
  EXPECT_THAT(full.out, testing::Not(HasSubstr("exit code 1"))) << "that was before the move";
}

TEST_F(ExplainTest, folds_to_twenty_lines_and_full_shows_all) {
  std::vector<Event> proposals;
  for (int i = 0; i < 6; ++i) {
    const Event proposal = propose(180'100 + i * 10'000);
    told_.moved(proposal, told_.accepted(proposal, 180'150 + i * 10'000), 180'200 + i * 10'000);
  }
  const History history(told_.events());
  const std::string folded = ask(history, "web1").out, full = ask(history, "web1", true).out;
  const auto lines = [](const std::string& text) {
    return std::count(text.begin(), text.end(), '\n');
  };
  EXPECT_EQ(lines(folded), 1 + 20);
  EXPECT_GT(lines(full), 24);
  EXPECT_THAT(folded, HasSubstr("more; --full shows them"));
  EXPECT_THAT(folded, HasSubstr("web1 has moved from node-a to node-c"))
      << "how it ended is never folded away";
}

TEST_F(ExplainTest, what_matches_nothing_gets_near_names_and_what_matches_several_a_list) {
  const Event first = propose(180'100);
  told_.refused(first, 180'150);
  // Enough migrations that two ids begin with the same character.
  for (int i = 1; i <= 17; ++i) told_.refused(propose(180'100 + i * 1000), 180'150 + i * 1000);
  const History history(told_.events());
  const Said nothing = ask(history, "web2");
  EXPECT_EQ(nothing.code, exit_no_match);
  EXPECT_THAT(nothing.err, HasSubstr("did you mean web1"));
  EXPECT_EQ(nothing.out, "");
  std::map<char, int> begins;
  for (const auto& [id, state] : history.fold().migrations()) ++begins[id.short_id()[0]];
  for (const auto& [letter, count] : begins) {
    const Said said = ask(history, std::string(1, letter));
    EXPECT_EQ(said.code, count == 1 ? exit_ok : exit_usage);
    if (count > 1) {
      EXPECT_EQ(std::count(said.err.begin(), said.err.end(), '\n'), count + 1);
    }
  }
}

TEST_F(ExplainTest, a_history_with_holes_is_still_explained) {
  const Event proposal = propose(180'100);
  told_.moved(proposal, told_.accepted(proposal, 180'150), 180'200);
  const std::vector<Event> events = told_.events();
  for (std::size_t missing = 0; missing < events.size(); ++missing) {
    std::vector<Event> rest = events;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(missing));
    EXPECT_EQ(ask(History(rest), "web1", true).code, exit_ok) << missing;
    EXPECT_EQ(ask(History(rest), "web1", false, true).code, exit_ok) << missing;
  }
}

TEST_F(ExplainTest, of_a_cluster_that_has_ended_nothing_is_told_as_if_it_were_so_now) {
  told_.considered("web1", 179'000, "stay", "the hour is paid", &price_c_);
  EXPECT_THAT(ask(History(told_.events(), true), "web1").out,
              HasSubstr("web1 ran on node-a at us-east-1a/spot from 14:00:02 until the log ends, "
                        "created. It stayed because the hour is paid.\n"));
  const Event proposal = propose(180'100);
  EXPECT_THAT(ask(History(told_.events(), true), "web1").out,
              HasSubstr("web1 was to move to us-east-1c/spot since 14:03:00, and nobody had "
                        "answered when the log ends, because"));
  told_.accepted(proposal, 180'150);
  EXPECT_THAT(ask(History(told_.events()), "web1").out, HasSubstr("web1 is moving from node-a"));
  EXPECT_THAT(ask(History(told_.events(), true), "web1").out,
              HasSubstr("web1 was moving from node-a to node-c at us-east-1c/spot since 14:03:00 "
                        "(accepted) when the log ends, because"));
}

TEST_F(ExplainTest, an_end_that_is_told_twice_takes_no_line_from_others) {
  const Event proposal = propose(180'100);
  const Event accepted = told_.accepted(proposal, 180'150);
  told_.moved(proposal, accepted, 180'200);
  // More than fits.
  for (const char* elsewhere : {"node-b/network", "node-d/network"})
    told_.tell(
        elsewhere, 182'045, "web1", {nullptr, &proposal},
        [](schema::Payload::Builder payload) { payload.initNetworkSwitched().setNode("node-c"); });
  told_.tell("node-a/executor", 195'000, "web1", {nullptr, &proposal},
             [](schema::Payload::Builder payload) {
               auto completed = payload.initMigrationCompleted();
               completed.setSource("node-a");
               completed.setTarget("node-c");
             });
  const History history(told_.events());
  const std::string folded = ask(history, "web1").out, full = ask(history, "web1", true).out;
  EXPECT_THAT(folded, HasSubstr("14:03:02.060"));
  EXPECT_THAT(folded, testing::Not(HasSubstr("14:03:15.000")));
  EXPECT_THAT(full, HasSubstr("14:03:15.000"));
}

TEST_F(ExplainTest, days_are_told_where_a_log_spans_them) {
  const Event proposal = propose(180'100);
  told_.moved(proposal, told_.accepted(proposal, 180'150), 180'200);
  EXPECT_THAT(ask(History(told_.events()), "web1").out, HasSubstr(" since 14:03:02 because"));
  told_.price(Told::place_a, 30'000'000, 48 * 3'600'000);
  const std::string out = ask(History(told_.events()), "web1").out;
  EXPECT_THAT(out, HasSubstr(" since 2027-01-15 14:03:02 because"));
  EXPECT_THAT(out, HasSubstr("\n2027-01-15 14:03:00.100 └ web1 is to go"));
  EXPECT_THAT(out, HasSubstr("\n                          │ ├ us-east-1c/spot would cost"));
}

TEST_F(ExplainTest, a_vm_that_was_caught_is_told_by_what_took_its_machine) {
  told_.tell("node-c/provider", 500, "i-1", {}, [](schema::Payload::Builder payload) {
    auto launched = payload.initInstanceLaunched();
    launched.setInstance("i-1");
    launched.setNode("node-a");
  });
  told_.tell("node-c/provider", 60'000, "i-1", {}, [](schema::Payload::Builder payload) {
    auto revoked = payload.initInstanceRevoked();
    revoked.setInstance("i-1");
    revoked.setPlace(Told::place_a);
    revoked.setWhy("the price is above the bid");
  });
  const std::string before = ask(History(told_.events(), true), "web1").out;
  EXPECT_THAT(before, HasSubstr("web1 was caught: the cloud took its machine, node-a at "
                                "us-east-1a/spot, at 14:01:00 (the price is above the bid)."))
      << "nobody has noticed yet";
  told_.tell("node-c/agent", 120'000, "web1", {}, [](schema::Payload::Builder payload) {
    auto failed = payload.initVmFailed();
    failed.setNode("node-a");
    failed.setWhy("its holder is lost");
  });
  told_.running("node-c", "web1-again1", 130'000);
  const std::string out = ask(History(told_.events(), true), "web1").out;
  EXPECT_THAT(out, HasSubstr("at 14:01:00 (the price is above the bid). At 14:02:00 it failed: its "
                             "holder is lost. It was started anew as web1-again1 on node-c at "
                             "us-east-1c/spot: see `explain web1-again1`."));
  EXPECT_THAT(out, HasSubstr("14:01:00.000 i-1 at us-east-1a/spot"));
}

class SimulatedExplainTest : public testing::Test {
 protected:
  static ClusterOptions options() {
    ClusterOptions options;
    options.nodes = 3;
    options.market = false;
    return options;
  }
  SimulatedExplainTest() {
    cluster_.run_for(absl::Seconds(3));
    cluster_.create_vm("node-0", "web1", schema::DiskLoss::SYNC);
    cluster_.run_for(absl::Seconds(3));
  }
  SimulatedCluster cluster_{options()};
};

TEST_F(SimulatedExplainTest, a_users_move_is_explained_by_its_user) {
  cluster_.migrate("node-0", "web1", "node-1");
  cluster_.run_for(absl::Seconds(20));
  const History history(cluster_.history());
  const Said said = ask(history, "web1");
  EXPECT_EQ(said.code, exit_ok);
  EXPECT_THAT(said.out, HasSubstr("web1 runs on node-1"));
  EXPECT_THAT(said.out, HasSubstr(" because a user asked for it"));
  for (const auto& [id, state] : history.fold().migrations()) {
    EXPECT_EQ(stage(state), MigrationStage::completed);
    EXPECT_TRUE(state.target_ready && state.replica_ready && state.paused && state.resumed &&
                blackout(state));
    EXPECT_EQ(ask(history, id.short_id().substr(0, 5)).code, exit_ok);
  }
}

TEST_F(SimulatedExplainTest, a_lost_source_is_named_and_so_is_who_took_over) {
  cluster_.migrate("node-0", "web1", "node-1");
  bool copying = false;
  for (int i = 0; i < 2000 && !copying; ++i) {
    cluster_.run_for(absl::Milliseconds(5));
    for (const Event& event : cluster_.history())
      copying = copying || event.type() == schema::Payload::MIGRATION_STARTED;
  }
  ASSERT_TRUE(copying);
  cluster_.machine("node-0")->power_off(true, cluster_.random());
  cluster_.run_for(absl::Seconds(30));
  const Said said = ask(History(cluster_.history()), "web1");
  EXPECT_THAT(said.out, HasSubstr("taken over from node-0"));
  EXPECT_THAT(said.out, HasSubstr("source lost"));
}

TEST(MarketExplainTest, every_migration_of_a_market_is_explained) {
  ClusterOptions options;
  options.nodes = 4;
  SimulatedCluster cluster(options);
  cluster.run_for(absl::Seconds(3));
  cluster.create_vm("node-0", "web1", schema::DiskLoss::SYNC);
  cluster.run_for(absl::Seconds(40));
  const std::vector<Event> events = cluster.history();
  const History history(events);
  EXPECT_FALSE(history.fold().migrations().empty());
  for (const auto& [id, state] : history.fold().migrations()) {
    const Said said = ask(history, id.to_string());
    EXPECT_EQ(said.code, exit_ok);
    EXPECT_LE(std::count(said.out.begin(), said.out.end(), '\n'), 21);
  }
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Random random(seed);
    ClusterFold again;
    for (const Event& event : shuffled(events, random)) again.apply(event);
    EXPECT_EQ(again.migrations(), history.fold().migrations()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace supercloud
