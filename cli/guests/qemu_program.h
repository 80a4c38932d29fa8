// What real guests take on this machine, as commands look for it before they start nodes.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hypercall/qemu/machine.h"
#include "hypercall/qemu/version.h"

namespace supercloud {

struct FoundQemu {
  std::string program;  // its path
  QemuVersion version;
  QemuAccelerator accelerator = QemuAccelerator::tcg;  // KVM where it runs guests

  const char* accelerator_name() const {
    return accelerator == QemuAccelerator::kvm ? "kvm" : "tcg";
  }
};

// By a path, or by a name that is looked for as a shell does; of a version that moves guests whole, as a node asks for.
// NotFound, FailedPrecondition: with the cure.
absl::StatusOr<FoundQemu> find_qemu(const std::string& name);
// Where `make guests` unpacks it beside this program, as that is built; empty: there is none.
std::string unpacked_qemu();
// supercloud-keeper as it is installed, or as it is built, beside this program.
std::string usual_keeper();
// The kernel of cli/measure/guest. Unavailable.
absl::Status write_tiny_guest(const std::filesystem::path& path);

}  // namespace supercloud
