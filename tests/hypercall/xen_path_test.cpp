// Paths of the XenStore, and errors that keep what they are of.
#include "hypercall/xen_path.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "hypercall/xen_error.h"

namespace supercloud {
namespace {

TEST(XenPath, takes_what_the_store_takes) {
  for (const char* good : {"/", "/a", "/local/domain/0/name", "data/x", "a", "/A-z_0@9",
                           "@introduceDomain", "@releaseDomain"})
    EXPECT_TRUE(XenPath::parse(good).ok()) << good;
  std::string longest(3072, 'a');
  longest.front() = '/';
  EXPECT_TRUE(XenPath::parse(longest).ok());
  EXPECT_TRUE(XenPath::parse(std::string(2048, 'a')).ok());
}

TEST(XenPath, says_what_is_wrong) {
  for (const char* bad :
       {"", "//", "/a/", "/a//b", "/a b", "/a.b", "@other", "a/", "/\n", "/\xc3\xa4"}) {
    const auto path = XenPath::parse(bad);
    EXPECT_TRUE(absl::IsInvalidArgument(path.status())) << bad;
    EXPECT_NE(path.status().message().find("is no path of the XenStore: "), std::string::npos);
  }
  std::string too_long(3073, 'a');
  too_long.front() = '/';
  EXPECT_FALSE(XenPath::parse(too_long).ok());
  EXPECT_FALSE(XenPath::parse(std::string(2049, 'a')).ok());
  EXPECT_FALSE(XenPath::parse(std::string_view("/a\0b", 4)).ok());
  EXPECT_LT(XenPath::parse(std::string(100'000, 'a')).status().message().size(), 300U);
}

TEST(XenPath, knows_where_it_stands) {
  const XenPath name = *(XenPath::domain(7) / "device/vif");
  EXPECT_EQ(name.text(), "/local/domain/7/device/vif");
  EXPECT_EQ(name.domain_id(), 7U);
  EXPECT_EQ(XenPath::domain(7).domain_id(), 7U);
  EXPECT_FALSE(XenPath::domains().domain_id());
  EXPECT_FALSE(XenPath::parse("/local/domains/7")->domain_id());
  EXPECT_FALSE(XenPath::parse("/local/domain/x7")->domain_id());
  EXPECT_FALSE(XenPath::parse("/local/domain/99999999999")->domain_id());
  EXPECT_TRUE(name.within(XenPath::domain(7)));
  EXPECT_TRUE(name.within(XenPath::root()));
  EXPECT_FALSE(XenPath::domain(70).within(XenPath::domain(7)));
  EXPECT_EQ(name.parent().text(), "/local/domain/7/device");
  EXPECT_EQ(XenPath::parse("/a")->parent(), XenPath::root());
  EXPECT_EQ((XenPath::root() / "a")->text(), "/a");
  EXPECT_FALSE((XenPath::introduced() / "a").ok());
  EXPECT_FALSE((name / "/a").ok());
}

TEST(XenError, keeps_call_and_errno_and_says_what_it_means) {
  const absl::Status status = xen_error("XS_WRITE", ENOSPC, "/a");
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_EQ(status.message(), "XS_WRITE /a: ENOSPC (No space left on device)");
  ASSERT_TRUE(xen_failure(status));
  EXPECT_EQ(xen_failure(status)->call, "XS_WRITE");
  EXPECT_EQ(xen_failure(status)->error, ENOSPC);
  EXPECT_FALSE(xen_failure(absl::OkStatus()));
  EXPECT_FALSE(xen_failure(absl::InternalError("other")));
  EXPECT_TRUE(absl::IsAborted(xen_error("x", EAGAIN)));
  EXPECT_TRUE(absl::IsInternal(xen_error("x", 99999)));
  const absl::Status absent = xen_absent("Xen", "xc_interface_open", ENOENT);
  EXPECT_TRUE(absl::IsUnavailable(absent));
  EXPECT_EQ(xen_failure(absent)->error, ENOENT);
  for (const int error : {EACCES, EPERM}) {
    const absl::Status denied = xen_absent("Xen", "xc_interface_open", error);
    EXPECT_TRUE(absl::IsPermissionDenied(denied)) << denied;
    EXPECT_EQ(denied.message().find("Xen is not open to this process: xc_interface_open: E"), 0U);
    EXPECT_EQ(xen_failure(denied)->error, error);
  }
}

}  // namespace
}  // namespace supercloud
