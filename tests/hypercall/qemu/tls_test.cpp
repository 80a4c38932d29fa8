#include "hypercall/qemu/tls.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace supercloud {
namespace {

namespace files = std::filesystem;

TEST(QemuTls, ACertificateIsForTheAddressAtWhichLinksAreReached) {
  EXPECT_EQ(tls_host_of("tcp:10.0.0.1:7002"), "10.0.0.1");
  EXPECT_EQ(tls_host_of("tcp:[fd00::1]:7002"), "fd00::1");
  EXPECT_EQ(tls_host_of("tcp:node-b.example:7002"), "node-b.example");
  EXPECT_EQ(tls_host_of("unix:/run/b.link"), "localhost");
}

TEST(QemuTls, QemuFindsTheFilesUnderItsOwnNamesAndOneThatIsMissingIsNamed) {
  std::string pattern = (files::temp_directory_path() / "sc-tls-XXXXXX").string();
  const files::path at = ::mkdtemp(pattern.data());
  const QemuTls tls{.authority = at / "tls.crt",
                    .certificate = at / "b.crt",
                    .key = at / "b.pem",
                    .folder = at / "tls"};
  for (const std::string& file : {tls.authority, tls.certificate}) std::ofstream(file) << "PEM";
  const absl::Status missing = make_tls_folder(tls);
  EXPECT_EQ(missing.code(), absl::StatusCode::kFailedPrecondition) << missing;
  EXPECT_NE(missing.message().find("b.pem: No such file"), std::string::npos) << missing;
  std::ofstream(tls.key) << "PEM";
  for (int starts = 0; starts < 2; ++starts) EXPECT_EQ(make_tls_folder(tls), absl::OkStatus());
  const auto target = [&](const char* name) { return files::read_symlink(at / "tls" / name); };
  EXPECT_EQ(target("ca-cert.pem"), tls.authority);
  for (const char* end : {"server", "client"}) {
    EXPECT_EQ(target((std::string(end) + "-cert.pem").c_str()), tls.certificate);
    EXPECT_EQ(target((std::string(end) + "-key.pem").c_str()), tls.key);
  }
  EXPECT_EQ(make_tls_folder({}), absl::OkStatus()) << "there is none to make";
  files::remove_all(at);
}

}  // namespace
}  // namespace supercloud
