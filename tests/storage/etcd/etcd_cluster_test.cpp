// Three members of one etcd cluster, some of which are dead or frozen.
#include "absl/strings/match.h"
#include "storage/etcd/session_id.h"
#include "tests/storage/etcd/etcd_world.h"

namespace supercloud {
namespace {

class EtcdCluster : public EtcdWorld {
 protected:
  void SetUp() override {
    EtcdWorld::SetUp();
    if (IsSkipped()) return;
    members = EtcdServer::cluster(3);
    for (const auto& member : members) ASSERT_TRUE(member->launch().ok());
    for (const auto& member : members) {
      const absl::Status serves = member->wait_until_it_serves();
      ASSERT_TRUE(serves.ok()) << serves;
    }
  }
  // Of one member that answers: who leads.
  std::size_t leader(std::size_t asked) {
    const std::string status = members[asked]->post("/v3/maintenance/status", "{}");
    const std::string all = members[asked]->post("/v3/cluster/member/list", "{}");
    const std::size_t at = status.find("\"leader\":\"");
    if (at == std::string::npos) return members.size();
    const std::string id = status.substr(at + 10, status.find('"', at + 10) - at - 10);
    const std::size_t member = all.find("\"ID\":\"" + id);
    if (member == std::string::npos) return members.size();
    const std::size_t name = all.find("\"name\":\"member", member);
    return static_cast<std::size_t>(all[name + 14] - '0');
  }
  std::vector<std::string> endpoints() const {
    std::vector<std::string> all;
    for (const auto& member : members) all.push_back(member->endpoint());
    return all;
  }

  std::vector<std::unique_ptr<EtcdServer>> members;
};

TEST_F(EtcdCluster, goes_on_through_other_members_when_any_is_killed) {
  const auto nodes = table(endpoints());
  const SessionId session = open(*nodes, "a")->id;
  ASSERT_TRUE(swap(*nodes, make(SwapKind::DEFINE, session, 0))->won);
  Epoch epoch = 1;
  for (const auto& member : members) {
    member->kill();
    EXPECT_TRUE(eventually([&] { return renew(*nodes, session, absl::Seconds(2)).ok(); }));
    EXPECT_TRUE(swap_until_known(*nodes, make(SwapKind::RESTART, session, epoch)).won);
    EXPECT_EQ(read(*nodes)->epoch, ++epoch);
    ASSERT_TRUE(member->start().ok());
  }
}

// As far as it knows it leads still, and what its successor has ended lives.
TEST_F(EtcdCluster, a_leader_that_was_frozen_renews_no_session_that_others_have_ended) {
  const std::size_t frozen = leader(0);
  ASSERT_LT(frozen, members.size());
  const auto a = table({members[frozen]->endpoint()});
  const auto c =
      table({members[(frozen + 1) % 3]->endpoint(), members[(frozen + 2) % 3]->endpoint()});
  const SessionId session = open(*a, "a")->id;
  ASSERT_TRUE(swap(*a, make(SwapKind::DEFINE, session, 0))->won);
  ASSERT_TRUE(renew(*a, session).ok());

  members[frozen]->freeze(true);
  std::optional<absl::Status> renewed;
  a->renew(session, Reply<Done>(in(patience), [&](const absl::StatusOr<Done>& answer) {
             renewed = answer.status();
           }));
  EXPECT_TRUE(eventually([&] {
    const absl::StatusOr<LeaseRecord> record = read(*c);
    return record.ok() && !record->session_alive;
  }));
  EXPECT_FALSE(renewed.has_value());
  members[frozen]->freeze(false);
  ASSERT_TRUE(until([&] { return renewed.has_value(); }));
  EXPECT_TRUE(absl::IsNotFound(*renewed)) << *renewed;
}

}  // namespace
}  // namespace supercloud
