// TLS of the streams between QEMUs, which speak it themselves: the target as the server, and both ends show a certificate of an
// authority that the other believes. A host that has certificates neither sends nor takes memory without TLS.
#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

namespace supercloud {

class QemuCopy;

// PEM files. QEMU reads them as a transfer begins: who renews them restarts nothing.
struct QemuTls {
  std::string authority;    // that is believed; empty: there is no TLS here
  std::string certificate;  // of this host, for the address at which its links are reached
  std::string key;          // the secret of that
  std::string folder;  // to make, in which QEMU finds them under the names that it has for them

  bool used() const { return !authority.empty(); }
};

// FailedPrecondition, or Unavailable: a file is not to be read, or the folder not made; with the cure.
absl::Status make_tls_folder(const QemuTls& tls);

// What a certificate of who is reached at the endpoint has to be for: "tcp:10.0.0.1:7002" is "10.0.0.1", "unix:/path" "localhost".
std::string tls_host_of(const std::string& endpoint);

enum class QemuTlsEnd : std::uint8_t { target, source };

// QEMU's next migration speaks TLS, or does not if that is not used here. `host`: of the target, for the source's QEMU to insist on.
// An error is of what QEMU finds wrong with the files, in its words.
void set_tls(QemuCopy& copy, const QemuTls& tls, QemuTlsEnd end, const std::string& host,
             absl::AnyInvocable<void(const absl::Status& set) &&> then);

}  // namespace supercloud
