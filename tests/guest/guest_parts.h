// What a test guest is made of, where it was built (README.md), and what to start it with.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace supercloud {

struct GuestParts {
  std::string qemu;       // a program that takes QEMU's arguments
  std::string kernel;     // vmlinux, for -kernel: started by its PVH entry
  std::string initramfs;  // for -initrd
  // Why there is no guest here, for GTEST_SKIP(); empty: there is.
  std::string missing;

  static GuestParts find() {
    const char* folder = std::getenv("SUPERCLOUD_GUEST");  // set by meson
    const std::string at = folder == nullptr ? "build/guest" : folder;
    GuestParts parts{at + "/qemu", at + "/vmlinux", at + "/initramfs.cpio.gz", ""};
    for (const std::string* file : {&parts.qemu, &parts.kernel, &parts.initramfs})
      if (::access(file->c_str(), R_OK) != 0)
        parts.missing = "no test guest here; make build/guest/initramfs.cpio.gz";
    return parts;
  }

  // For -append. `address` as "10.0.2.15/24"; empty: no network.
  static std::string kernel_arguments(const std::string& address, const std::string& gateway) {
    std::string arguments = "console=ttyS0 quiet panic=-1";
    if (!address.empty()) arguments += " supercloud.address=" + address;
    if (!gateway.empty()) arguments += " supercloud.gateway=" + gateway;
    return arguments;
  }

  // A guest of 128 MiB that ends when it is powered off, without network and disk; its console is QEMU's stdin and stdout unless
  // `serial` says otherwise. Under TCG: what runs everywhere. More arguments may follow.
  std::vector<std::string> command(const std::string& arguments,
                                   const std::string& serial = "stdio") const {
    return {qemu,
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
            "-M",
            "q35",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-m",
            "128",
            "-kernel",
            kernel,
            "-initrd",
            initramfs,
            "-append",
            arguments,
            "-serial",
            serial};
  }
};

}  // namespace supercloud
