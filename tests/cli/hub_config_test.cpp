#include "cli/hub_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace supercloud {
namespace {

using testing::HasSubstr;

std::string refusal(const std::string& content) {
  return std::string(parse_hub_config(content, "hub.toml").status().message());
}

const std::string ends =
    "[cloud]\npublish = \"ipc:///tmp/a\"\nrequest = \"ipc:///tmp/b\"\nseeds = \"ipc:///tmp/n\"\n"
    "[hubs]\npublish = \"ipc:///tmp/c\"\nrequest = \"ipc:///tmp/d\"\n";

TEST(HubConfigTest, AMistakeIsToldWithItsPlaceAndItsCure) {
  EXPECT_TRUE(parse_hub_config("name = \"hub\"\n" + ends, "hub.toml").ok()) << refusal(ends);
  EXPECT_THAT(refusal(ends), HasSubstr("name"));
  EXPECT_THAT(refusal("name = \"hub.a\"\n" + ends), HasSubstr("hub.toml:1"));
  EXPECT_THAT(refusal("name = \"hub\"\nkey = \"hub.key\"\n" + ends), HasSubstr("trust"));
  EXPECT_THAT(refusal("name = \"hub\"\ntrust = \"trust.toml\"\n" + ends), HasSubstr("NAME.key"));
  EXPECT_THAT(refusal("name = \"hub\"\nsite = \"a\"\n" + ends), HasSubstr("site"));
  EXPECT_THAT(refusal("name = \"hub\"\n[cloud]\npublish = \"tcp://127.0.0.1:1\"\n"),
              HasSubstr("cloud"));
}

}  // namespace
}  // namespace supercloud
