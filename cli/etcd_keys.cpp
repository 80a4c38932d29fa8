#include "cli/etcd_keys.h"

#include <unistd.h>

#include <array>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/replace_file.h"
#include "cli/toml_text.h"
#include "core/http/url.h"

namespace supercloud {
namespace {

template <class Config>  // perhaps const
auto files_of(Config& config) {
  return std::array{std::pair("ca", &config.ca), std::pair("certificate", &config.certificate),
                    std::pair("key", &config.key)};
}

}  // namespace

EtcdConfig read_etcd(TomlTable& table, const std::string& toml, const std::string& cluster) {
  EtcdConfig etcd;
  etcd.endpoints = table.texts("endpoints");
  if (etcd.endpoints.empty())
    table.complain("endpoints",
                   "is missing: write those of etcd's members, as [\"https://10.0.0.1:2379\"]");
  for (const std::string& endpoint : etcd.endpoints) {
    const auto origin = url_origin(endpoint);
    if (!origin.ok())
      table.complain("endpoints",
                     absl::StrCat("has one that is no URL: ", origin.status().message()));
    else if (endpoint.find('/', endpoint.find("//") + 2) != std::string::npos)
      table.complain("endpoints", absl::StrCat("has ", endpoint,
                                               ", which has more than scheme, "
                                               "address and port: end it behind the port"));
    else if (origin->scheme != "https" && !origin->is_loopback())
      table.complain("endpoints",
                     absl::StrCat("has ", endpoint, ", which is not encrypted: write https://"));
  }
  for (const auto& [key, path] : files_of(etcd))
    if (table.has(key)) *path = path_beside(toml, table.required_text(key));
  if (etcd.certificate.empty() != etcd.key.empty())
    table.complain(etcd.key.empty() ? "certificate" : "key",
                   etcd.key.empty() ? "needs its key beside it: write key = \"node.key\""
                                    : "needs its certificate beside it: write certificate = "
                                      "\"node.crt\"");
  etcd.prefix = table.text("prefix", absl::StrCat("/supercloud/", cluster, "/"));
  if (!etcd.prefix.ends_with('/'))
    table.complain("prefix", "has to end with a slash, as \"/supercloud/\"");
  return etcd;
}

std::string to_toml(const EtcdConfig& config) {
  std::string toml = absl::StrCat("endpoints = ", toml_texts(config.endpoints),
                                  "\nprefix = ", toml_text(config.prefix), "\n");
  for (const auto& [key, path] : files_of(config))
    if (!path->empty()) absl::StrAppend(&toml, key, " = ", toml_text(*path), "\n");
  return toml;
}

absl::Status check_readable(const EtcdConfig& config) {
  for (const auto& [key, path] : files_of(config))
    if (!path->empty() && ::access(path->c_str(), R_OK) != 0)
      return absl::FailedPreconditionError(
          absl::StrCat("lease.etcd.", key, ": ", *path, " cannot be read"));
  return absl::OkStatus();
}

absl::StatusOr<EtcdTableIdentity> remembered_table(const std::filesystem::path& folder,
                                                   std::function<void(absl::Status)> failed) {
  const std::filesystem::path path = folder / "lease_table";
  EtcdTableIdentity table;
  std::error_code error;
  if (std::filesystem::exists(path, error) || error) {
    std::ifstream file(path);
    std::getline(file, table.known);
    if (!is_table_identity(table.known))
      return absl::FailedPreconditionError(absl::StrCat(
          path.string(), " cannot be read, or is no lease table's identity; write there what ",
          "another node of the cluster has in its file of that name, or destroy all VMs and remove "
          "it"));
  }
  table.on_learned = [path, failed = std::move(failed)](const std::string& identity) {
    if (absl::Status kept = replace_file(path, identity + "\n"); !kept.ok())
      failed(std::move(kept));
  };
  return table;
}

}  // namespace supercloud
