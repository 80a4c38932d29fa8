#include "core/vm_name.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/message.h"

namespace supercloud {
namespace {

TEST(VmName, IsATenantAndAName) {
  EXPECT_EQ(VmName::of("shop/web1"), (VmName{"shop", "web1"}));
  EXPECT_EQ(VmName::of("shop/web1").to_string(), "shop/web1");
  EXPECT_EQ(VmName::of("web1").to_string(), "main/web1");
}

TEST(VmName, IsReadFromWhatAPersonWrites) {
  EXPECT_EQ(VmName::parse("shop/web1").value(), (VmName{"shop", "web1"}));
  EXPECT_EQ(VmName::parse("web1").value(), (VmName{"main", "web1"}));
  for (const char* bad : {"", "/", "a/", "/a", "a/b/c"}) {
    const auto refused = VmName::parse(bad);
    EXPECT_TRUE(absl::IsInvalidArgument(refused.status())) << bad;
    EXPECT_NE(refused.status().message().find("tenant/name"), absl::string_view::npos);
  }
}

TEST(VmName, ThatComesToASeamFromOutsideIsWholeAndFitsATopic) {
  const std::string longest(64, 't');
  const std::string as_long_once_encoded(21, '.');
  for (const auto& [tenant, name] : std::vector<std::pair<std::string, std::string>>{
           {"main", "web1"}, {"shop", "caf\xc3\xa9"}, {longest, as_long_once_encoded}})
    EXPECT_TRUE(VmName::check(absl::StrCat(tenant, "/", name)).ok()) << name;
  for (const std::string& bad : std::vector<std::string>{
           "web1", "main/", "/web1", "a/b/c", "main/\xff", absl::StrCat("main/", longest, "x"),
           absl::StrCat("main/", as_long_once_encoded, ".")}) {
    const absl::Status refused = VmName::check(bad);
    EXPECT_TRUE(absl::IsInvalidArgument(refused)) << bad;
    EXPECT_NE(refused.message().find("tenant/name"), absl::string_view::npos) << refused;
    EXPECT_EQ(refused.message().find('\xff'), absl::string_view::npos) << refused;
  }
}

TEST(VmName, IsTheSameInDescriptionsAndRequests) {
  const VmName name{"shop", "web1"};
  const auto request = Message<schema::Request>::build(
      [&](schema::Request::Builder builder) { name.write(builder.initShowVm()); });
  EXPECT_EQ(VmName::of(request.reader().getShowVm()), name);
  const auto spec = Message<schema::VmSpec>::build(
      [](schema::VmSpec::Builder builder) { builder.setName("web1"); });
  EXPECT_EQ(VmName::of(spec.reader()), (VmName{"main", "web1"}));
}

}  // namespace
}  // namespace supercloud
