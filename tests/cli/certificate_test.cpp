// Certificates of the cluster's own authority, judged by OpenSSL: chains, names, times, and a handshake of both sides.
#include "cli/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <vector>

namespace supercloud {
namespace {

using testing::HasSubstr;

struct FreeSsl {
  void operator()(X509* pointer) const { X509_free(pointer); }
  void operator()(X509_STORE* pointer) const { X509_STORE_free(pointer); }
  void operator()(X509_STORE_CTX* pointer) const { X509_STORE_CTX_free(pointer); }
  void operator()(EVP_PKEY* pointer) const { EVP_PKEY_free(pointer); }
  void operator()(BIO* pointer) const { BIO_free_all(pointer); }
  void operator()(SSL_CTX* pointer) const { SSL_CTX_free(pointer); }
  void operator()(SSL* pointer) const { SSL_free(pointer); }
};
template <class T>
using Owned = std::unique_ptr<T, FreeSsl>;

Owned<BIO> bio_of(const std::string& text) {
  return Owned<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}
Owned<X509> x509(const std::string& pem) {
  return Owned<X509>(PEM_read_bio_X509(bio_of(pem).get(), nullptr, nullptr, nullptr));
}

class CertificateTest : public testing::Test {
 protected:
  const absl::Time now = absl::Now();
  const Validity day{now, absl::Hours(24)};
  std::shared_ptr<const KeyPair> authority = KeyPair::generate(), node = KeyPair::generate();
  const std::string root = authority_certificate(*authority, "tls", day).value();

  std::string issue(std::vector<std::string> hosts, const Validity& validity) {
    const auto pem = issue_certificate(
        *authority, root, {{"node-a", node->public_key()}, std::move(hosts), validity});
    EXPECT_TRUE(pem.ok()) << pem.status();
    return pem.ok() ? *pem : "";
  }

  // What is wrong with it for a client that trusts `trusted` and wants to speak with `host`; empty: nothing.
  static std::string fault(const std::string& pem, const std::string& trusted, absl::Time at,
                           const std::string& host = "", int purpose = X509_PURPOSE_SSL_SERVER) {
    const Owned<X509_STORE> store(X509_STORE_new());
    X509_STORE_add_cert(store.get(), x509(trusted).get());
    const Owned<X509_STORE_CTX> context(X509_STORE_CTX_new());
    const Owned<X509> leaf = x509(pem);
    X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), nullptr);
    X509_VERIFY_PARAM* const wanted = X509_STORE_CTX_get0_param(context.get());
    X509_VERIFY_PARAM_set_time(wanted, absl::ToTimeT(at));
    X509_VERIFY_PARAM_set_purpose(wanted, purpose);
    X509_VERIFY_PARAM_set_flags(wanted, X509_V_FLAG_X509_STRICT);
    if (!host.empty() && X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str()) != 1)
      X509_VERIFY_PARAM_set1_host(wanted, host.c_str(), 0);
    ERR_clear_error();
    if (X509_verify_cert(context.get()) == 1) return "";
    return X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()));
  }
};

TEST_F(CertificateTest, IsGoodForItsNamesItsTimeAndItsAuthority) {
  const std::string pem = issue({"node-a.example", "10.0.0.1", "::1"}, day);
  for (const char* host : {"node-a.example", "10.0.0.1", "::1"})
    EXPECT_EQ(fault(pem, root, now, host), "");
  EXPECT_THAT(fault(pem, root, now, "node-b.example"), HasSubstr("ostname mismatch"));
  EXPECT_THAT(fault(pem, root, now, "10.0.0.2"), HasSubstr("IP address mismatch"));
  EXPECT_EQ(fault(pem, root, now - absl::Minutes(4)), "") << "clocks differ";
  EXPECT_THAT(fault(pem, root, now - absl::Minutes(6)), HasSubstr("not yet valid"));
  EXPECT_THAT(fault(pem, root, now + absl::Hours(25)), HasSubstr("expired"));
  const auto other = KeyPair::generate();
  EXPECT_NE(fault(pem, authority_certificate(*other, "tls", day).value(), now), "");
}

TEST_F(CertificateTest, WithoutAHostIsForAClientAlone) {
  const std::string pem = issue({}, day);
  EXPECT_EQ(fault(pem, root, now, "", X509_PURPOSE_SSL_CLIENT), "");
  EXPECT_NE(fault(pem, root, now, "", X509_PURPOSE_SSL_SERVER), "");
}

TEST_F(CertificateTest, IssuesNoOthers) {
  const std::string pem = issue({"node-a.example"}, day);
  const auto third = issue_certificate(*node, pem, {{"node-b", authority->public_key()}, {}, day});
  EXPECT_THAT(std::string(third.status().message()), HasSubstr("nobody who may issue others"));
}

TEST_F(CertificateTest, EachHasANumberOfItsOwn) {
  const Owned<X509> a = x509(issue({}, day)), b = x509(issue({}, day));
  EXPECT_NE(ASN1_INTEGER_cmp(X509_get0_serialNumber(a.get()), X509_get0_serialNumber(b.get())), 0);
}

TEST_F(CertificateTest, AnAuthorityThatIsNoneIsToldApart) {
  const CertificateWish wish{{"node-a", node->public_key()}, {}, day};
  const auto why = [&](const KeyPair& key, const std::string& certificate,
                       const CertificateWish& wanted) {
    return std::string(issue_certificate(key, certificate, wanted).status().message());
  };
  EXPECT_THAT(why(*authority, "", wish), HasSubstr("no certificate in PEM"));
  EXPECT_THAT(why(*authority, root.substr(0, root.size() / 2), wish), HasSubstr("in PEM"));
  EXPECT_THAT(why(*node, root, wish), HasSubstr("another key"));
  CertificateWish late = wish;
  late.validity.from = now + absl::Hours(25);
  EXPECT_THAT(why(*authority, root, late), HasSubstr("has ended"));
}

TEST_F(CertificateTest, WhatX509HasNoRoomForIsRefused) {
  for (const char* host : {"", "-a", "a..b", "a b", "a,IP:1.2.3.4", "*.example", "caf\xc3\xa9"}) {
    const auto refused =
        issue_certificate(*authority, root, {{"node-a", node->public_key()}, {host}, day});
    EXPECT_TRUE(absl::IsInvalidArgument(refused.status())) << host;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(
      authority_certificate(*authority, std::string(65, 'x'), day).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(authority_certificate(*authority, "", day).status()));
  for (const absl::Duration span : {absl::ZeroDuration(), absl::Hours(24 * 4000)})
    EXPECT_TRUE(
        absl::IsInvalidArgument(authority_certificate(*authority, "tls", {now, span}).status()));
}

// Over memory, each side with the certificate and the key that it would have in files.
TEST_F(CertificateTest, TwoNodesShakeHandsAndAStrangerDoesNot) {
  const auto other = KeyPair::generate();
  const auto side = [&](const SSL_METHOD* method, const KeyPair& key, const std::string& pem) {
    Owned<SSL_CTX> context(SSL_CTX_new(method));
    const std::string secret = private_key_pem(key).value();
    const Owned<EVP_PKEY> own(
        PEM_read_bio_PrivateKey(bio_of(secret).get(), nullptr, nullptr, nullptr));
    EXPECT_EQ(SSL_CTX_use_certificate(context.get(), x509(pem).get()), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey(context.get(), own.get()), 1) << "the same key";
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), x509(root).get());
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    return context;
  };
  const auto shake = [&](const std::string& client_pem) {
    const auto server_context = side(TLS_server_method(), *node, issue({"node-a.example"}, day));
    const auto client_context = side(TLS_client_method(), *other, client_pem);
    const Owned<SSL> server(SSL_new(server_context.get())), client(SSL_new(client_context.get()));
    BIO* to_server = BIO_new(BIO_s_mem());
    BIO* to_client = BIO_new(BIO_s_mem());
    BIO_up_ref(to_server);
    BIO_up_ref(to_client);
    SSL_set_bio(server.get(), to_server, to_client);
    SSL_set_bio(client.get(), to_client, to_server);
    SSL_set_accept_state(server.get());
    SSL_set_connect_state(client.get());
    SSL_set1_host(client.get(), "node-a.example");
    for (int round = 0; round < 10; ++round) {
      SSL_do_handshake(client.get());
      SSL_do_handshake(server.get());
    }
    ERR_clear_error();
    return SSL_is_init_finished(server.get()) == 1 && SSL_is_init_finished(client.get()) == 1;
  };
  const auto mine = issue_certificate(*authority, root, {{"node-b", other->public_key()}, {}, day});
  EXPECT_TRUE(shake(mine.value()));
  const auto stranger = KeyPair::generate();
  const std::string strange_root = authority_certificate(*stranger, "tls", day).value();
  const auto foreign =
      issue_certificate(*stranger, strange_root, {{"node-b", other->public_key()}, {}, day});
  EXPECT_FALSE(shake(foreign.value()));
}

}  // namespace
}  // namespace supercloud
