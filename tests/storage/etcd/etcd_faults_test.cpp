// A real etcd is killed, cut off and slowed while nodes use it.
#include <random>

#include "tests/process/torture/links.h"
#include "tests/storage/etcd/etcd_world.h"

namespace supercloud {
namespace {

class EtcdFaults : public EtcdWorld {
 protected:
  void SetUp() override {
    EtcdWorld::SetUp();
    if (IsSkipped()) return;
    server = std::make_unique<EtcdServer>();
    ASSERT_TRUE(server->start().ok());
    const EtcdServer other;  // a free port
    relayed = other.endpoint();
    links.add(tcp(relayed), tcp(server->endpoint()));
    links.start();
  }
  static std::string tcp(const std::string& endpoint) { return "tcp" + endpoint.substr(4); }

  // A record that `node` holds, at epoch 1.
  SessionId define(LeaseTable& table, const std::string& node) {
    const absl::StatusOr<Session> session = open(table, node);
    EXPECT_TRUE(session.ok()) << session.status();
    if (!session.ok()) return "";
    EXPECT_TRUE(swap(table, make(SwapKind::DEFINE, session->id, 0))->won);
    return session->id;
  }
  // One new epoch after the other, while `trouble` happens at random moments, until that was `enough`; each is won once.
  void win_epochs(LeaseTable& table, Duration pause_max, absl::FunctionRef<void()> trouble,
                  absl::FunctionRef<bool()> enough) {
    SessionId session = define(table, "a");
    std::mt19937 random(7);
    const Instant end = in(patience);
    Epoch epoch = 1;
    for (; !enough(); ++epoch) {
      ASSERT_LT(loop.clock().now(), end) << "after " << epoch << " epochs";
      const TimerId timer =
          loop.at(in(absl::Microseconds(random() % absl::ToInt64Microseconds(pause_max))),
                  [&] { trouble(); });
      Swap restart = make(SwapKind::RESTART, session, epoch);
      SwapResult result = swap_until_known(table, restart);
      if (!result.won) {  // its session ended meanwhile
        EXPECT_NE(result.why.find("has ended"), std::string::npos) << result.why;
        absl::StatusOr<Session> fresh = absl::UnavailableError("not asked");
        ASSERT_TRUE(eventually([&] { return (fresh = open(table, "a", absl::Seconds(2))).ok(); }));
        session = fresh->id;
        restart = make(SwapKind::RESTART, session, epoch);
        result = swap_until_known(table, restart);
      }
      ASSERT_TRUE(result.won) << result.why;
      EXPECT_EQ(result.record->epoch, epoch + 1);
      EXPECT_EQ(result.record->swap_id, restart.swap_id);
      loop.cancel(timer);
    }
    EXPECT_EQ(read(table)->epoch, epoch);
  }

  std::unique_ptr<EtcdServer> server;
  torture::Links links;
  std::string relayed;  // what is asked there passes a relay
};

TEST_F(EtcdFaults, killed_at_any_moment_it_does_each_swap_once) {
  const auto nodes = table({server->endpoint()});
  int kills = 0;
  win_epochs(
      *nodes, absl::Milliseconds(8),
      [&] {
        server->kill();
        EXPECT_TRUE(server->launch().ok());
        ++kills;
      },
      [&] { return kills >= 20 && unknown_outcomes >= 5; });
}

// libcurl sends again, by itself, what it sent over a connection that breaks before an answer: etcd gets some swaps twice.
TEST_F(EtcdFaults, cut_off_at_any_moment_it_does_each_swap_once) {
  const auto nodes = table({relayed});
  win_epochs(
      *nodes, absl::Milliseconds(4), [&] { links.cut(0, 1.0, 1); },
      [&] { return links.broken() >= 100; });
}

TEST_F(EtcdFaults, who_is_cut_off_for_longer_than_the_ttl_has_lost_its_session) {
  const auto a = table({relayed});
  const auto c = table({server->endpoint()});
  const SessionId cut = define(*a, "a");
  const SessionId other = open(*c, "c")->id;
  Swap in_sync = make(SwapKind::IN_SYNC, cut, 1);
  in_sync.revision = read(*a)->revision;
  in_sync.in_sync = {"a", "c"};
  ASSERT_TRUE(swap(*a, in_sync)->won);

  links.stall(0, true);
  const absl::Status lost = renew(*a, cut, absl::Seconds(2));
  EXPECT_TRUE(absl::IsDeadlineExceeded(lost) || absl::IsUnavailable(lost)) << lost;
  EXPECT_NE(lost.message().find(relayed), std::string::npos) << lost;
  EXPECT_NE(lost.message().find("can it be reached"), std::string::npos) << lost;
  // What it asks for while it is cut off may arrive when it is no longer its own.
  std::optional<absl::StatusOr<SwapResult>> late;
  a->swap(make(SwapKind::RECLAIM, cut, 1),
          Reply<SwapResult>(in(patience),
                            [&](absl::StatusOr<SwapResult> result) { late = std::move(result); }));
  EXPECT_TRUE(eventually([&] {
    EXPECT_TRUE(renew(*c, other).ok());
    return !read(*c)->session_alive;
  }));
  EXPECT_TRUE(swap(*c, make(SwapKind::TAKEOVER, other, 1))->won);

  links.stall(0, false);
  ASSERT_TRUE(until([&] { return late.has_value(); }));
  EXPECT_TRUE(!late->ok() || !(*late)->won) << "it would run a second time";
  EXPECT_TRUE(absl::IsNotFound(renew(*a, cut)));
  const SwapResult vain = swap_until_known(*a, make(SwapKind::RECLAIM, cut, 1));
  EXPECT_FALSE(vain.won);
  EXPECT_EQ(vain.record->holder, "c");
  EXPECT_EQ(read(*a)->epoch, 2U);
}

TEST_F(EtcdFaults, slow_it_answers_late_and_right) {
  const auto nodes = table({relayed});
  bool stalled = false;
  int stalls = 0;
  win_epochs(
      *nodes, absl::Milliseconds(4),
      [&] {
        links.stall(0, stalled = true);
        ++stalls;
        loop.at(in(absl::Milliseconds(120)), [&] { links.stall(0, stalled = false); });
      },
      [&] { return stalls >= 10 && !stalled; });
  EXPECT_EQ(unknown_outcomes, 0) << "a second is waited for each answer";
}

TEST_F(EtcdFaults, frozen_it_is_waited_for_until_the_deadline_and_no_longer) {
  const auto nodes = table({server->endpoint()});
  const SessionId session = define(*nodes, "a");
  server->freeze(true);
  const Instant asked = loop.clock().now();
  EXPECT_FALSE(read(*nodes, absl::Milliseconds(1500)).ok());
  EXPECT_LT(loop.clock().now() - asked, absl::Seconds(20));
  EXPECT_FALSE(renew(*nodes, session, absl::Milliseconds(100)).ok());
  const absl::StatusOr<SwapResult> unknown =
      swap(*nodes, make(SwapKind::RESTART, session, 1), absl::Milliseconds(100));
  EXPECT_TRUE(absl::IsUnavailable(unknown.status())) << unknown.status();
  EXPECT_NE(unknown.status().message().find("not known"), std::string::npos);
  server->freeze(false);
  EXPECT_TRUE(read(*nodes).ok());
}

TEST_F(EtcdFaults, of_two_nodes_that_want_the_same_at_once_one_gets_it) {
  const std::unique_ptr<LeaseTable> tables[] = {table({server->endpoint()}), table({relayed})};
  const std::string nodes[] = {"a", "b"};
  const SessionId sessions[] = {define(*tables[0], "a"), open(*tables[1], "b")->id};
  Epoch epoch = 1;
  std::size_t holder = 0;
  std::size_t commits = 0;
  constexpr std::size_t rounds = 100;
  for (std::size_t round = 0; round < rounds; ++round) {
    const std::size_t heir = 1 - holder;
    for (const std::size_t node : {holder, heir})
      ASSERT_TRUE(renew(*tables[node], sessions[node]).ok());
    const Heir mark{nodes[heir], EventId{"policy", 1, round + 1}};
    Swap accept = make(SwapKind::ACCEPT, sessions[holder], epoch);
    accept.heir = mark;
    ASSERT_TRUE(swap(*tables[holder], accept)->won);
    ASSERT_TRUE(read(*tables[heir]).ok());

    Swap commit = make(SwapKind::COMMIT, sessions[heir], epoch);
    commit.heir = mark;
    const Swap reclaim = make(SwapKind::RECLAIM, sessions[holder], epoch);
    std::optional<absl::StatusOr<SwapResult>> committed, reclaimed;
    const auto send = [&](std::size_t node, const Swap& what, auto& result) {
      tables[node]->swap(what, Reply<SwapResult>(in(patience), [&](absl::StatusOr<SwapResult> is) {
                           result = std::move(is);
                         }));
    };
    if (round % 2 == 0) send(heir, commit, committed);
    send(holder, reclaim, reclaimed);
    if (round % 2 != 0) send(heir, commit, committed);
    ASSERT_TRUE(until([&] { return committed && reclaimed; }));
    ASSERT_TRUE(committed->ok() && reclaimed->ok());
    ASSERT_NE((*committed)->won, (*reclaimed)->won) << "round " << round;
    commits += (*committed)->won ? 1 : 0;
    ++epoch;
    if ((*committed)->won) holder = heir;
    const LeaseRecord after = *read(*tables[0]);
    EXPECT_EQ(after.holder, nodes[holder]);
    EXPECT_EQ(after.epoch, epoch);
    Swap clear = make(SwapKind::CLEAR_HEIR, sessions[holder], epoch);
    clear.heir = after.heir;
    ASSERT_TRUE(swap(*tables[holder], clear)->won);
  }
  EXPECT_GT(commits, 0U);
  EXPECT_LT(commits, rounds);
}

TEST_F(EtcdFaults, a_session_that_is_shorter_than_is_wanted_ends_and_a_longer_one_follows) {
  const SessionId shorter = define(*table({server->endpoint()}), "a");
  const auto longer = table({server->endpoint()}, absl::Seconds(6));
  const absl::Status refused = open(*longer, "a").status();
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_NE(refused.message().find("the session of 3s has to end first"), std::string::npos);
  absl::StatusOr<Session> session = refused;
  // Being asked for again and again does not renew it.
  ASSERT_TRUE(eventually([&] { return (session = open(*longer, "a")).ok(); })) << session.status();
  EXPECT_NE(session->id, shorter);
  EXPECT_FALSE(session->went_on);
  EXPECT_EQ(session->ttl, absl::Seconds(6));
  const auto again = table({server->endpoint()});
  const absl::StatusOr<Session> longer_than_wanted = open(*again, "a");
  ASSERT_TRUE(longer_than_wanted.ok()) << longer_than_wanted.status();
  EXPECT_TRUE(longer_than_wanted->went_on);
}

// Judged by what the table saw last, which is not what is there.
TEST_F(EtcdFaults, what_a_table_remembers_of_a_record_decides_nothing) {
  const auto a = table({server->endpoint()});
  const auto b = table({server->endpoint()});
  const SessionId session = define(*a, "a");
  ASSERT_TRUE(read(*b).ok());
  ASSERT_TRUE(read(*a).ok());
  // Another process of the node, as after a restart of its daemon.
  for (Epoch epoch = 1; epoch <= 5; ++epoch) {
    EXPECT_TRUE(swap(*(epoch % 2 == 0 ? a : b), make(SwapKind::RESTART, session, epoch))->won);
    const absl::StatusOr<SwapResult> late =
        swap(*(epoch % 2 == 0 ? b : a), make(SwapKind::RESTART, session, epoch));
    ASSERT_TRUE(late.ok());
    EXPECT_FALSE(late->won);
    EXPECT_EQ(late->record->epoch, epoch + 1);
  }
}

}  // namespace
}  // namespace supercloud
