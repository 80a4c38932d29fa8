// What every lease table promises, over each implementation: sessions, swaps, restarts.
#include "core/lease_table.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/storage/every_lease_table.h"

namespace supercloud {
namespace {

INSTANTIATE_TEST_SUITE_P(Over, EveryLeaseTable, testing::ValuesIn(lease_harness_kinds()),
                         [](const auto& kind) { return kind.param.name; });

// ---- sessions ------------------------------------------------------------------------------------------------------

TEST_P(EveryLeaseTable, ends_a_session_when_its_ttl_has_passed_and_not_before) {
  const SessionId a = session("a");
  define(a);
  on().run_for(on().last_moment() / 2);
  ASSERT_TRUE(on().renew(a).ok());
  const Instant renewed = now();
  on().run_until(renewed + on().last_moment());
  EXPECT_TRUE(record().session_alive);
  EXPECT_TRUE(holder_ends(renewed + on().ttl()));
  EXPECT_TRUE(absl::IsNotFound(on().renew(a).status()));
}

TEST_P(EveryLeaseTable, renews_a_session_at_its_last_moment) {
  const SessionId a = session("a");
  on().run_for(on().last_moment());
  EXPECT_TRUE(on().renew(a).ok());
  on().run_for(on().last_moment());
  EXPECT_TRUE(on().renew(a).ok());
}

TEST_P(EveryLeaseTable, goes_on_with_the_session_of_a_node_that_opens_it_again) {
  const SessionId a = session("a");
  on().run_for(on().ttl() * 0.6);
  EXPECT_EQ(session("a"), a);
  on().run_for(on().ttl() * 0.6);  // it was also renewed by that
  EXPECT_TRUE(on().renew(a).ok());
}

TEST_P(EveryLeaseTable, tells_a_rebooted_host_of_its_old_session_to_end_that) {
  const SessionId old = session("a");
  define(old);
  const absl::StatusOr<Session> known = on().open("a");
  ASSERT_TRUE(known.ok()) << known.status();
  EXPECT_TRUE(known->went_on);
  ASSERT_TRUE(on().end(known->id).ok());
  const absl::StatusOr<Session> fresh = on().open("a");
  ASSERT_TRUE(fresh.ok()) << fresh.status();
  EXPECT_FALSE(fresh->went_on);
  EXPECT_NE(fresh->id, old);
  EXPECT_EQ(fresh->ttl, on().ttl());
  EXPECT_FALSE(record().session_alive) << "a newer session of the same node does not revive it";
  EXPECT_TRUE(absl::IsNotFound(on().renew(old).status()));
  EXPECT_TRUE(on().end(old).ok());
  EXPECT_TRUE(on().renew(fresh->id).ok()) << "the old one's end, once more, is not this one's";
}

TEST_P(EveryLeaseTable, refuses_a_second_node_of_one_name_while_the_first_lives) {
  const SessionId first = session("a");
  const absl::StatusOr<Session> refused = on().open("a", "disk-2");
  EXPECT_TRUE(absl::IsAlreadyExists(refused.status())) << refused.status();
  EXPECT_NE(refused.status().message().find("'a'"), std::string::npos);
  on().run_for(on().ttl());
  absl::StatusOr<Session> second = refused;
  on().soon([&] { return (second = on().open("a", "disk-2")).ok(); });
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_NE(second->id, first);
}

TEST_P(EveryLeaseTable, ends_a_session_on_request_and_again) {
  const SessionId a = session("a");
  EXPECT_TRUE(on().end(a).ok());
  EXPECT_TRUE(absl::IsNotFound(on().renew(a).status()));
  EXPECT_TRUE(on().end(a).ok()) << "a repeat after a lost reply";
}

TEST_P(EveryLeaseTable, never_uses_a_session_id_twice) {
  const SessionId first = session("a");
  ASSERT_TRUE(on().end(first).ok());
  on().restart();
  EXPECT_NE(session("a"), first);
}

TEST_P(EveryLeaseTable, grants_every_session_a_full_ttl_after_a_restart) {
  const SessionId a = session("a");
  define(a);
  on().run_for(on().last_moment() * 0.9);
  const Instant restarted = now();
  on().restart();
  on().run_until(restarted + on().last_moment());
  EXPECT_TRUE(record().session_alive);
  EXPECT_TRUE(holder_ends(restarted + on().ttl()));
}

TEST_P(EveryLeaseTable, does_not_revive_an_ended_session_by_a_restart) {
  const SessionId a = session("a");
  define(a);
  EXPECT_TRUE(holder_ends(now() + on().ttl())) << "somebody may have acted on this answer";
  on().restart();
  EXPECT_FALSE(record().session_alive);
  EXPECT_TRUE(absl::IsNotFound(on().renew(a).status()));
}

TEST_P(EveryLeaseTable, refuses_sessions_without_node_or_identity) {
  EXPECT_TRUE(absl::IsInvalidArgument(on().open("").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(on().open("a", "").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(on().open(std::string(300, 'a')).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(on().open("a\nb").status()));
}

// ---- swaps ---------------------------------------------------------------------------------------------------------

TEST_P(EveryLeaseTable, defines_a_record_once) {
  const SessionId a = session("a");
  const SessionId b = session("b");
  EXPECT_TRUE(absl::IsNotFound(on().read(key_).status()));
  define(a);
  const LeaseRecord defined = record();
  EXPECT_EQ(defined.key, key_);
  EXPECT_EQ(defined.holder, "a");
  EXPECT_EQ(defined.session, a);
  EXPECT_EQ(defined.epoch, 1U);
  EXPECT_EQ(defined.value, "wanted");
  EXPECT_EQ(defined.claim, "address of " + key_);
  EXPECT_EQ(defined.in_sync, (std::vector<std::string>{"a", "c"}));
  EXPECT_TRUE(defined.session_alive);
  EXPECT_FALSE(defined.heir.has_value());
  const SwapResult second = lost(make(SwapKind::DEFINE, b, 0));
  ASSERT_TRUE(second.record.has_value());
  EXPECT_EQ(*second.record, defined);
}

TEST_P(EveryLeaseTable, moves_a_vm_by_accept_and_commit) {
  const SessionId a = session("a");
  const SessionId b = session("b");
  define(a, "b");
  EXPECT_EQ(record().heir, (Heir{"b", first_migration}));
  EXPECT_TRUE(record().heir_alive);
  Swap commit = make(SwapKind::COMMIT, b, 1);
  commit.heir = Heir{"b", first_migration};
  const SwapResult result = won(commit);
  ASSERT_TRUE(result.record.has_value());
  EXPECT_EQ(result.record->holder, "b");
  EXPECT_EQ(result.record->session, b);
  EXPECT_EQ(result.record->epoch, 2U);
  EXPECT_EQ(result.record->swap_id, commit.swap_id);
  EXPECT_EQ(result.record->swap_kind, SwapKind::COMMIT);
  EXPECT_EQ(result.record->heir, (Heir{"b", first_migration})) << "until it said how that ended";
  EXPECT_EQ(record(), *result.record);
}

TEST_P(EveryLeaseTable, lets_exactly_one_of_commit_and_reclaim_win) {
  const SessionId a = session("a");
  const SessionId b = session("b");
  for (const bool target_first : {true, false}) {
    key_ = target_first ? "vm/main/web1" : "vm/main/web2";
    define(a, "b");
    Swap commit = make(SwapKind::COMMIT, b, 1);
    commit.heir = Heir{"b", first_migration};
    Swap reclaim = make(SwapKind::RECLAIM, a, 1);
    // Both under way at once.
    std::vector<SwapResult> results(2);
    int answers = 0;
    for (const std::size_t i : {target_first ? 0U : 1U, target_first ? 1U : 0U}) {
      on().table().swap(
          i == 0 ? commit : reclaim,
          Reply<SwapResult>(now() + absl::Seconds(30), [&, i](absl::StatusOr<SwapResult> result) {
            ASSERT_TRUE(result.ok()) << result.status();
            results[i] = *std::move(result);
            ++answers;
          }));
    }
    ASSERT_TRUE(on().drive([&] { return answers == 2; }));
    EXPECT_NE(results[0].won, results[1].won);
    EXPECT_EQ(record().epoch, 2U);
    EXPECT_EQ(record().holder, results[0].won ? "b" : "a");
    EXPECT_EQ(record().swap_id, results[0].won ? commit.swap_id : reclaim.swap_id);
  }
}

TEST_P(EveryLeaseTable, answers_the_repeat_of_a_won_swap_as_won) {
  const SessionId a = session("a");
  define(a);
  const Swap reclaim = make(SwapKind::RECLAIM, a, 1);
  won(reclaim);
  EXPECT_EQ(won(reclaim).record->epoch, 2U);
  EXPECT_EQ(record().epoch, 2U);

  on().restart();
  EXPECT_TRUE(done(reclaim).won) << "asked again of a restarted table";

  ASSERT_TRUE(on().end(a).ok());
  EXPECT_TRUE(done(reclaim).won) << "it was applied while its session lived";
  EXPECT_FALSE(record().session_alive);

  Swap stolen = reclaim;
  stolen.session = session("b");
  lost(stolen);
}

TEST_P(EveryLeaseTable, answers_the_repeat_of_a_change_within_an_epoch_as_won) {
  const SessionId a = session("a");
  define(a);
  Swap shrink = make(SwapKind::IN_SYNC, a, 1);
  shrink.revision = record().revision;
  shrink.in_sync = {"a"};
  const std::uint64_t revision = won(shrink).record->revision;
  EXPECT_GT(revision, shrink.revision);
  EXPECT_EQ(won(shrink).record->revision, revision);
  on().restart();
  EXPECT_EQ(won(shrink).record->revision, revision);
}

TEST_P(EveryLeaseTable, refuses_swaps_under_an_ended_session) {
  const SessionId a = session("a");
  define(a);
  ASSERT_TRUE(on().end(a).ok());
  const SwapResult result = lost(make(SwapKind::RECLAIM, a, 1));
  ASSERT_TRUE(result.record.has_value());
  EXPECT_EQ(result.record->epoch, 1U);
}

TEST_P(EveryLeaseTable, refuses_swaps_at_another_epoch) {
  const SessionId a = session("a");
  define(a);
  lost(make(SwapKind::RECLAIM, a, 0));
  lost(make(SwapKind::RECLAIM, a, 2));
  won(make(SwapKind::RECLAIM, a, 1));
  lost(make(SwapKind::RESTART, a, 1));
  EXPECT_EQ(won(make(SwapKind::RESTART, a, 2)).record->swap_kind, SwapKind::RESTART);
  EXPECT_EQ(record().epoch, 3U);
}

TEST_P(EveryLeaseTable, guards_in_sync_set_and_desire_and_removal_by_revision) {
  const SessionId a = session("a");
  define(a);
  const std::uint64_t read = record().revision;

  Swap desire = make(SwapKind::DESIRE, a, 1);
  desire.revision = read;
  desire.value = "wanted otherwise";
  desire.loss_allowed = true;
  won(desire);
  EXPECT_EQ(record().value, "wanted otherwise");
  EXPECT_TRUE(record().loss_allowed);

  Swap late = make(SwapKind::IN_SYNC, a, 1);
  late.revision = read;
  late.in_sync = {"a"};
  lost(late);
  EXPECT_EQ(record().in_sync.size(), 2U);
  Swap removal = make(SwapKind::REMOVE, a, 1);
  removal.revision = read;
  lost(removal);

  removal = make(SwapKind::REMOVE, a, 1);
  removal.revision = record().revision;
  EXPECT_FALSE(won(removal).record.has_value());
  EXPECT_TRUE(absl::IsNotFound(on().read(key_).status()));
  on().restart();
  EXPECT_TRUE(absl::IsNotFound(on().read(key_).status()));
}

TEST_P(EveryLeaseTable, goes_on_above_the_epochs_of_a_record_that_was_removed) {
  const SessionId a = session("a");
  define(a);
  won(make(SwapKind::RESTART, a, 1));
  Swap removal = make(SwapKind::REMOVE, a, 2);
  removal.revision = record().revision;
  won(removal);
  on().restart();
  define(session("a"));
  EXPECT_EQ(record().epoch, 3U) << "volumes and fabrics may still know epoch 2 under this name";
}

TEST_P(EveryLeaseTable, clears_an_heir_only_where_the_record_names_it) {
  const SessionId a = session("a");
  define(a, "b");
  Swap clear = make(SwapKind::CLEAR_HEIR, a, 1);
  clear.heir = Heir{"b", other_migration};
  lost(clear);
  clear = make(SwapKind::CLEAR_HEIR, a, 1);
  clear.heir = Heir{"b", first_migration};
  won(clear);
  EXPECT_EQ(record().heir, (Heir{"", first_migration})) << "until it was said how that ended";
  EXPECT_FALSE(record().heir_alive);
  clear = make(SwapKind::CLEAR_HEIR, a, 1);
  clear.heir = Heir{"", first_migration};
  won(clear);
  EXPECT_FALSE(record().heir.has_value());
  EXPECT_EQ(record().epoch, 1U);
}

TEST_P(EveryLeaseTable, lets_a_replica_take_over_only_when_the_holders_session_has_ended) {
  const SessionId a = session("a");
  const SessionId c = session("c");
  define(a);
  lost(make(SwapKind::TAKEOVER, c, 1));
  const Instant ends = now() + on().ttl();
  on().run_for(on().last_moment());
  ASSERT_TRUE(on().renew(c).ok());
  lost(make(SwapKind::TAKEOVER, c, 1));
  EXPECT_TRUE(holder_ends(ends));
  const SessionId b = session("b");
  lost(make(SwapKind::TAKEOVER, b, 1));  // not in sync, and no loss is allowed
  EXPECT_EQ(won(make(SwapKind::TAKEOVER, c, 1)).record->holder, "c");
  EXPECT_EQ(record().epoch, 2U);
}

TEST_P(EveryLeaseTable, protects_an_heir_whose_session_lives) {
  const SessionId a = session("a");
  const SessionId b = session("b");
  const SessionId c = session("c");
  define(a, "b");
  const Instant opened = now();
  on().run_for(on().last_moment());
  const Instant renewed = now();
  ASSERT_TRUE(on().renew(b).ok());
  ASSERT_TRUE(on().renew(c).ok());
  EXPECT_TRUE(holder_ends(opened + on().ttl()));
  EXPECT_TRUE(record().heir_alive);
  lost(make(SwapKind::TAKEOVER, c, 1));
  ASSERT_TRUE(on().renew(c).ok());
  EXPECT_TRUE(heir_ends(renewed + on().ttl()));
  EXPECT_EQ(won(make(SwapKind::TAKEOVER, c, 1)).record->holder, "c");
}

TEST_P(EveryLeaseTable, takes_only_well_formed_swaps) {
  const SessionId a = session("a");
  define(a);
  const auto refused = [&](Swap swap) { return absl::IsInvalidArgument(on().swap(swap).status()); };
  for (const char* key :
       {"", "vm", "vm/web1", "vm/main/", "vm//web1", "vm/main/web1/x", "role/", "x/y/z"}) {
    Swap swap = make(SwapKind::DEFINE, a, 0);
    swap.key = key;
    EXPECT_TRUE(refused(swap)) << key;
  }
  Swap swap = make(SwapKind::DESIRE, a, 1);
  swap.value = std::string((64 << 10) + 1, 'x');
  EXPECT_TRUE(refused(swap));
  swap = make(SwapKind::IN_SYNC, a, 1);
  swap.in_sync = std::vector<std::string>(65, "a");
  EXPECT_TRUE(refused(swap));
  swap = make(SwapKind::RECLAIM, a, 1);
  swap.swap_id = "";
  EXPECT_TRUE(refused(swap));
  swap = make(static_cast<SwapKind>(99), a, 1);
  EXPECT_TRUE(refused(swap));
  swap = make(SwapKind::DEFINE, a, 0);
  swap.key = "vm/main/web2";
  for (const std::string& claim : {std::string(256, 'x'), std::string("two\nlines")}) {
    swap.claim = claim;
    EXPECT_TRUE(refused(swap)) << claim;
  }
  swap.claim = std::string(255, 'x');
  won(swap);
  swap = make(SwapKind::DESIRE, a, 1);
  swap.claim = "only a define's";
  EXPECT_TRUE(refused(swap));
  EXPECT_EQ(record().revision, 1U);
}

TEST_P(EveryLeaseTable, keeps_values_of_the_greatest_size_and_any_bytes) {
  const SessionId a = session("a");
  Swap define = make(SwapKind::DEFINE, a, 0);
  define.key = key_ = "role/provider of account 1";
  for (int i = 0; i < 64 << 10; ++i) define.value.push_back(static_cast<char>(i * 7));
  won(define);
  on().restart();
  EXPECT_EQ(record().value, define.value);
}

// ---- reading -------------------------------------------------------------------------------------------------------

TEST_P(EveryLeaseTable, keeps_everything_over_a_restart) {
  const SessionId a = session("a");
  session("b");
  define(a, "b");
  const LeaseRecord before = record();
  on().restart();
  EXPECT_EQ(record(), before);
}

TEST_P(EveryLeaseTable, lists_by_key_and_by_node) {
  const SessionId a = session("a");
  const SessionId b = session("b");
  key_ = "vm/main/web2";
  define(b, "", {"b", "c"});
  key_ = "vm/main/web1";
  define(a, "d");
  key_ = "role/ledger";
  Swap role = make(SwapKind::DEFINE, b, 0);
  won(role);
  const auto keys = [&](LeaseQuery query) {
    std::vector<std::string> found;
    const auto records = on().list(std::move(query));
    EXPECT_TRUE(records.ok()) << records.status();
    if (records.ok()) {
      for (const LeaseRecord& listed : *records) found.push_back(listed.key);
    }
    return found;
  };
  using Keys = std::vector<std::string>;
  EXPECT_EQ(keys({}), (Keys{"role/ledger", "vm/main/web1", "vm/main/web2"}));
  EXPECT_EQ(keys({.prefix = "vm/"}), (Keys{"vm/main/web1", "vm/main/web2"}));
  EXPECT_EQ(keys({.prefix = "vm/other/"}), Keys{});
  EXPECT_EQ(keys({.node = "a"}), (Keys{"vm/main/web1"}));                  // holder
  EXPECT_EQ(keys({.node = "d"}), (Keys{"vm/main/web1"}));                  // heir
  EXPECT_EQ(keys({.node = "c"}), (Keys{"vm/main/web1", "vm/main/web2"}));  // in sync
  EXPECT_EQ(keys({.prefix = "role/", .node = "b"}), (Keys{"role/ledger"}));
  EXPECT_EQ(keys({.node = "nobody"}), Keys{});
}

TEST_P(EveryLeaseTable, lists_more_than_one_message_holds) {
  const SessionId a = session("a");
  std::vector<std::string> expected;
  for (int i = 10; i < 40; ++i) {
    Swap define = make(SwapKind::DEFINE, a, 0);
    define.key = "vm/main/web" + std::to_string(i);
    define.value = std::string(60 << 10, 'v');
    won(define);
    expected.push_back(define.key);
  }
  const auto records = on().list();
  ASSERT_TRUE(records.ok()) << records.status();
  ASSERT_EQ(records->size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ((*records)[i].key, expected[i]);
}

}  // namespace
}  // namespace supercloud
