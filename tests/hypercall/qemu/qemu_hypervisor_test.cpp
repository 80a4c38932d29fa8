#include "hypercall/qemu/qemu_hypervisor.h"

#include <gtest/gtest.h>

#include "tests/hypercall/qemu/qemu_world.h"

namespace supercloud {
namespace {

INSTANTIATE_TEST_SUITE_P(Qemu, HypervisorConformance,
                         ::testing::Values(HypervisorWorldFactory{
                             "qemu", [] { return std::make_unique<QemuWorld>(); }}),
                         [](const auto& world) { return world.param.name; });

class QemuHypervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!world_.missing().empty()) GTEST_SKIP() << world_.missing();
  }
  void use(const QemuOptions& options) { world_.start_daemon(0, options); }

  QemuWorld world_;
  HostCalls a_{world_, 0};
  const std::string vm_ = "main/web1";
  const Message<schema::VmSpec> spec_ = test_vm("web1", 32 << 20);
};

TEST_F(QemuHypervisorTest, AMissingKernelIsNamedAndLeavesNothing) {
  world_.guests.usual.kernel = "/nowhere/vmlinux";
  use(world_.options(0));
  const absl::Status refused = a_.create(spec_, 1);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("/nowhere/vmlinux"), std::string::npos) << refused;
  EXPECT_TRUE(a_.host().list().empty());
}

TEST_F(QemuHypervisorTest, AKernelThatIsNoneEndsTheStartInQemusOwnWords) {
  world_.guests.usual.kernel = "/etc/passwd";
  use(world_.options(0));
  const absl::Status refused = a_.create(spec_, 1);
  EXPECT_FALSE(refused.ok());
  EXPECT_NE(refused.message().find("kernel"), std::string::npos) << refused;
  EXPECT_FALSE(a_.status(vm_).has_value());
  EXPECT_EQ(a_.create(spec_, 1).code(), refused.code()) << "and it may be tried again";
}

TEST_F(QemuHypervisorTest, AQemuThatIsNoneIsAnErrorThatSaysSo) {
  QemuOptions options = world_.options(0);
  options.qemu = "/bin/false";
  use(options);
  const absl::Status refused = a_.create(spec_, 1);
  EXPECT_FALSE(refused.ok());
  EXPECT_TRUE(a_.host().list().empty());
}

TEST_F(QemuHypervisorTest, AQemuThatCorruptsGuestsIsRefusedAtTheStart) {
  QemuOptions options = world_.options(0);
  options.version = {7, 2, 0};
  auto network = SocketLinkNetwork::open(world_.loop, "unix:" + world_.run_folder(0) + ".other");
  ASSERT_TRUE(network.ok());
  QemuHypervisor old(world_.loop, **network, options);
  absl::Status status;
  old.start(
      Reply<Done>(far_future, [&](const absl::StatusOr<Done>& done) { status = done.status(); }));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace supercloud
