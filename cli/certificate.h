// X.509 certificates (RFC 5280) of a cluster's own authority, for whatever speaks TLS: page streams between hypervisors, etcd, a proxy in
// front of a gateway. Who is named in one is known by the same Ed25519 key (RFC 8410) as on the bus.
//
// An authority is a key, too, and a certificate that the key has signed itself. What it issues is short-lived: there are no lists of
// revoked certificates, so a stolen key is believed until its certificate ends.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bus/key.h"

namespace supercloud {

struct Validity {
  absl::Time from;  // five minutes before it, as clocks differ
  absl::Duration span;
};

struct CertificateWish {
  NamedKey subject;  // whose; the name becomes the common name
  std::vector<std::string>
      hosts;  // DNS names and IP addresses under which it is reached; none: for a client alone
  Validity validity;
};

// All are PEM (RFC 7468). InvalidArgument: a name or a span that X.509 has no room for; Internal: OpenSSL's own words.
absl::StatusOr<std::string> authority_certificate(const KeyPair& authority, const std::string& name,
                                                  const Validity& validity);
// FailedPrecondition: `certificate` is none of an authority, has ended, or is of another key.
absl::StatusOr<std::string> issue_certificate(const KeyPair& authority,
                                              std::string_view certificate,
                                              const CertificateWish& wish);
// The secret as PKCS#8, which TLS libraries read.
absl::StatusOr<std::string> private_key_pem(const KeyPair& key);

}  // namespace supercloud
