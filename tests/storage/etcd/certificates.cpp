#include "tests/storage/etcd/certificates.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <utility>

namespace supercloud {
namespace {

template <class T>
using Owned = std::unique_ptr<T, void (*)(T*)>;

void check(bool done) {
  if (!done) throw std::runtime_error("no certificate can be made");
}

Owned<FILE> open(const std::string& path, const char* mode) {
  Owned<FILE> file(std::fopen(path.c_str(), mode), [](FILE* of) { std::fclose(of); });
  check(file != nullptr);
  return file;
}

void extend(X509* certificate, X509* issuer, int what, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Owned<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, &context, what, value),
                                        X509_EXTENSION_free);
  check(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1);
}

}  // namespace

void encrypt_key(const std::string& path) {
  const Owned<EVP_PKEY> key(PEM_read_PrivateKey(open(path, "re").get(), nullptr, nullptr, nullptr),
                            EVP_PKEY_free);
  const std::string passphrase = "secret";
  check(PEM_write_PrivateKey(open(path, "we").get(), key.get(), EVP_aes_256_cbc(),
                             reinterpret_cast<const unsigned char*>(passphrase.data()),
                             static_cast<int>(passphrase.size()), nullptr, nullptr) == 1);
}

TestAuthority::TestAuthority(std::string folder, const std::string& name)
    : folder_(std::move(folder)) {
  own_ = make(name, true);
}

CertificateFiles TestAuthority::issue(const std::string& name) const { return make(name, false); }

CertificateFiles TestAuthority::make(const std::string& name, bool authority) const {
  const CertificateFiles files{folder_ + "/" + name + ".crt", folder_ + "/" + name + ".key"};
  const Owned<EVP_PKEY> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const Owned<X509> certificate(X509_new(), X509_free);
  Owned<X509> issuer(nullptr, X509_free);
  Owned<EVP_PKEY> issuer_key(nullptr, EVP_PKEY_free);
  if (!authority) {
    issuer.reset(PEM_read_X509(open(own_.certificate, "re").get(), nullptr, nullptr, nullptr));
    issuer_key.reset(PEM_read_PrivateKey(open(own_.key, "re").get(), nullptr, nullptr, nullptr));
  }
  X509* const by = authority ? certificate.get() : issuer.get();
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), authority ? 1 : 2);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "O", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(by));
  if (authority) {
    extend(certificate.get(), by, NID_basic_constraints, "critical,CA:TRUE");
    extend(certificate.get(), by, NID_key_usage, "critical,keyCertSign");
  } else {
    extend(certificate.get(), by, NID_subject_alt_name, "IP:127.0.0.1");
    extend(certificate.get(), by, NID_ext_key_usage, "serverAuth,clientAuth");
  }
  check(X509_sign(certificate.get(), authority ? key.get() : issuer_key.get(), EVP_sha256()) > 0);
  check(PEM_write_X509(open(files.certificate, "we").get(), certificate.get()) == 1 &&
        PEM_write_PrivateKey(open(files.key, "we").get(), key.get(), nullptr, nullptr, 0, nullptr,
                             nullptr) == 1);
  return files;
}

}  // namespace supercloud
