#include "actors/policy/role_past.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/answers.h"
#include "tests/actors/market_world.h"

namespace supercloud {
namespace {

// Answers runningInstances as it is told to.
class Holder final : public Actor {
 public:
  using Says = std::function<Message<schema::Response>()>;
  explicit Holder(Says says) : says_(std::move(says)) {}
  void receive(const Event&) override {}
  void serve(Message<schema::Request> request, Answer answer) override {
    EXPECT_TRUE(request.reader().isRunningInstances());
    if (says_) answer(says_());
  }

 private:
  Says says_;
};

// The roles of three accounts: who wants to know the past is on node "late".
class RolePastTest : public MarketWorld {
 protected:
  class Asker final : public Actor {
   public:
    Asker(RolePastTest& test, Context& context)
        : past_(
              context, test.leases,
              {.role = test.role,
               .actor = "provider",
               .ask = [](schema::Request::Builder request) { request.setRunningInstances(); },
               .patterns = {"instance.>"}},
              {},
              [&test](schema::Response::Reader answer) {
                if (!answer.isInstance()) return false;
                test.told.push_back(str(answer.getInstance()));
                return true;
              },
              [&test](const Event& event) { test.read.push_back(event.subject()); }) {
      context.subscribe(Pattern::of("spot.>"));
      context.subscribe(Pattern::of("node.capacity.>"), [this, &test] {
        past_.ask([this, &test] {
          EXPECT_TRUE(past_.known());
          ++test.known;
        });
      });
    }
    void receive(const Event& event) override { past_.hear(event); }

   private:
    RolePast past_;
  };

  void hold(const std::string& account, const std::string& node) {
    Swap swap;
    swap.key = role.ends_with('/') ? role + account : role;
    swap.session = *nodes.at(node)->session.id;
    swap.swap_id = account;
    leases.swap(std::move(swap),
                Reply<SwapResult>(far_future, [](const absl::StatusOr<SwapResult>& result) {
                  ASSERT_TRUE(result.ok() && result->won) << result.status();
                }));
    run(absl::Milliseconds(100));
  }
  // A node that says so, and has an instance in its log.
  TestNode& provide(const std::string& name, Holder::Says says) {
    TestNode& node = start(name);
    node.node->spawn("provider", [says](Context&) { return std::make_unique<Holder>(says); });
    publish(node, "i-of-" + name, [](schema::Payload::Builder payload) {
      payload.initInstanceLaunched().setInstance("i");
    });
    run(absl::Seconds(1));
    return node;
  }
  void ask_from_a_new_node() {
    start("late").node->spawn(
        "asker", [this](Context& context) { return std::make_unique<Asker>(*this, context); });
  }
  static Holder::Says says(const std::string& instance) {
    return [instance] {
      return Message<schema::Response>::build(
          [&](schema::Response::Builder response) { response.setInstance(instance); });
    };
  }
  static Holder::Says says(const absl::Status& status) {
    return [status] { return error_answer(status); };
  }

  std::string role = "role/provider/";
  std::vector<std::string> told, read;
  int known = 0;
};
using Names = std::vector<std::string>;

TEST_F(RolePastTest, IsKnownOnceEveryHolderHasToldItAndNobodyReadsLogsThen) {
  provide("a", says("i-1"));
  provide("b", says("i-2"));
  hold("aws", "a");
  hold("azure", "b");
  ask_from_a_new_node();
  run(absl::Milliseconds(400));
  EXPECT_EQ(told, (Names{"i-1", "i-2"}));
  EXPECT_EQ(known, 1);
  run(absl::Seconds(10));
  EXPECT_EQ(told.size(), 2U) << "each is asked once";
  EXPECT_EQ(read, Names{});
  EXPECT_EQ(known, 1);
}

TEST_F(RolePastTest, OfPricesIsAskedForOnceMoreWhenTheFeedIsRestored) {
  role = "role/feed";
  TestNode& a = provide("a", says("before"));
  hold("feed", "a");
  ask_from_a_new_node();
  run(absl::Seconds(1));
  EXPECT_EQ(told, Names{"before"});
  const auto restored = [](schema::Payload::Builder payload) { payload.initSpotFeedRestored(); };
  publish(a, "feed", restored);
  run(absl::Seconds(3));
  EXPECT_EQ(told, (Names{"before", "before"}));
  EXPECT_EQ(known, 1) << "that it was known";
  crash("a");
  publish(*nodes.at("late"), "feed", restored);
  run(absl::Seconds(20));
  EXPECT_EQ(told.size(), 2U);
  EXPECT_TRUE(read.empty()) << "what is known needs no logs";
}

TEST_F(RolePastTest, ComesFromTheLogsWhereNobodyHasHadTheRole) {
  provide("a", says("i-1"));
  ask_from_a_new_node();
  run(absl::Seconds(6));
  EXPECT_EQ(told, Names{});
  EXPECT_EQ(read, Names{"i-of-a"});
  EXPECT_EQ(known, 1);
}

TEST_F(RolePastTest, IsAskedAgainWhereItIsNotToldAndComesFromTheLogsInTheEnd) {
  int asked = 0;
  provide("a", [&asked] {
    ++asked;
    return error_answer(absl::UnavailableError("the role has just been taken over"));
  });
  provide("b", says("i-2"));
  hold("aws", "a");
  hold("azure", "b");
  ask_from_a_new_node();
  run(absl::Seconds(4));
  EXPECT_GT(asked, 4);
  EXPECT_EQ(told, Names{"i-2"}) << "who has told it is not asked again";
  EXPECT_EQ(known, 0);
  EXPECT_EQ(read, Names{});
  run(absl::Seconds(8));
  EXPECT_EQ(known, 1);
  std::sort(read.begin(), read.end());  // who is heard first is read first
  EXPECT_EQ(read, (Names{"i-of-a", "i-of-b"}));
}

TEST_F(RolePastTest, ComesFromTheLogsAtOnceWhereItIsTooMuchForAnAnswer) {
  provide("a", says(absl::ResourceExhaustedError("too many")));
  hold("aws", "a");
  ask_from_a_new_node();
  run(absl::Seconds(3));
  EXPECT_EQ(read, Names{"i-of-a"});
}

}  // namespace
}  // namespace supercloud
