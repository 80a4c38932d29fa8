#include "hypercall/qemu/tls.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "hypercall/qemu/copy.h"

namespace supercloud {

absl::Status make_tls_folder(const QemuTls& tls) {
  namespace files = std::filesystem;
  if (!tls.used()) return absl::OkStatus();
  std::error_code error;
  files::remove_all(tls.folder, error);
  files::create_directories(tls.folder, error);
  if (!error) files::permissions(tls.folder, files::perms::owner_all, error);
  const std::pair<const char*, const std::string*> links[] = {{"ca-cert.pem", &tls.authority},
                                                              {"server-cert.pem", &tls.certificate},
                                                              {"client-cert.pem", &tls.certificate},
                                                              {"server-key.pem", &tls.key},
                                                              {"client-key.pem", &tls.key}};
  for (const auto& [name, file] : links) {
    if (::access(file->c_str(), R_OK) != 0)
      return absl::FailedPreconditionError(
          absl::StrCat(*file, ": ", std::strerror(errno),
                       "; `supercloud keys` makes authority, certificate and key (authority, "
                       "certify, pem)"));
    if (!error)
      files::create_symlink(files::absolute(*file), files::path(tls.folder) / name, error);
  }
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("making ", tls.folder, " for QEMU: ", error.message()));
}

std::string tls_host_of(const std::string& endpoint) {
  if (!endpoint.starts_with("tcp:")) return "localhost";
  std::string host = endpoint.substr(4, endpoint.rfind(':') - 4);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return host;
}

void set_tls(QemuCopy& copy, const QemuTls& tls, QemuTlsEnd end, const std::string& host,
             absl::AnyInvocable<void(const absl::Status& set) &&> then) {
  const bool source = end == QemuTlsEnd::source;
  const std::string id = source ? "tls-source" : "tls-target";
  const auto set = [&copy, parameters = QmpValue{{"tls-creds", tls.used() ? id : ""},
                                                 {"tls-hostname", host}}](auto done) {
    copy.ask("migrate-set-parameters", parameters,
             [done = std::move(done)](const absl::StatusOr<QmpValue>& answer) mutable {
               std::move(done)(answer.status());
             });
  };
  // Of an earlier transfer: its files may have been renewed.
  copy.ask("object-del", {{"id", id}}, [](const absl::StatusOr<QmpValue>&) {});
  if (!tls.used()) return set(std::move(then));
  copy.ask("object-add",
           {{"qom-type", "tls-creds-x509"},
            {"id", id},
            {"dir", tls.folder},
            {"endpoint", source ? "client" : "server"},
            {"verify-peer", true}},
           [set, then = std::move(then)](const absl::StatusOr<QmpValue>& added) mutable {
             if (!added.ok()) return std::move(then)(added.status());
             set(std::move(then));
           });
}

}  // namespace supercloud
