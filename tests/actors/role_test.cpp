#include "actors/role.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/actors/market_world.h"

namespace supercloud {
namespace {

class RoleTest : public MarketWorld {
 protected:
  struct Holding final : Actor {
    Holding(Context& context, LeaseTable& leases, const SessionView& session,
            std::vector<std::string>& story)
        : role(context, leases, session, "feed",
               {[&story, &context](Epoch epoch) {
                  story.push_back(context.node() + " gained " + std::to_string(epoch));
                },
                [&story, &context](const std::string&) {
                  story.push_back(context.node() + " lost");
                }}) {
      role.start();
    }
    void receive(const Event&) override {}
    RoleHolder role;
  };
  Holding*& hold(const std::string& name) { return hold(name, start(name)); }
  Holding*& hold(const std::string& name, TestNode& node) {
    Holding*& slot = holders[name];
    node.node->spawn("holder", [this, &node, &slot](Context& context) {
      auto made = std::make_unique<Holding>(context, leases, node.session, story);
      slot = made.get();
      return made;
    });
    return slot;
  }
  std::map<std::string, Holding*> holders;
  std::vector<std::string> story;
};

TEST_F(RoleTest, IsGainedByOneNodeAndTakenOverByAnotherAfterItsSession) {
  hold("a");
  run(absl::Seconds(3));
  hold("b");
  run(absl::Seconds(5));
  EXPECT_EQ(story, (std::vector<std::string>{"a gained 1"}));
  EXPECT_TRUE(holders["a"]->role.held());
  EXPECT_FALSE(holders["b"]->role.held());
  EXPECT_EQ(holders["b"]->role.holder(), "a");

  end_session("a");
  EXPECT_FALSE(holders["a"]->role.held()) << "the node's own clock says so, at once";
  run(absl::Seconds(30));
  EXPECT_EQ(story, (std::vector<std::string>{"a gained 1", "a lost", "b gained 2"}));
  EXPECT_TRUE(holders["b"]->role.held());
}

TEST_F(RoleTest, IsGainedAgainAtAHigherEpochUnderANewSession) {
  hold("a");
  run(absl::Seconds(3));
  end_session("a");
  run(absl::Seconds(30));
  open_session("a");
  run(absl::Seconds(5));
  EXPECT_EQ(story, (std::vector<std::string>{"a gained 1", "a lost", "a gained 2"}));
}

TEST_F(RoleTest, IsGainedSoonAfterTheFirstSessionIsOpen) {
  TestNode& node = start("a");
  const std::optional<SessionId> session = std::exchange(node.session.id, std::nullopt);
  hold("a", node);
  run(absl::Milliseconds(100));
  EXPECT_TRUE(story.empty());
  node.session.id = session;
  run(absl::Milliseconds(200));
  EXPECT_EQ(story, (std::vector<std::string>{"a gained 1"}));
}

TEST_F(RoleTest, IsKeptWhenOnlyTheActorFails) {
  hold("a");
  run(absl::Seconds(3));
  nodes.at("a")->node->fail_actor("holder", absl::InternalError("a test"));
  run(absl::Seconds(5));
  EXPECT_EQ(story, (std::vector<std::string>{"a gained 1", "a gained 1"}));
}

TEST_F(RoleTest, IsFoundOutWhenTheReplyToItsSwapWasLost) {
  start("a");
  run(absl::Seconds(1));
  leases.lose_replies(0);
  hold("a");
  run(absl::Milliseconds(1));
  leases.lose_replies(1);
  run(absl::Seconds(10));
  EXPECT_EQ(story, (std::vector<std::string>{"a gained 1"}));
}

}  // namespace
}  // namespace supercloud
