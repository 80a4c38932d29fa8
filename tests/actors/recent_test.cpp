#include "actors/recent.h"

#include <gtest/gtest.h>

#include <string>

namespace supercloud {
namespace {

TEST(Recent, OneMoreThanThereIsRoomForDropsTheOneThatWasMadeFirst) {
  RecentMap<std::string, int> map(2);
  map["b"] = 1;
  map["a"] = 2;
  map["b"] = 3;  // still the older one
  map["c"] = 4;
  EXPECT_EQ(map.size(), 2U);
  EXPECT_FALSE(map.contains("b"));
  EXPECT_EQ(map["a"], 2);
  EXPECT_EQ(map.extract("c"), 4);
  EXPECT_EQ(map.extract("c"), std::nullopt);
  map["d"] = 5;
  EXPECT_TRUE(map.contains("a")) << "c has left its room";
}

TEST(Recent, ASetSaysWhatIsNew) {
  RecentSet<int> set(1);
  EXPECT_TRUE(set.insert(1));
  EXPECT_FALSE(set.insert(1));
  EXPECT_TRUE(set.insert(2));
  EXPECT_TRUE(set.insert(1)) << "dropped, and forgotten";
  EXPECT_TRUE(set.erase(1));
  EXPECT_EQ(set.size(), 0U);
}

}  // namespace
}  // namespace supercloud
