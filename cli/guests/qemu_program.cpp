#include "cli/guests/qemu_program.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "cli/doctor/probes.h"
#include "cli/measure/guest/guest_bytes.h"
#include "hypercall/qemu/kvm_probe.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;

files::path folder_of_this_program() {
  std::error_code error;
  return files::read_symlink("/proc/self/exe", error).parent_path();
}

}  // namespace

absl::StatusOr<FoundQemu> find_qemu(const std::string& name) {
  FoundQemu found;
  found.program = name.find('/') == std::string::npos ? find_program(name) : name;
  if (found.program.empty())
    return absl::NotFoundError(
        absl::StrCat("there is no ", name,
                     " where programs are looked for; install it (Debian 12: qemu-system-x86 of "
                     "bookworm-backports), or name its path with --qemu; `supercloud doctor` tells "
                     "what else is missing"));
  found.program = files::absolute(found.program).string();
  const auto said = parse_qemu_version(first_line_of(found.program, "--version"));
  if (!said.ok())
    return absl::FailedPreconditionError(
        absl::StrCat(found.program, " does not say which QEMU it is: ", said.status().message(),
                     "; name one that does with --qemu"));
  found.version = *said;
  if (const absl::Status good = check_qemu_version(found.version, found.program); !good.ok())
    return good;
  found.accelerator = probe_kvm_guest().ok() ? QemuAccelerator::kvm : QemuAccelerator::tcg;
  return found;
}

std::string unpacked_qemu() {
  std::error_code error;
  const files::path unpacked = folder_of_this_program().parent_path() / "guest" / "qemu";
  return files::exists(unpacked, error) ? unpacked.string() : std::string();
}

std::string usual_keeper() {
  std::error_code error;
  const files::path here = folder_of_this_program();
  const auto built = here.parent_path() / "hypercall" / "keeper" / "supercloud-keeper";
  const auto beside = here / "supercloud-keeper";
  return files::exists(beside, error) || !files::exists(built, error) ? beside.string()
                                                                      : built.string();
}

absl::Status write_tiny_guest(const files::path& path) {
  std::ofstream file(path, std::ios::binary);
  file << tiny_guest_kernel();
  file.close();
  if (file) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("writing ", path.string(), ": ", std::strerror(errno)));
}

}  // namespace supercloud
