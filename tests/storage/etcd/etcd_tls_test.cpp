// Whom nodes and etcd trust: real certificates, a real etcd that lets in none without one.
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

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

// On a terminal OpenSSL would ask whoever sits there for the passphrase, and wait.
TEST_F(EtcdOverTls, a_key_that_is_encrypted_is_named_and_nobody_is_asked_for_its_passphrase) {
  encrypt_key(config.key);
  int terminal = -1;
  const pid_t process = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  ASSERT_GE(process, 0);
  if (process == 0) {
    EventLoop own_loop;
    const auto nodes = make_etcd_lease_table(own_loop, config, absl::Seconds(3));
    std::optional<absl::Status> told;
    nodes->open_session({"a", "disk"}, Reply<Session>(own_loop.clock().now() + absl::Seconds(1),
                                                      [&](const absl::StatusOr<Session>& answer) {
                                                        told = answer.status();
                                                      }));
    own_loop.run_until([&] { return told.has_value(); }, patience);
    const bool named = told && absl::IsFailedPrecondition(*told) &&
                       told->message().find(config.key) != std::string::npos;
    ::_exit(named ? 0 : 1);
  }
  std::string said;
  char bytes[256];
  pollfd readable{.fd = terminal, .events = POLLIN, .revents = 0};
  ssize_t got = 0;
  do {
    const int ready = ::poll(&readable, 1, static_cast<int>(absl::ToInt64Milliseconds(patience)));
    got = ready == 1 ? ::read(terminal, bytes, sizeof bytes) : 0;
    if (got > 0) said.append(bytes, static_cast<std::size_t>(got));
  } while (got > 0 && said.find("pass phrase") == std::string::npos);
  ::close(terminal);
  if (!said.empty() || got == 0) ::kill(process, SIGKILL);  // else it has hung up, for it ends
  int status = -1;
  ::waitpid(process, &status, 0);
  EXPECT_EQ(said, "");
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_F(EtcdOverTls, to_another_machine_nothing_is_said_unencrypted) {
  config.endpoints = {"http://192.0.2.1:2379"};
  const absl::Status refused = opened();
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_NE(refused.message().find("https://"), std::string::npos) << refused;
}

}  // namespace
}  // namespace supercloud
