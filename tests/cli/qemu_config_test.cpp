#include "cli/qemu_config.h"

#include <gtest/gtest.h>

#include "cli/node_config.h"

namespace supercloud {
namespace {

std::string node_with(const std::string& host) {
  return R"(name = "b"
cluster = "home"
site = "a"
seeds = ["ipc:///run/a.req"]
[bus]
publish = "ipc:///run/b.pub"
request = "ipc:///run/b.req"
[links]
listen = "unix:/run/b.link"
[host]
cloud = "home"
region = "cellar"
zone = "rack-1"
type = "desktop"
)" + host;
}
std::string with_qemu(const std::string& more) { return node_with("[host.qemu]\n" + more); }
constexpr const char* one_image = "[host.qemu.image.debian-12]\nkernel = \"vmlinux\"\n";

TEST(QemuConfig, RealGuestsAreMadeOfImagesWhosePathsAreBesideTheFile) {
  const auto config = parse_node_config(
      with_qemu(
          "program = \"./qemu\"\naccelerator = \"kvm\"\ncpu = \"Haswell\"\nrun = \"/run/g\"\n" +
          std::string(one_image) + "initrd = \"/boot/initrd\"\narguments = \"quiet\"\n"),
      "/etc/supercloud/node.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_TRUE(config->host->qemu);
  const QemuConfig& qemu = *config->host->qemu;
  EXPECT_EQ(qemu.program, "/etc/supercloud/qemu");
  EXPECT_EQ(qemu.accelerator, QemuConfig::Accelerator::kvm);
  EXPECT_EQ(qemu.images.at("debian-12").kernel, "/etc/supercloud/vmlinux");
  EXPECT_EQ(qemu.images.at("debian-12").initrd, "/boot/initrd");
  EXPECT_EQ(config->host->bytes_per_second, 0U) << "no cap that nobody asked for";
  EXPECT_EQ(config->host->disk_bytes, 0U) << "there is no room for disks that no guest can reach";
  const auto again = parse_node_config(to_toml(*config), "again.toml");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(to_toml(*again), to_toml(*config));
}

TEST(QemuConfig, StreamsMayHaveACapAndCertificates) {
  const auto config = parse_node_config(
      node_with("stream_mib_per_second = 32\n[host.qemu]\n" + std::string(one_image) +
                "[host.qemu.tls]\nauthority = \"tls.crt\"\ncertificate = \"/b.crt\"\nkey = "
                "\"b.pem\"\n"),
      "/etc/supercloud/node.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->host->bytes_per_second, 32U << 20U);
  const QemuConfig& qemu = *config->host->qemu;
  EXPECT_EQ(qemu.tls_authority, "/etc/supercloud/tls.crt");
  EXPECT_EQ(qemu.tls_certificate, "/b.crt");
  EXPECT_EQ(qemu.tls_key, "/etc/supercloud/b.pem");
  const auto again = parse_node_config(to_toml(*config), "again.toml");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(to_toml(*again), to_toml(*config));
}

TEST(QemuConfig, AProgramWithoutAFolderIsLookedForLater) {
  const auto config = parse_node_config(with_qemu(one_image), "/etc/supercloud/node.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->host->qemu->program, "qemu-system-x86_64");
  EXPECT_EQ(config->host->qemu->accelerator, QemuConfig::Accelerator::automatic);
}

TEST(QemuConfig, MistakesAboutRealGuestsAreToldWithLineAndCure) {
  const auto mistake_in = [](const std::string& toml) {
    const auto config = parse_node_config(toml, "node.toml");
    return config.ok() ? "none" : std::string(config.status().message());
  };
  const auto mistake = [&](const std::string& more) { return mistake_in(with_qemu(more)); };
  EXPECT_EQ(mistake(""),
            "node.toml:15: host.qemu.image is missing: VMs start from an image; write "
            "[host.qemu.image.NAME] and below it kernel = \"PATH\"");
  EXPECT_NE(
      mistake("[host.qemu.tls]\nauthority = \"a\"\n").find("host.qemu.tls.certificate is missing"),
      std::string::npos);
  EXPECT_NE(mistake("[host.qemu.image.x]\n").find("host.qemu.image.x.kernel is missing"),
            std::string::npos);
  EXPECT_NE(mistake("[host.qemu.image.\"a b\"]\nkernel = \"k\"\n").find("is no name for an image"),
            std::string::npos);
  EXPECT_NE(
      mistake("accelerator = \"xen\"\n").find("node.toml:16: host.qemu.accelerator has to be"),
      std::string::npos);
  EXPECT_NE(mistake("streams = \"1.2.3.4\"\n").find("host.qemu.streams has to be"),
            std::string::npos);
  EXPECT_NE(mistake_in(node_with("disk_mib = 512\n[host.qemu]\n") + one_image)
                .find("host.disk_mib is of a simulated machine"),
            std::string::npos);
}

}  // namespace
}  // namespace supercloud
