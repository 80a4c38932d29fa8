// Whom nodes and etcd trust: real certificates, a real etcd that lets in none without one.
#include "tests/storage/etcd/certificates.h"
#include "tests/storage/etcd/etcd_world.h"
#include "tests/storage/temporary_folder.h"

namespace supercloud {
namespace {

class EtcdOverTls : public EtcdWorld {
 protected:
  void SetUp() override {
    EtcdWorld::SetUp();
    if (IsSkipped()) return;
    const CertificateFiles member = authority.issue("member");
    server = std::make_unique<EtcdServer>(
        EtcdTls{authority.certificate(), member.certificate, member.key});
    const absl::Status started = server->start();
    ASSERT_TRUE(started.ok()) << started;
    config.endpoints = {server->endpoint()};
    config.ca = authority.certificate();
    const CertificateFiles node = authority.issue("node");
    config.certificate = node.certificate;
    config.key = node.key;
  }
  absl::Status opened() {
    return open(*make_etcd_lease_table(loop, config, absl::Seconds(3)), "a",
                absl::Milliseconds(300))
        .status();
  }

  TemporaryFolder folder;
  TestAuthority authority{folder.path(), "authority"};
  TestAuthority stranger{folder.path(), "stranger"};
  std::unique_ptr<EtcdServer> server;
  EtcdConfig config;
};

TEST_F(EtcdOverTls, who_shows_a_certificate_that_etcd_trusts_has_leases) {
  const auto nodes = make_etcd_lease_table(loop, config, absl::Seconds(3));
  const absl::StatusOr<Session> session = open(*nodes, "a");
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_TRUE(swap(*nodes, make(SwapKind::DEFINE, session->id, 0))->won);
  EXPECT_EQ(read(*nodes)->holder, "a");
}

TEST_F(EtcdOverTls, an_etcd_of_another_authority_is_not_spoken_to) {
  config.ca = stranger.certificate();
  const absl::Status refused = opened();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_NE(refused.message().find(server->endpoint()), std::string::npos) << refused;
  EXPECT_NE(refused.message().find(config.ca), std::string::npos) << refused;
}

TEST_F(EtcdOverTls, who_shows_no_certificate_or_anothers_gets_nothing) {
  const CertificateFiles other = stranger.issue("other");
  for (const CertificateFiles& shown : {CertificateFiles{}, other}) {
    config.certificate = shown.certificate;
    config.key = shown.key;
    const absl::Status refused = opened();
    EXPECT_FALSE(refused.ok());
    EXPECT_NE(refused.message().find(server->endpoint()), std::string::npos) << refused;
  }
}

TEST_F(EtcdOverTls, a_key_that_is_not_the_certificates_is_named) {
  config.key = stranger.issue("other").key;
  const absl::Status refused = opened();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_NE(refused.message().find(config.key), std::string::npos) << refused;
}

TEST_F(EtcdOverTls, to_another_machine_nothing_is_said_unencrypted) {
  config.endpoints = {"http://192.0.2.1:2379"};
  const absl::Status refused = opened();
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_NE(refused.message().find("https://"), std::string::npos) << refused;
}

}  // namespace
}  // namespace supercloud
