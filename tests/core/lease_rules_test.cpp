// The rules of a swap, one by one, each with what it refuses (docs/choreography.md, "The record").
#include <functional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "core/lease_table.h"
#include "gtest/gtest.h"

namespace supercloud {
namespace {

const EventId migration{"alpha/policy", 1, 7};
const EventId other_migration{"alpha/policy", 1, 8};

// Held by alpha under session a1 at epoch 3, revision 10.
LeaseRecord held() {
  LeaseRecord record;
  record.key = "vm/main/web1";
  record.holder = "alpha";
  record.session = "a1";
  record.swap_id = "old";
  record.swap_kind = SwapKind::COMMIT;
  record.epoch = 3;
  record.in_sync = {"alpha", "beta"};
  record.value = "spec";
  record.claim = "address/10.0.0.5";
  record.revision = 10;
  record.session_alive = true;
  return record;
}

LeaseRecord with_heir(const std::string& node = "beta") {
  LeaseRecord record = held();
  record.heir = Heir{node, migration};
  record.heir_alive = true;
  return record;
}

Swap swap(SwapKind kind, std::function<void(Swap&)> change = nullptr) {
  Swap swap;
  swap.key = "vm/main/web1";
  swap.kind = kind;
  swap.session = "a1";
  swap.swap_id = "new";
  swap.epoch = 3;
  swap.revision = 10;
  if (kind == SwapKind::ACCEPT || kind == SwapKind::CLEAR_HEIR || kind == SwapKind::COMMIT) {
    swap.heir = Heir{"beta", migration};
  }
  if (kind == SwapKind::IN_SYNC) swap.in_sync = {"alpha", "gamma"};
  if (change) change(swap);
  return swap;
}

struct Case {
  std::string name;
  Swap swap;
  std::string node;
  LeaseRecord record;
  bool session_ended = false;
  bool heir_ended = false;
  std::string why;  // a part of the refusal; empty: won
  // from `record`; revision counted by the test
  std::function<void(LeaseRecord& expected)> becomes;
};
void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }

std::function<void(LeaseRecord&)> new_epoch(SwapKind kind, const std::string& node) {
  return [kind, node](LeaseRecord& record) {
    record.holder = node;
    record.session = "a1";
    record.swap_id = "new";
    record.swap_kind = kind;
    ++record.epoch;
    // The mark stays until it has been said how the migration ended, and names nobody but who committed.
    const bool committed = record.heir && record.heir->node == node &&
                           (kind == SwapKind::COMMIT || kind == SwapKind::RECLAIM);
    if (record.heir && !committed) record.heir->node.clear();
    record.heir_alive = committed;
    record.session_alive = true;
  };
}

std::function<void(LeaseRecord&)> both(std::function<void(LeaseRecord&)> one,
                                       std::function<void(LeaseRecord&)> two) {
  return [one = std::move(one), two = std::move(two)](LeaseRecord& record) {
    one(record);
    two(record);
  };
}

class LeaseRules : public testing::TestWithParam<Case> {};

TEST_P(LeaseRules, Hold) {
  const Case& test = GetParam();
  const SwapVerdict verdict =
      judge_swap(test.swap, test.node, &test.record, test.session_ended, test.heir_ended);
  if (!test.why.empty()) {
    EXPECT_FALSE(verdict.won);
    EXPECT_NE(verdict.why.find(test.why), std::string::npos) << verdict.why;
    ASSERT_TRUE(verdict.record.has_value());
    EXPECT_EQ(*verdict.record, test.record) << "a refusal changes nothing";
    return;
  }
  EXPECT_TRUE(verdict.won) << verdict.why;
  EXPECT_EQ(verdict.why, "");
  LeaseRecord expected = test.record;
  if (test.becomes) {
    test.becomes(expected);
    ++expected.revision;
  }
  ASSERT_TRUE(verdict.record.has_value());
  EXPECT_EQ(*verdict.record, expected);
}

const auto take_in_sync = [](std::vector<std::string> nodes) {
  return [nodes = std::move(nodes)](LeaseRecord& record) { record.in_sync = nodes; };
};
const auto no_mark = [](LeaseRecord& record) {
  record.heir.reset();
  record.heir_alive = false;
};
const auto no_heir = [](LeaseRecord& record) {
  record.heir->node.clear();
  record.heir_alive = false;
};
// Nobody may commit any more, and the end is still to be said.
LeaseRecord with_debt() {
  LeaseRecord record = with_heir("");
  record.heir_alive = false;
  return record;
}
const auto of_debt = [](Swap& swap) { swap.heir->node.clear(); };
LeaseRecord committed() {
  LeaseRecord record = with_heir("alpha");
  record.swap_kind = SwapKind::COMMIT;
  return record;
}

const std::vector<Case> cases = {
    {"accept", swap(SwapKind::ACCEPT), "alpha", held(), false, false, "",
     [](LeaseRecord& record) { record.heir = Heir{"beta", migration}; }},
    {"accept_again_is_idempotent", swap(SwapKind::ACCEPT), "alpha", with_heir(), false, false, "", nullptr},
    {"accept_by_another", swap(SwapKind::ACCEPT), "beta", held(), false, false, "alpha holds", nullptr},
    {"accept_at_an_old_epoch", swap(SwapKind::ACCEPT, [](Swap& s) { s.epoch = 2; }), "alpha", held(), false,
     false, "epoch 3, not 2", nullptr},
    {"accept_under_an_ended_session", swap(SwapKind::ACCEPT), "alpha", held(), true, false, "has ended", nullptr},
    {"accept_under_a_newer_session", swap(SwapKind::ACCEPT, [](Swap& s) { s.session = "a2"; }), "alpha",
     held(), false, false, "another session", nullptr},
    {"accept_a_second_migration", swap(SwapKind::ACCEPT, [](Swap& s) { s.heir->migration = other_migration; }),
     "alpha", with_heir(), false, false, "the heir is beta", nullptr},
    {"accept_nobody", swap(SwapKind::ACCEPT, [](Swap& s) { s.heir.reset(); }), "alpha", held(), false, false,
     "names an heir", nullptr},
    {"accept_itself", swap(SwapKind::ACCEPT, [](Swap& s) { s.heir->node = "alpha"; }), "alpha", held(), false,
     false, "its own heir", nullptr},

    {"clear_heir_by_holder", swap(SwapKind::CLEAR_HEIR), "alpha", with_heir(), false, false, "", no_heir},
    {"clear_heir_by_heir", swap(SwapKind::CLEAR_HEIR), "beta", with_heir(), false, false, "", no_heir},
    {"clear_heir_by_a_third", swap(SwapKind::CLEAR_HEIR), "gamma", with_heir(), false, false, "only the holder", nullptr},
    {"clear_heir_by_a_third_when_the_holder_is_lost", swap(SwapKind::CLEAR_HEIR), "gamma", with_heir(), true, false,
     "only the holder", nullptr},
    {"clear_heir_by_a_third_when_both_are_lost", swap(SwapKind::CLEAR_HEIR), "gamma", with_heir(), true, true, "", no_heir},
    {"clear_heir_takes_the_mark_where_nobody_may_commit", swap(SwapKind::CLEAR_HEIR, of_debt), "alpha", with_debt(),
     false, false, "", no_mark},
    {"clear_heir_takes_the_mark_of_a_lost_holder", swap(SwapKind::CLEAR_HEIR, of_debt), "gamma", with_debt(), true, true,
     "", no_mark},
    {"clear_heir_does_not_take_the_mark_of_a_living_holder", swap(SwapKind::CLEAR_HEIR, of_debt), "gamma", with_debt(),
     false, true, "only the holder", nullptr},
    {"clear_heir_does_not_take_a_mark_that_names_an_heir", swap(SwapKind::CLEAR_HEIR, of_debt), "alpha", with_heir(),
     false, false, "the heir is beta", nullptr},
    {"clear_heir_takes_the_mark_by_who_committed",
     swap(SwapKind::CLEAR_HEIR, [](Swap& s) { s.heir->node = "alpha"; }), "alpha", committed(), false, false, "",
     no_mark},
    {"clear_heir_leaves_the_mark_of_who_committed_and_was_lost",
     swap(SwapKind::CLEAR_HEIR, [](Swap& s) { s.heir->node = "alpha"; }), "gamma", committed(), true, true, "", no_heir},
    {"accept_before_an_end_was_said", swap(SwapKind::ACCEPT, [](Swap& s) { s.heir->migration = other_migration; }),
     "alpha", with_debt(), false, false, "nobody any more", nullptr},
    {"commit_where_nobody_may", swap(SwapKind::COMMIT), "beta", with_debt(), false, false, "nobody any more", nullptr},
    {"reclaim_by_who_committed_keeps_its_mark", swap(SwapKind::RECLAIM), "alpha", committed(), true, false, "",
     new_epoch(SwapKind::RECLAIM, "alpha")},
    {"restart_by_who_committed_does_not", swap(SwapKind::RESTART), "alpha", committed(), true, false, "",
     new_epoch(SwapKind::RESTART, "alpha")},
    {"remove_before_an_end_was_said", swap(SwapKind::REMOVE), "alpha", with_debt(), false, false, "still to be said",
     nullptr},
    {"clear_heir_of_another_migration",
     swap(SwapKind::CLEAR_HEIR, [](Swap& s) { s.heir->migration = other_migration; }), "alpha", with_heir(), false,
     false, "the heir is beta", nullptr},
    {"clear_heir_where_there_is_none", swap(SwapKind::CLEAR_HEIR), "alpha", held(), false, false, "nobody", nullptr},
    {"clear_heir_after_the_commit", swap(SwapKind::CLEAR_HEIR, [](Swap& s) { s.epoch = 2; }), "beta", held(), false,
     false, "epoch 3", nullptr},

    {"commit", swap(SwapKind::COMMIT), "beta", with_heir(), false, false, "", new_epoch(SwapKind::COMMIT, "beta")},
    {"commit_when_the_source_is_lost", swap(SwapKind::COMMIT), "beta", with_heir(), true, false, "",
     new_epoch(SwapKind::COMMIT, "beta")},
    {"commit_with_a_set", swap(SwapKind::COMMIT, [](Swap& s) { s.in_sync = {"beta"}; }), "beta", with_heir(), false,
     false, "", both(new_epoch(SwapKind::COMMIT, "beta"), take_in_sync({"beta"}))},
    {"commit_joins_the_set", swap(SwapKind::COMMIT, [](Swap& s) { s.heir->node = "gamma"; }), "gamma",
     with_heir("gamma"), false, false, "",
     both(new_epoch(SwapKind::COMMIT, "gamma"), take_in_sync({"alpha", "beta", "gamma"}))},
    {"commit_with_a_set_without_itself", swap(SwapKind::COMMIT, [](Swap& s) { s.in_sync = {"alpha"}; }), "beta",
     with_heir(), false, false, "must contain", nullptr},
    {"commit_without_an_accept", swap(SwapKind::COMMIT), "beta", held(), false, false, "nobody", nullptr},
    {"commit_for_another", swap(SwapKind::COMMIT), "gamma", with_heir(), false, false, "only the heir", nullptr},
    {"commit_of_another_migration", swap(SwapKind::COMMIT, [](Swap& s) { s.heir->migration = other_migration; }),
     "beta", with_heir(), false, false, "the heir is beta", nullptr},
    {"commit_after_a_reclaim", swap(SwapKind::COMMIT, [](Swap& s) { s.epoch = 2; }), "beta", with_heir(), false,
     false, "epoch 3, not 2", nullptr},

    {"reclaim", swap(SwapKind::RECLAIM), "alpha", with_heir(), false, false, "", new_epoch(SwapKind::RECLAIM, "alpha")},
    {"reclaim_under_a_new_session", swap(SwapKind::RECLAIM), "alpha", held(), true, false, "",
     new_epoch(SwapKind::RECLAIM, "alpha")},
    {"reclaim_after_the_commit", swap(SwapKind::RECLAIM, [](Swap& s) { s.epoch = 2; }), "alpha", held(), false, false,
     "epoch 3", nullptr},
    {"reclaim_of_anothers", swap(SwapKind::RECLAIM), "beta", held(), false, false, "alpha holds", nullptr},
    {"restart", swap(SwapKind::RESTART), "alpha", held(), true, false, "", new_epoch(SwapKind::RESTART, "alpha")},
    {"restart_of_anothers", swap(SwapKind::RESTART), "beta", held(), true, false, "alpha holds", nullptr},

    {"takeover", swap(SwapKind::TAKEOVER), "beta", held(), true, false, "",
     both(new_epoch(SwapKind::TAKEOVER, "beta"), take_in_sync({"beta"}))},
    {"takeover_with_a_set", swap(SwapKind::TAKEOVER, [](Swap& s) { s.in_sync = {"beta", "gamma"}; }), "beta", held(),
     true, false, "", both(new_epoch(SwapKind::TAKEOVER, "beta"), take_in_sync({"beta", "gamma"}))},
    {"takeover_by_the_heir", swap(SwapKind::TAKEOVER), "beta", with_heir(), true, false, "",
     both(new_epoch(SwapKind::TAKEOVER, "beta"), take_in_sync({"beta"}))},
    {"takeover_when_the_heir_is_lost_too", swap(SwapKind::TAKEOVER), "beta", with_heir("gamma"), true, true, "",
     both(new_epoch(SwapKind::TAKEOVER, "beta"), take_in_sync({"beta"}))},
    {"takeover_while_the_heir_lives", swap(SwapKind::TAKEOVER), "beta", with_heir("gamma"), true, false,
     "heir gamma lives", nullptr},
    {"takeover_while_the_holder_lives", swap(SwapKind::TAKEOVER), "beta", held(), false, false, "alpha lives", nullptr},
    {"takeover_by_the_holder", swap(SwapKind::TAKEOVER), "alpha", held(), true, false, "is the holder", nullptr},
    {"takeover_without_a_replica", swap(SwapKind::TAKEOVER), "gamma", held(), true, false, "not in sync", nullptr},
    {"takeover_without_a_replica_where_loss_is_allowed", swap(SwapKind::TAKEOVER), "gamma",
     [] {
       LeaseRecord record = held();
       record.loss_allowed = true;
       return record;
     }(),
     true, false, "", both(new_epoch(SwapKind::TAKEOVER, "gamma"), take_in_sync({"gamma"}))},
    {"takeover_with_a_set_without_itself", swap(SwapKind::TAKEOVER, [](Swap& s) { s.in_sync = {"gamma"}; }), "beta",
     held(), true, false, "must contain", nullptr},
    {"takeover_of_an_older_epoch", swap(SwapKind::TAKEOVER, [](Swap& s) { s.epoch = 2; }), "beta", held(), true,
     false, "epoch 3", nullptr},

    {"in_sync", swap(SwapKind::IN_SYNC), "alpha", held(), false, false, "", take_in_sync({"alpha", "gamma"})},
    {"in_sync_by_another", swap(SwapKind::IN_SYNC), "beta", held(), false, false, "alpha holds", nullptr},
    {"in_sync_of_an_older_revision", swap(SwapKind::IN_SYNC, [](Swap& s) { s.revision = 9; }), "alpha", held(), false,
     false, "revision 10, not 9", nullptr},
    {"in_sync_without_the_holder", swap(SwapKind::IN_SYNC, [](Swap& s) { s.in_sync = {"beta"}; }), "alpha", held(),
     false, false, "must contain", nullptr},

    {"desire", swap(SwapKind::DESIRE, [](Swap& s) { s.value = "other"; s.loss_allowed = true; }), "alpha", held(),
     false, false, "", [](LeaseRecord& r) { r.value = "other"; r.loss_allowed = true; }},
    {"desire_when_the_holder_is_lost", swap(SwapKind::DESIRE, [](Swap& s) { s.value = "other"; }), "beta", held(),
     true, false, "", [](LeaseRecord& r) { r.value = "other"; }},
    {"desire_by_another", swap(SwapKind::DESIRE), "beta", held(), false, false, "alpha holds", nullptr},
    {"desire_of_an_older_revision", swap(SwapKind::DESIRE, [](Swap& s) { s.revision = 9; }), "alpha", held(), false,
     false, "revision 10", nullptr},
    {"remove_by_another", swap(SwapKind::REMOVE), "beta", held(), false, false, "alpha holds", nullptr},
    {"remove_of_an_older_revision", swap(SwapKind::REMOVE, [](Swap& s) { s.revision = 9; }), "alpha", held(), false,
     false, "revision 10", nullptr},

    {"define_where_there_is_one", swap(SwapKind::DEFINE, [](Swap& s) { s.epoch = 0; }), "alpha", held(), false, false,
     "exists already", nullptr},
    {"a_repeat_of_the_winning_swap", swap(SwapKind::COMMIT, [](Swap& s) { s.swap_id = "old"; s.epoch = 2; }), "alpha",
     held(), false, false, "", nullptr},
    {"another_swap_under_the_winning_id", swap(SwapKind::TAKEOVER, [](Swap& s) { s.swap_id = "old"; s.epoch = 2; }),
     "beta", held(), true, false, "for another swap", nullptr},
    {"a_swap_without_an_id", swap(SwapKind::RECLAIM, [](Swap& s) { s.swap_id = ""; }), "alpha", held(), false, false,
     "needs an id", nullptr},
};

INSTANTIATE_TEST_SUITE_P(Each, LeaseRules, testing::ValuesIn(cases),
                         [](const testing::TestParamInfo<Case>& test) { return test.param.name; });

TEST(LeaseRulesWithoutARecord, ADefineMakesEpochOne) {
  const Swap define = swap(SwapKind::DEFINE, [](Swap& s) {
    s.epoch = 0;
    s.value = "spec";
    s.claim = "address/10.0.0.5";
    s.in_sync = {"alpha", "beta"};
  });
  const SwapVerdict verdict = judge_swap(define, "alpha", nullptr, false, false);
  ASSERT_TRUE(verdict.won) << verdict.why;
  LeaseRecord expected = held();
  expected.epoch = 1;
  expected.revision = 1;
  expected.swap_id = "new";
  expected.swap_kind = SwapKind::DEFINE;
  EXPECT_EQ(*verdict.record, expected);
  EXPECT_TRUE(judge_swap(define, "alpha", &*verdict.record, false, false).won) << "a repeat";
}

TEST(LeaseRulesWithoutARecord, EverythingElseIsRefused) {
  for (const SwapKind kind : {SwapKind::ACCEPT, SwapKind::CLEAR_HEIR, SwapKind::COMMIT,
                              SwapKind::RECLAIM, SwapKind::RESTART, SwapKind::TAKEOVER,
                              SwapKind::IN_SYNC, SwapKind::DESIRE, SwapKind::REMOVE}) {
    const SwapVerdict verdict = judge_swap(swap(kind), "alpha", nullptr, true, true);
    EXPECT_FALSE(verdict.won);
    EXPECT_NE(verdict.why.find("no record"), std::string::npos);
    EXPECT_FALSE(verdict.record.has_value());
  }
}

TEST(LeaseRulesOfRemoval, TheHolderRemovesTheRecord) {
  const LeaseRecord record = held();
  const SwapVerdict verdict = judge_swap(swap(SwapKind::REMOVE), "alpha", &record, false, false);
  EXPECT_TRUE(verdict.won) << verdict.why;
  EXPECT_FALSE(verdict.record.has_value());
}

TEST(LeaseRulesOfRemoval, AnyNodeRemovesItOnceTheHolderIsLost) {
  const LeaseRecord record = held();
  const SwapVerdict verdict = judge_swap(swap(SwapKind::REMOVE), "beta", &record, true, false);
  EXPECT_TRUE(verdict.won) << verdict.why;
  EXPECT_FALSE(verdict.record.has_value());
}

}  // namespace
}  // namespace supercloud
