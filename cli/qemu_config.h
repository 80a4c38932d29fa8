// The table [host.qemu] of a node's configuration: its guests are real, and QEMU runs them.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "cli/toml_table.h"

namespace supercloud {

// What VMs that name it start from.
struct QemuImage {
  std::string kernel, initrd, arguments;
};

struct QemuConfig {
  std::string program =
      "qemu-system-x86_64";  // a path, or a name that is looked for as a shell does
  enum class Accelerator : std::uint8_t {
    automatic,  // KVM where it runs guests, else emulation
    kvm,
    tcg,
  } accelerator = Accelerator::automatic;
  std::string cpu;     // empty: all that the emulation has, or the machine's own
  std::string keeper;  // empty: beside this program
  std::string run;     // folder of the guests' sockets; empty: below the node's
  // Where streams of memory come in, and how sources reach it; empty: beside the links, and there
  std::string streams, streams_reached_at;
  // Of [host.qemu.tls], PEM; all or none
  std::string tls_authority, tls_certificate, tls_key;
  std::map<std::string, QemuImage> images;
};

// Complains of what is wrong. Paths are relative to the folder of the file `toml`.
QemuConfig read_qemu(TomlTable& table, const std::string& toml);
// With the tables' names.
std::string to_toml(const QemuConfig& qemu);

}  // namespace supercloud
