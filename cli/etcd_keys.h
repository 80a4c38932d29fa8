// [lease.etcd] of a node's file.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/toml_table.h"
#include "storage/etcd/etcd_config.h"

namespace supercloud {

// Mistakes are the table's; paths are relative to the folder of `toml`.
EtcdConfig read_etcd(TomlTable& table, const std::string& toml, const std::string& cluster);
// Lines that read as the same.
std::string to_toml(const EtcdConfig& config);
// FailedPrecondition: a file of it cannot be read. libcurl would say so with every call.
absl::Status check_readable(const EtcdConfig& config);
// The lease table that a node has seen, as its folder's file lease_table says, which is written when it is learned: `failed` if it cannot be.
// FailedPrecondition: the file holds none.
absl::StatusOr<EtcdTableIdentity> remembered_table(const std::filesystem::path& folder,
                                                   std::function<void(absl::Status)> failed);

}  // namespace supercloud
