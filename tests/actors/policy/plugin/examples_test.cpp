// The policies in examples/, run as a node runs them.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "actors/policy/decision_check.h"
#include "actors/policy/plugin/policy_file.h"
#include "core/text.h"
#include "tests/actors/policy/plugin/worlds.h"

namespace supercloud {
namespace {

class ExamplePolicies : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const char* folder = ::getenv("SUPERCLOUD_EXAMPLES");
    ASSERT_NE(folder, nullptr) << "meson sets it";
    const PolicyFileOptions options{.name = "example",
                                    .file = std::string(folder) + "/" + GetParam(),
                                    .deadline = absl::Seconds(60)};
    if (GetParam() == "policy.py" &&
        std::system("/usr/bin/python3 -c 'import zmq' 2>/dev/null") != 0)
      GTEST_SKIP() << "there is no pyzmq; apt-get install python3-zmq";
    const auto factory = blocking_policy_from_file(options);
    ASSERT_TRUE(factory.ok()) << factory.status();
    policy_ = (*factory)();
  }
  // What it decides, which is sound at least.
  Decided decide(const WorldFigures& figures) {
    const Message<schema::World> world = world_of(figures);
    const Decided decided = **ask(*policy_, world);
    EXPECT_TRUE(decided.ok()) << decided.status();
    if (decided.ok()) {
      EXPECT_TRUE(check_decision(world.reader(), decided->reader()).ok());
      EXPECT_EQ(decided->reader().getCandidates().size(), 3U);
      EXPECT_GT(decided->reader().getWakeAtNs(), world.reader().getNowNs());
      EXPECT_FALSE(text(decided->reader().getReason()).empty());
    }
    return decided;
  }

  std::unique_ptr<Policy> policy_;
};

TEST_P(ExamplePolicies, MoveToTheCheapestPlaceAsThePaidHourEnds) {
  EXPECT_EQ(choice_of(decide({})), place_in("b"));
  EXPECT_EQ(decide({})->reader().getGainNanoUsd(), 2 * cent);
}

TEST_P(ExamplePolicies, StayWhileTheHourIsPaid) {
  EXPECT_EQ(choice_of(decide({.minute = 10})), "");
}

TEST_P(ExamplePolicies, LeaveAtOnceWhenTheCloudTakesTheMachine) {
  EXPECT_EQ(
      choice_of(decide({.minute = 10, .cents_a = 1, .cents_b = 5, .cents_c = 7, .notice = true})),
      place_in("b"));
}

TEST_P(ExamplePolicies, ChooseNoPlaceThatIsNotAllowed) {
  EXPECT_NE(choice_of(decide({.b_allowed = false})), place_in("b"));
}

INSTANTIATE_TEST_SUITE_P(Both, ExamplePolicies, testing::Values("policy.py", "preferred_zones.so"),
                         [](const auto& param) {
                           return param.param == "policy.py" ? "program" : "shared_object";
                         });

TEST(PolicyDocumentation, ShowsAWorldAndADecisionThatAreSound) {
  const char* folder = ::getenv("SUPERCLOUD_DOCS");
  ASSERT_NE(folder, nullptr) << "meson sets it";
  std::ifstream page(std::string(folder) + "/policies.md");
  const std::string text{std::istreambuf_iterator<char>(page), std::istreambuf_iterator<char>()};
  std::vector<std::string> blocks;
  const std::string opening = "```json\n";
  for (std::size_t at = text.find(opening); at != std::string::npos; at = text.find(opening, at)) {
    at += opening.size();
    blocks.push_back(text.substr(at, text.find("```", at) - at));
  }
  ASSERT_EQ(blocks.size(), 2U);
  const auto world = Message<schema::World>::from_json(blocks[0]);
  ASSERT_TRUE(world.ok()) << world.status();
  const auto decision = Message<schema::Decision>::from_json(blocks[1]);
  ASSERT_TRUE(decision.ok()) << decision.status();
  const absl::Status sound = check_decision(world->reader(), decision->reader());
  EXPECT_TRUE(sound.ok()) << sound;
}

class ProgramExample : public ExamplePolicies {};
class SharedObjectExample : public ExamplePolicies {};

TEST_P(ProgramExample, StaysForLessThanATenth) {
  EXPECT_EQ(choice_of(decide({.cents_a = 100, .cents_b = 91, .cents_c = 120})), "");
  EXPECT_EQ(choice_of(decide({.cents_a = 100, .cents_b = 90, .cents_c = 120})), place_in("b"));
}

TEST_P(SharedObjectExample, NeverLeavesThePreferredZonesForACheaperOne) {
  EXPECT_EQ(choice_of(decide({.cents_a = 3, .cents_b = 4, .cents_c = 1})), "");
  EXPECT_EQ(choice_of(decide({.cents_a = 3, .cents_b = 4, .cents_c = 1, .notice = true})),
            place_in("b"));
  EXPECT_EQ(choice_of(decide({.cents_c = 1, .notice = true, .b_allowed = false})), place_in("c"))
      << "but for its life";
}

INSTANTIATE_TEST_SUITE_P(One, ProgramExample, testing::Values("policy.py"));
INSTANTIATE_TEST_SUITE_P(One, SharedObjectExample, testing::Values("preferred_zones.so"));

}  // namespace
}  // namespace supercloud
