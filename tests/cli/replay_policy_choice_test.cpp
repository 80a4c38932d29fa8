#include <set>
#include <string>
#include <vector>

#include "cli/replay/policy_choice.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace supercloud {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(PolicyChoice, HasWordsForEachPolicyThatThereIs) {
  std::set<std::string> described, registered;
  for (const PolicyWords& policy : built_in_policy_words()) {
    EXPECT_TRUE(described.insert(policy.name).second) << policy.name;
    EXPECT_FALSE(policy.does.empty()) << policy.name;
  }
  for (const auto& [name, factory] : built_in_policies()) registered.insert(name);
  EXPECT_EQ(described, registered);
}

TEST(PolicyChoice, TakesEachOnce) {
  PolicyRegistry registry = built_in_policies();
  const auto names = take_policies({"cheapest", "stay", "cheapest"}, absl::Seconds(1), registry);
  ASSERT_TRUE(names.ok()) << names.status();
  EXPECT_THAT(*names, ElementsAre("cheapest", "stay"));
}

TEST(PolicyChoice, SaysWhatIsNeitherANameNorAFile) {
  PolicyRegistry registry = built_in_policies();
  const absl::Status status = take_policies({"cheepest"}, absl::Seconds(1), registry).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("cheapest"));
}

}  // namespace
}  // namespace supercloud
