// Where there is no Xen, with the real libraries: each opening fails with one status that names its call and errno, and nothing is
// printed.
#include <gtest/gtest.h>
#include <unistd.h>

#include "hypercall/xen/control.h"
#include "hypercall/xen/event_channels.h"
#include "hypercall/xen/pages.h"
#include "hypercall/xen_error.h"

namespace supercloud {
namespace {

TEST(WithoutXen, every_opening_fails_clearly_and_in_silence) {
  for (const char* file :
       {"/dev/xen/privcmd", "/dev/xen/evtchn", "/dev/xen/gntdev", "/proc/xen/privcmd"})
    if (::access(file, F_OK) == 0) GTEST_SKIP() << "there is Xen on this machine";
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const std::pair<const char*, absl::Status> opened[] = {
      {"xc_interface_open", XenControl::open().status()},
      {"xenevtchn_open", EventChannels::open().status()},
      {"xengnttab_open", GrantMapper::open().status()},
      {"xengntshr_open", GrantSharer::open().status()},
      {"xenforeignmemory_open", ForeignMemory::open().status()},
  };
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  for (const auto& [call, status] : opened) {
    EXPECT_TRUE(absl::IsUnavailable(status)) << call << ": " << status;
    ASSERT_TRUE(xen_failure(status)) << call;
    EXPECT_EQ(xen_failure(status)->call, call);
    EXPECT_NE(xen_failure(status)->error, 0);
    EXPECT_TRUE(status.message().find("no Xen here: ") == 0) << status;
  }
}

}  // namespace
}  // namespace supercloud
