// [lease.etcd] of a node's file.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/toml_table.h"
#include "storage/etcd/etcd_config.h"

namespace supercloud {

// Mistakes are the table's; paths are relative to the folder of `toml`.
EtcdConfig read_etcd(TomlTable& table, const std::string& toml, const std::string& cluster);
// Lines that read as the same.
std::string to_toml(const EtcdConfig& config);
// FailedPrecondition: a file of it cannot be read. libcurl would say so with every call.
absl::Status check_readable(const EtcdConfig& config);

}  // namespace supercloud
