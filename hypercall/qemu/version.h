// Which QEMU it is, and what it may be used for.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace supercloud {

struct QemuVersion {
  int major = 0;
  int minor = 0;
  int micro = 0;
  friend auto operator<=>(const QemuVersion&, const QemuVersion&) = default;
  std::string to_string() const;  // "10.0.2"
};

// Older ones corrupt guests that write their memory while they are sent, when the CPU is emulated; and know no switchover-ack, by
// which a guest is sent without being stopped by QEMU itself.
inline constexpr QemuVersion qemu_version_min{8, 2, 0};

// Of what `qemu-system-x86_64 --version` prints.
absl::StatusOr<QemuVersion> parse_qemu_version(std::string_view printed);
// FailedPrecondition, with the cure.
absl::Status check_qemu_version(const QemuVersion& version, std::string_view program);

}  // namespace supercloud
