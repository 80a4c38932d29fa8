#include "core/vm_name.h"

#include <gtest/gtest.h>

#include <string>

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
