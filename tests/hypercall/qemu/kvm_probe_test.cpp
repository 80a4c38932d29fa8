#include "hypercall/qemu/kvm_probe.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace supercloud {
namespace {

// Whatever this machine has: an answer, that fits to what is there.
TEST(KvmProbe, SaysWhetherGuestsRunOrWhyNot) {
  const absl::Status works = probe_kvm_guest();
  if (::access("/dev/kvm", F_OK) != 0) {
    EXPECT_EQ(works.code(), absl::StatusCode::kNotFound) << works;
  } else if (::access("/dev/kvm", R_OK | W_OK) != 0) {
    EXPECT_EQ(works.code(), absl::StatusCode::kPermissionDenied) << works;
  } else if (!works.ok()) {
    EXPECT_NE(works.message(), "");
  }
  EXPECT_EQ(probe_kvm_guest(), works);
}

}  // namespace
}  // namespace supercloud
