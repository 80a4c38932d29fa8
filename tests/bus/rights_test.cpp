#include "bus/rights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace supercloud {
namespace {

using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

std::vector<Pattern> patterns(const std::vector<std::string>& texts) {
  std::vector<Pattern> made;
  for (const std::string& text : texts) made.push_back(Pattern::of(text));
  return made;
}

std::vector<std::string> granted(const std::vector<std::string>& rights, std::string_view prefix) {
  Rights all;
  all.grant("a", {{}, patterns(rights), false});
  return all.allowed("a", prefix);
}

TEST(Rights, who_has_none_may_nothing) {
  Rights rights;
  rights.grant("a", {});
  for (const char* name : {"a", "b"}) {
    EXPECT_FALSE(rights.may_publish(name, "vm.started.main.web1"));
    EXPECT_FALSE(rights.may_request(name));
    EXPECT_THAT(rights.allowed(name, ""), IsEmpty());
  }
}

TEST(Rights, a_pattern_says_what_may_be_published) {
  Rights rights;
  rights.grant("a", {patterns({"vm.>", "node.joined.main.a"}), {}, true});
  EXPECT_TRUE(rights.may_publish("a", "vm.started.main.web1"));
  EXPECT_TRUE(rights.may_publish("a", "node.joined.main.a"));
  EXPECT_FALSE(rights.may_publish("a", "node.joined.main.b"));
  EXPECT_FALSE(rights.may_publish("a", "vmx.started.main.web1"));
  EXPECT_FALSE(rights.may_publish("b", "vm.started.main.web1"));
  EXPECT_TRUE(rights.may_request("a"));
}

TEST(Rights, a_tenant_is_the_third_token) {
  Rights rights;
  rights.grant("t", {patterns({"*.*.t1.>"}), patterns({"*.*.t1.>"}), false});
  EXPECT_TRUE(rights.may_publish("t", "vm.started.t1.web1"));
  EXPECT_FALSE(rights.may_publish("t", "vm.started.main.web1"));
  EXPECT_FALSE(rights.may_publish("t", "vm.started.t11.web1"));
  EXPECT_THAT(rights.allowed("t", "vm.started.t1."), ElementsAre("vm.started.t1."));
  EXPECT_THAT(rights.allowed("t", "vm.started.main."), IsEmpty());
  EXPECT_THAT(rights.allowed("t", "vm.started."), ElementsAre("vm.started.t1."));
  const auto of_vms = rights.allowed("t", "vm.");
  EXPECT_THAT(of_vms, Contains("vm.stopped.t1."));
  for (const std::string& prefix : of_vms) EXPECT_TRUE(prefix.ends_with(".t1.")) << prefix;
  EXPECT_GT(rights.allowed("t", "").size(), of_vms.size());
}

TEST(Rights, what_a_right_covers_is_granted_as_it_is_asked_for) {
  EXPECT_THAT(granted({">"}, ""), ElementsAre(""));
  EXPECT_THAT(granted({">"}, "v"), ElementsAre("v"));
  EXPECT_THAT(granted({"vm.>"}, "vm."), ElementsAre("vm."));
  EXPECT_THAT(granted({"vm.>"}, "vm.star"), ElementsAre("vm.star"));
  EXPECT_THAT(granted({"vm.*.*.*"}, "vm."), ElementsAre("vm."));
  EXPECT_THAT(granted({"vm.*.main.>"}, "vm.new_kind.main."), ElementsAre("vm.new_kind.main."));
}

TEST(Rights, what_is_wider_gets_what_is_covered_or_nothing) {
  EXPECT_THAT(granted({"vm.>"}, ""), ElementsAre("vm."));
  EXPECT_THAT(granted({"vm.>"}, "v"), ElementsAre("vm."));
  EXPECT_THAT(granted({"vm.>"}, "vm"), ElementsAre("vm."));
  EXPECT_THAT(granted({"vm.>"}, "vmx"), IsEmpty());
  EXPECT_THAT(granted({"vm.>"}, "w"), IsEmpty());
  EXPECT_THAT(granted({"vm.started.>"}, "vm.star"), ElementsAre("vm.started."));
  EXPECT_THAT(granted({"vm.started.main.web1"}, "vm."), ElementsAre("vm.started.main.web1."));
  EXPECT_THAT(granted({"vm.started.main.web1"}, "vm.started.main.web1"),
              ElementsAre("vm.started.main.web1."));
  EXPECT_THAT(granted({"vm.started.main.web1"}, "vm.started.main.web10."), IsEmpty());
}

TEST(Rights, of_several_rights_each_gives_its_part_once) {
  EXPECT_THAT(granted({"vm.started.>", "vm.>", "node.joined.>"}, ""),
              ElementsAre("node.joined.", "vm."));
  EXPECT_THAT(granted({"*.*.main.>", "vm.>"}, "vm.started."), ElementsAre("vm.started."));
}

// What no prefix can say is not granted by a wider one.
TEST(Rights, a_star_that_cannot_be_written_out_grants_nothing_wider) {
  EXPECT_THAT(granted({"vm.started.*.web1"}, "vm.started."), IsEmpty());
  EXPECT_THAT(granted({"vm.started.*.web1"}, "vm.started.main."),
              ElementsAre("vm.started.main.web1."));
}

TEST(Rights, a_byte_that_is_in_no_topic_is_no_way_around) {
  EXPECT_THAT(granted({"vm.>"}, std::string_view("vm\0", 3)), IsEmpty());
  EXPECT_THAT(granted({"vm.>"}, ".vm."), IsEmpty());
  EXPECT_THAT(granted({"vm.started.>"}, "vm.."), IsEmpty());
  EXPECT_THAT(granted({">"}, std::string(300, 'v')), IsEmpty());
}

TEST(Rights, a_pattern_that_no_topic_matches_is_told) {
  for (const char* text : {">", "vm.>", "vm.started.main.>", "*.*.*.*", "vm.started.main.web1"})
    EXPECT_TRUE(check_right(Pattern::of(text)).ok()) << text;
  for (const char* text : {"vm", "vm.started", "vm.*.*", "a.b.c.d.>", "a.b.c.d.e"})
    EXPECT_TRUE(absl::IsInvalidArgument(check_right(Pattern::of(text)))) << text;
}

}  // namespace
}  // namespace supercloud
