#include "cli/certificate.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr absl::Duration clocks_differ = absl::Minutes(5);
constexpr absl::Duration span_max = absl::Hours(24 * 3660);
constexpr int serial_bits = 159;             // RFC 5280, 4.1.2.2: at most 20 octets, positive
constexpr std::size_t common_name_max = 64;  // ub-common-name
constexpr std::size_t host_bytes_max = 253;
constexpr std::size_t hosts_max = 100;

template <auto free_function>
struct Free {
  template <class T>
  void operator()(T* pointer) const {
    free_function(pointer);
  }
};
using Pkey = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Memory = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Number = std::unique_ptr<BIGNUM, Free<BN_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>>;

absl::Status openssl_failed(std::string_view what) {
  std::string why;
  for (unsigned long code = ERR_get_error(); code != 0; code = ERR_get_error()) {
    const char* const reason = ERR_reason_error_string(code);
    absl::StrAppend(&why, ": ", reason == nullptr ? "no reason" : reason);
  }
  return absl::InternalError(absl::StrCat("OpenSSL: ", absl_view(what), why));
}

// Behind the colon of a key's text form.
std::string key_of_text(const std::string& text) {
  std::string bytes;
  absl::WebSafeBase64Unescape(text.substr(text.find(':') + 1), &bytes);
  return bytes;
}

const unsigned char* octets(const std::string& bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

Pkey private_key(const KeyPair& key) {
  std::string text = key.secret_text();
  std::string seed = key_of_text(text);
  Pkey result(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, octets(seed), seed.size()));
  OPENSSL_cleanse(text.data(), text.size());
  OPENSSL_cleanse(seed.data(), seed.size());
  return result;
}

Pkey public_key(const PublicKey& key) {
  const std::string bytes = key_of_text(key.text());
  return Pkey(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, octets(bytes), bytes.size()));
}

absl::StatusOr<std::string> text_of(const Memory& memory) {
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &bytes);
  if (size <= 0) return openssl_failed("nothing was written");
  return std::string(bytes, static_cast<std::size_t>(size));
}

absl::StatusOr<std::string> pem(X509* certificate) {
  const Memory memory(BIO_new(BIO_s_mem()));
  if (memory == nullptr || PEM_write_bio_X509(memory.get(), certificate) != 1)
    return openssl_failed("the certificate cannot be written");
  return text_of(memory);
}

// "DNS:a,IP:::1"; an address is one by its form.
absl::StatusOr<std::string> alternative_names(const std::vector<std::string>& hosts) {
  if (hosts.size() > hosts_max)
    return absl::InvalidArgumentError(
        absl::StrCat(hosts.size(), " hosts are more than ", hosts_max));
  std::vector<std::string> names;
  for (const std::string& host : hosts) {
    unsigned char address[sizeof(in6_addr)];
    if (::inet_pton(AF_INET, host.c_str(), address) == 1 ||
        ::inet_pton(AF_INET6, host.c_str(), address) == 1) {
      names.push_back("IP:" + host);
      continue;
    }
    const auto good = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    };
    const std::vector<std::string> labels = absl::StrSplit(host, '.');
    const bool named = host.size() <= host_bytes_max &&
                       std::all_of(labels.begin(), labels.end(), [&](const std::string& label) {
                         return !label.empty() && label.size() <= 63 && label.front() != '-' &&
                                label.back() != '-' &&
                                std::all_of(label.begin(), label.end(), good);
                       });
    if (!named)
      return absl::InvalidArgumentError(
          absl::StrCat("\"", host, "\" is neither a DNS name nor an IP address"));
    names.push_back("DNS:" + host);
  }
  return absl::StrJoin(names, ",");
}

bool extend(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

absl::Status check_wish(const std::string& name, const Validity& validity) {
  if (name.empty() || name.size() > common_name_max)
    return absl::InvalidArgumentError(absl::StrCat(
        "a name of ", name.size(), " bytes: X.509 has room for 1 to ", common_name_max));
  if (validity.span < absl::Minutes(1) || validity.span > span_max)
    return absl::InvalidArgumentError(
        absl::StrCat("a certificate holds for a minute at least and for ten years at most, not ",
                     absl::FormatDuration(validity.span)));
  return absl::OkStatus();
}

// What every certificate has; without issuer and signature.
absl::StatusOr<Certificate> blank(const std::string& name, const Validity& validity,
                                  const Pkey& subject) {
  if (absl::Status good = check_wish(name, validity); !good.ok()) return good;
  Certificate certificate(X509_new());
  const Number serial(BN_new());
  if (certificate == nullptr || serial == nullptr || subject == nullptr)
    return openssl_failed("no memory, or no key");
  const bool done =
      X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
      BN_rand(serial.get(), serial_bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get())) != nullptr &&
      ASN1_TIME_set(X509_getm_notBefore(certificate.get()),
                    absl::ToTimeT(validity.from - clocks_differ)) != nullptr &&
      ASN1_TIME_set(X509_getm_notAfter(certificate.get()),
                    absl::ToTimeT(validity.from + validity.span)) != nullptr &&
      X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                                 octets(name), static_cast<int>(name.size()), -1, 0) == 1 &&
      X509_set_pubkey(certificate.get(), subject.get()) == 1;
  if (!done) return openssl_failed("the certificate cannot be filled in");
  return certificate;
}

// Ed25519 hashes by itself: no digest is named.
absl::StatusOr<std::string> signed_by(const Pkey& authority, const Certificate& certificate) {
  if (authority == nullptr || X509_sign(certificate.get(), authority.get(), nullptr) <= 0)
    return openssl_failed("the certificate cannot be signed");
  return pem(certificate.get());
}

absl::StatusOr<Certificate> read_authority(const Pkey& authority, std::string_view text,
                                           absl::Time now) {
  const Memory memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  Certificate certificate(
      memory == nullptr ? nullptr : PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  if (certificate == nullptr) return absl::FailedPreconditionError("is no certificate in PEM");
  if (X509_check_ca(certificate.get()) != 1)
    return absl::FailedPreconditionError(
        "is of nobody who may issue others: `supercloud keys authority` makes one that is");
  if (authority == nullptr || X509_check_private_key(certificate.get(), authority.get()) != 1) {
    ERR_clear_error();
    return absl::FailedPreconditionError("is of another key than the authority's");
  }
  std::time_t at = absl::ToTimeT(now);
  if (X509_cmp_time(X509_get0_notAfter(certificate.get()), &at) <= 0)
    return absl::FailedPreconditionError(
        "has ended: make a new one with `supercloud keys authority`");
  return certificate;
}

}  // namespace

absl::StatusOr<std::string> authority_certificate(const KeyPair& authority, const std::string& name,
                                                  const Validity& validity) {
  const Pkey key = private_key(authority);
  auto certificate = blank(name, validity, key);
  if (!certificate.ok()) return certificate.status();
  X509* const own = certificate->get();
  const bool done = X509_set_issuer_name(own, X509_get_subject_name(own)) == 1 &&
                    extend(own, own, NID_subject_key_identifier, "hash") &&
                    extend(own, own, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                    extend(own, own, NID_key_usage, "critical,keyCertSign,cRLSign");
  if (!done) return openssl_failed("an authority's certificate cannot be made");
  return signed_by(key, *certificate);
}

absl::StatusOr<std::string> issue_certificate(const KeyPair& authority,
                                              std::string_view authority_certificate,
                                              const CertificateWish& wish) {
  const Pkey key = private_key(authority);
  const auto issuer = read_authority(key, authority_certificate, wish.validity.from);
  if (!issuer.ok()) return issuer.status();
  const auto hosts = alternative_names(wish.hosts);
  if (!hosts.ok()) return hosts.status();
  auto certificate = blank(wish.subject.name, wish.validity, public_key(wish.subject.key));
  if (!certificate.ok()) return certificate.status();
  X509* const own = certificate->get();
  const std::string purposes = hosts->empty() ? "clientAuth" : "serverAuth,clientAuth";
  const bool done =
      X509_set_issuer_name(own, X509_get_subject_name(issuer->get())) == 1 &&
      extend(own, issuer->get(), NID_subject_key_identifier, "hash") &&
      extend(own, issuer->get(), NID_authority_key_identifier, "keyid:always") &&
      extend(own, issuer->get(), NID_basic_constraints, "critical,CA:FALSE") &&
      // Not critical: QEMU below 10.1 wants keyEncipherment then, which RFC 8410 forbids.
      extend(own, issuer->get(), NID_key_usage, "digitalSignature") &&
      extend(own, issuer->get(), NID_ext_key_usage, purposes) &&
      (hosts->empty() || extend(own, issuer->get(), NID_subject_alt_name, *hosts));
  if (!done) return openssl_failed("the certificate cannot be made");
  return signed_by(key, *certificate);
}

absl::StatusOr<std::string> private_key_pem(const KeyPair& key) {
  const Pkey secret = private_key(key);
  const Memory memory(BIO_new(BIO_s_secmem()));
  if (secret == nullptr || memory == nullptr ||
      PEM_write_bio_PKCS8PrivateKey(memory.get(), secret.get(), nullptr, nullptr, 0, nullptr,
                                    nullptr) != 1)
    return openssl_failed("the key cannot be written");
  return text_of(memory);
}

}  // namespace supercloud
