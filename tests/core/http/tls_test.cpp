// Whom CurlHttp trusts: a server with a certificate of its own making, on loopback.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/http/curl_http.h"
#include "gtest/gtest.h"
#include "tests/core/http/http_server.h"

namespace supercloud {
namespace {

constexpr Duration tls_patience = absl::Seconds(20);

template <class T>
using Owned = std::unique_ptr<T, void (*)(T*)>;

// Serves one connection after the other, on a thread of its own.
class TlsServer {
 public:
  explicit TlsServer(std::string certificate_file)
      : file_(std::move(certificate_file)),
        context_(SSL_CTX_new(TLS_server_method()), SSL_CTX_free) {
    certify();
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 4), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~TlsServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    ::unlink(file_.c_str());
  }
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  std::string url(const std::string& host) const {
    return absl::StrCat("https://", host, ":", port_, "/");
  }

 private:
  // For 127.0.0.1 alone.
  void certify() {
    const Owned<EVP_PKEY> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const Owned<X509> certificate(X509_new(), X509_free);
    X509_set_version(certificate.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
    X509_set_pubkey(certificate.get(), key.get());
    X509_NAME* name = X509_get_subject_name(certificate.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("a test"), -1, -1, 0);
    X509_set_issuer_name(certificate.get(), name);
    const Owned<X509_EXTENSION> names(
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1"),
        X509_EXTENSION_free);
    X509_add_ext(certificate.get(), names.get(), -1);
    EXPECT_GT(X509_sign(certificate.get(), key.get(), EVP_sha256()), 0);
    EXPECT_EQ(SSL_CTX_use_certificate(context_.get(), certificate.get()), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey(context_.get(), key.get()), 1);
    FILE* file = std::fopen(file_.c_str(), "we");
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(PEM_write_X509(file, certificate.get()), 1);
    std::fclose(file);
  }
  void serve() {
    // OpenSSL writes as it likes, to clients that have gone too.
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    while (true) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      const Owned<SSL> tls(SSL_new(context_.get()), SSL_free);
      SSL_set_fd(tls.get(), fd);
      std::array<char, 4096> request{};
      if (SSL_accept(tls.get()) == 1 &&
          SSL_read(tls.get(), request.data(), static_cast<int>(request.size())) > 0) {
        const std::string answer = http_answer(200, "encrypted", "Connection: close\r\n");
        SSL_write(tls.get(), answer.data(), static_cast<int>(answer.size()));
        SSL_shutdown(tls.get());
      }
      ::close(fd);
    }
  }

  std::string file_;
  Owned<SSL_CTX> context_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

TEST(Tls, OnlyAServerWhoseCertificateIsTrustedAndBearsItsNameIsSpokenTo) {
  const std::string file = absl::StrCat(testing::TempDir(), "/supercloud-tls-", ::getpid(), ".pem");
  const TlsServer server(file);
  EventLoop loop;
  const auto ask = [&](const CurlHttpOptions& options, const std::string& host) {
    CurlHttp client(loop, options);
    std::optional<absl::StatusOr<HttpAnswer>> told;
    client.send({.url = server.url(host)},
                Reply<HttpAnswer>(
                    loop.clock().now() + tls_patience,
                    [&told](absl::StatusOr<HttpAnswer> answer) { told = std::move(answer); }));
    EXPECT_TRUE(loop.run_until([&] { return told.has_value(); }, tls_patience));
    return *told;
  };
  CurlHttpOptions trusting;
  trusting.ca_file = file;
  const auto good = ask(trusting, "127.0.0.1");
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->body, "encrypted");
  const auto unknown = ask({}, "127.0.0.1");
  EXPECT_TRUE(absl::IsFailedPrecondition(unknown.status())) << unknown.status();
  EXPECT_NE(unknown.status().message().find("ca-certificates"), std::string::npos);
  const auto other_name = ask(trusting, "localhost");
  EXPECT_TRUE(absl::IsFailedPrecondition(other_name.status())) << other_name.status();
}

}  // namespace
}  // namespace supercloud
