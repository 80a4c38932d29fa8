// Which table an etcd has: a node believes none but that which it has seen.
#include "tests/storage/etcd/etcd_world.h"

namespace supercloud {
namespace {

class EtcdTables : public EtcdWorld {
 protected:
  void SetUp() override {
    EtcdWorld::SetUp();
    if (IsSkipped()) return;
    for (const auto& server : {&own, &other}) {
      *server = std::make_unique<EtcdServer>();
      const absl::Status started = (*server)->start();
      ASSERT_TRUE(started.ok()) << started;
    }
    const auto nodes = table({own->endpoint()}, absl::Seconds(3),
                             {.on_learned = [&](const std::string& table) { identity = table; }});
    const absl::StatusOr<Session> opened = open(*nodes, "a");
    ASSERT_TRUE(opened.ok()) << opened.status();
    session = opened->id;
    ASSERT_TRUE(swap(*nodes, make(SwapKind::DEFINE, session, 0))->won);
    ASSERT_TRUE(is_table_identity(identity)) << identity;
  }
  // As a node that was started again makes it.
  std::unique_ptr<LeaseTable> again(std::vector<std::string> endpoints) {
    return table(std::move(endpoints), absl::Seconds(3), {.known = identity});
  }
  absl::StatusOr<std::vector<LeaseRecord>> list(LeaseTable& table, Duration deadline) {
    return wait<std::vector<LeaseRecord>>(
        [&](Reply<std::vector<LeaseRecord>> reply) { table.list({}, std::move(reply)); }, deadline);
  }
  absl::Status end(LeaseTable& table, const SessionId& id, Duration deadline) {
    return wait<Done>([&](Reply<Done> reply) { table.end_session(id, std::move(reply)); }, deadline)
        .status();
  }
  // What `endpoints` say where none has the table.
  void expect_refusal(const std::vector<std::string>& endpoints) {
    constexpr Duration once = absl::Milliseconds(500);
    const auto nodes = again(endpoints);
    for (const absl::Status& told :
         {read(*nodes, once).status(), list(*nodes, once).status(),
          open(*nodes, "a", once).status(), renew(*nodes, session, once),
          end(*nodes, session, once),
          swap(*nodes, make(SwapKind::DEFINE, session, 0), once).status()}) {
      EXPECT_TRUE(absl::IsFailedPrecondition(told)) << told;
      EXPECT_NE(told.message().find(endpoints.front()), std::string::npos) << told;
      EXPECT_NE(told.message().find("[lease.etcd]"), std::string::npos) << told;
      EXPECT_NE(told.message().find("lease_table"), std::string::npos) << told;
    }
  }

  std::unique_ptr<EtcdServer> own, other;
  std::string identity;
  SessionId session;
};

TEST_F(EtcdTables, an_etcd_that_has_none_or_another_says_nothing_of_records_and_sessions) {
  expect_refusal({other->endpoint()});
  const auto strangers = table({other->endpoint()});
  ASSERT_TRUE(open(*strangers, "a").ok());
  expect_refusal({other->endpoint()});
}

TEST_F(EtcdTables, another_prefix_is_another_table) {
  EtcdConfig config;
  config.endpoints = {own->endpoint()};
  config.prefix = "/elsewhere/";
  const auto nodes =
      make_etcd_lease_table(loop, std::move(config), absl::Seconds(3), {.known = identity});
  const absl::Status told = read(*nodes, absl::Milliseconds(500)).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(told)) << told;
  EXPECT_NE(told.message().find("/elsewhere/table"), std::string::npos) << told;
}

TEST_F(EtcdTables, among_endpoints_an_etcd_without_the_table_is_passed_over) {
  const std::vector<std::string> both = {other->endpoint(), own->endpoint()};
  // Each asks the stranger first.
  EXPECT_EQ(read(*again(both))->holder, "a");
  EXPECT_EQ(list(*again(both), patience)->size(), 1U);
  EXPECT_TRUE(renew(*again(both), session).ok());
  EXPECT_TRUE(open(*again(both), "a")->went_on);
  EXPECT_TRUE(swap(*again(both), make(SwapKind::RESTART, session, 1))->won);
  const absl::StatusOr<Session> fresh = open(*again(both), "b");
  ASSERT_TRUE(fresh.ok()) << fresh.status();
  EXPECT_FALSE(fresh->went_on);
  EXPECT_TRUE(end(*again(both), session, patience).ok());
  EXPECT_FALSE(read(*again(both))->session_alive);
  EXPECT_TRUE(absl::IsNotFound(renew(*again(both), session)));
}

TEST_F(EtcdTables, whoever_opens_one_first_makes_it_for_all_and_it_stays) {
  own->kill();
  ASSERT_TRUE(own->start().ok());
  EXPECT_EQ(read(*again({own->endpoint()}))->holder, "a");
  std::vector<std::string> learned;
  std::vector<std::unique_ptr<LeaseTable>> nodes;
  int answered = 0;
  for (int i = 0; i < 8; ++i)
    nodes.push_back(
        table({other->endpoint()}, absl::Seconds(3),
              {.on_learned = [&](const std::string& table) { learned.push_back(table); }}));
  // Twice each, at once.
  for (const auto& node : nodes)
    for (int i = 0; i < 2; ++i)
      node->read(key, Reply<LeaseRecord>(in(patience), [&](const absl::StatusOr<LeaseRecord>& is) {
                   EXPECT_TRUE(absl::IsNotFound(is.status())) << is.status();
                   ++answered;
                 }));
  ASSERT_TRUE(until([&] { return answered == 16; }));
  EXPECT_EQ(learned, std::vector<std::string>(8, learned.front()));
  EXPECT_NE(learned.front(), identity);
}

TEST_F(EtcdTables, an_etcd_that_was_restored_from_a_backup_renews_nothing_and_is_not_believed) {
  own->kill();
  own->keep_data();
  ASSERT_TRUE(own->start().ok());
  const auto nodes = again({own->endpoint()});
  for (Epoch epoch = 1; epoch <= 3; ++epoch)
    ASSERT_TRUE(swap(*nodes, make(SwapKind::RESTART, session, epoch))->won);
  own->kill();
  own->restore_data();
  ASSERT_TRUE(own->start().ok());
  for (const absl::Status& told :
       {renew(*nodes, session, absl::Seconds(2)), read(*nodes, absl::Seconds(2)).status(),
        open(*nodes, "b", absl::Seconds(2)).status()}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(told)) << told;
    EXPECT_NE(told.message().find("etcd has gone back"), std::string::npos) << told;
    EXPECT_NE(told.message().find(own->endpoint()), std::string::npos) << told;
  }
}

}  // namespace
}  // namespace supercloud
