// The description of a virtual machine, as its user writes it: a TOML file (examples/vm.toml has every key).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/message.h"

namespace supercloud {

// InvalidArgument: one line for each mistake, "file:line: key: what; cure". `policies`: those that there are.
// `default_tenant` where the file names none; a file that names another one than `tenant_asked` (if not empty) is a mistake.
struct VmFileOptions {
  std::vector<std::string> policies;
  std::string tenant_asked;
};

absl::StatusOr<Message<schema::VmSpec>> parse_vm_file(std::string_view toml,
                                                      const std::string& file_name,
                                                      const VmFileOptions& options);
// NotFound, PermissionDenied or what else kept the file from being read.
absl::StatusOr<Message<schema::VmSpec>> read_vm_file(const std::string& path,
                                                     const VmFileOptions& options);

// "256MiB", "1 GiB", "4096": bytes. Decimal units (kB, MB, GB, TB) and binary ones (KiB, MiB, GiB, TiB).
absl::StatusOr<std::uint64_t> parse_bytes(std::string_view text);
// "256 MiB": the largest binary unit that leaves no rest.
std::string format_bytes(std::uint64_t bytes);

// In what two descriptions differ, "memory: 256 MiB there, 512 MiB here", but for what commands change (running, paused).
std::vector<std::string> spec_differences(schema::VmSpec::Reader there,
                                          schema::VmSpec::Reader here);

}  // namespace supercloud
