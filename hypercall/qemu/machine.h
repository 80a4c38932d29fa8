// What a guest is made of, and the command line that makes it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/schema/types.capnp.h"

namespace supercloud {

struct QemuDisk {
  // One of the two: a raw image, or the NBD server at "unix:/path" or "tcp:1.2.3.4:port".
  std::string file;
  std::string nbd;
  std::string nbd_export;
};

struct QemuNic {
  std::string
      tap;  // an interface that exists; empty: QEMU's own network for users, behind this host
  std::vector<std::string> forwards;  // of the latter, as "tcp:127.0.0.1:8080-:80"
  std::string mac;                    // empty: of QEMU's choice, the same for each guest
};

// What the product does not know of a VM: it comes from outside.
struct QemuGuest {
  std::string image;  // named in errors; empty: it has no name
  // Starts this kernel (an ELF file that starts by itself, or a bzImage), or the first disk.
  std::string kernel;
  std::string initrd;
  std::string append;
  std::vector<QemuDisk> disks;
  std::vector<QemuNic> nics;
  // The same on both sides of a move, whatever their QEMUs: one that the oldest of them knows.
  std::string machine = "pc-q35-8.2";
  std::string cpu;  // empty: max under TCG, host under KVM
};

// By the image that a VM names; one that names none is the usual one.
struct QemuGuests {
  QemuGuest usual;
  std::map<std::string, QemuGuest> images;
  // With the VM's own arguments. FailedPrecondition: there is no such image, or it names none and there is no usual one; with the cure.
  absl::StatusOr<QemuGuest> of(schema::VmSpec::Reader spec) const;
};

enum class QemuAccelerator : std::uint8_t { tcg, kvm };

struct QemuStart {
  std::string program;
  QemuAccelerator accelerator = QemuAccelerator::tcg;
  std::string vm;
  std::uint64_t memory_bytes = 0;
  std::uint32_t cpus = 1;
  std::string folder;  // of its sockets, "qmp" and "console"
  bool incoming = false;
};

inline constexpr std::uint64_t qemu_memory_step = 2 << 20;

// What is missing or contradicts itself, with the cure; files are looked for.
absl::Status check_guest(const QemuGuest& guest, const std::string& vm);
// Program and arguments; the guest is stopped when it is up. Pure.
std::vector<std::string> qemu_command(const QemuStart& start, const QemuGuest& guest);

}  // namespace supercloud
