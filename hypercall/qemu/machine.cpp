#include "hypercall/qemu/machine.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "core/message.h"
#include "core/vm_name.h"

namespace supercloud {
namespace {

// In a list of options a comma ends a value, and two are one of it.
std::string value(const std::string& text) { return absl::StrReplaceAll(text, {{",", ",,"}}); }

std::string nbd_server(const std::string& endpoint) {
  if (endpoint.starts_with("unix:"))
    return absl::StrCat("server.type=unix,server.path=", value(endpoint.substr(5)));
  const std::size_t colon = endpoint.rfind(':');
  return absl::StrCat("server.type=inet,server.host=", value(endpoint.substr(4, colon - 4)),
                      ",server.port=", value(endpoint.substr(colon + 1)));
}

std::string block_device(const QemuDisk& disk, const std::string& name) {
  if (!disk.file.empty()) {
    return absl::StrCat("driver=raw,node-name=", name,
                        ",file.driver=file,file.filename=", value(disk.file), ",cache.direct=on");
  }
  // A server that restarts costs the guest time, not an error.
  return absl::StrCat("driver=nbd,node-name=", name, ",", nbd_server(disk.nbd),
                      ",export=", value(disk.nbd_export), ",reconnect-delay=10");
}

std::string network(const QemuNic& nic, const std::string& name) {
  if (!nic.tap.empty())
    return absl::StrCat("tap,id=", name, ",ifname=", value(nic.tap), ",script=no,downscript=no");
  std::string user = absl::StrCat("user,id=", name);
  for (const std::string& forward : nic.forwards)
    absl::StrAppend(&user, ",hostfwd=", value(forward));
  return user;
}

absl::Status readable(const QemuGuest& guest, const std::string& vm, const char* what,
                      const std::string& file) {
  if (file.empty() || ::access(file.c_str(), R_OK) == 0) return absl::OkStatus();
  const std::string why = std::strerror(errno);
  return absl::FailedPreconditionError(absl::StrCat(
      "the ", what, " of ", vm,
      guest.image.empty() ? "" : absl::StrCat(", of the image ", guest.image, ","),
      " is not to be read: ", file, ": ", why, "; put it there, or name another that is there"));
}

}  // namespace

absl::StatusOr<QemuGuest> QemuGuests::of(schema::VmSpec::Reader spec) const {
  const std::string vm = VmName::of(spec).to_string();
  const std::string image = str(spec.getImage());
  const auto there = [this] {
    std::vector<std::string> names;
    for (const auto& [name, made_of] : images) names.push_back(name);
    return names.empty() ? std::string("there is none") : absl::StrJoin(names, ", ");
  };
  const bool no_usual = usual.kernel.empty() && usual.disks.empty();
  if (image.empty() && no_usual && !images.empty())
    return absl::FailedPreconditionError(absl::StrCat(
        vm, " names no image to start from; write image = with one of this node's: ", there()));
  const auto found = images.find(image);
  if (!image.empty() && found == images.end())
    return absl::FailedPreconditionError(absl::StrCat("the image of ", vm, ", ", image,
                                                      ", is none of this node's: ", there(),
                                                      "; name one of them, or add it to the node"));
  QemuGuest guest = image.empty() ? usual : found->second;
  guest.image = image;
  if (const std::string arguments = str(spec.getArguments()); !arguments.empty())
    absl::StrAppend(&guest.append, guest.append.empty() ? "" : " ", arguments);
  return guest;
}

absl::Status check_guest(const QemuGuest& guest, const std::string& vm) {
  if (guest.kernel.empty() && guest.disks.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(vm, " has neither kernel nor disk to start from; name one of them"));
  }
  if (guest.kernel.empty() && !(guest.initrd.empty() && guest.append.empty())) {
    return absl::FailedPreconditionError(absl::StrCat(
        vm, " has an initrd or arguments for a kernel, and no kernel; name one, or neither"));
  }
  absl::Status status = readable(guest, vm, "kernel", guest.kernel);
  if (status.ok()) status = readable(guest, vm, "initrd", guest.initrd);
  for (const QemuDisk& disk : guest.disks) {
    if (!status.ok()) return status;
    if (disk.file.empty() == disk.nbd.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("a disk of ", vm, " is either a file or an NBD server; name one of them"));
    }
    if (!disk.nbd.empty() && !disk.nbd.starts_with("unix:") && !disk.nbd.starts_with("tcp:")) {
      return absl::FailedPreconditionError(absl::StrCat("a disk of ", vm, " is at ", disk.nbd,
                                                        "; write unix:/path or tcp:1.2.3.4:port"));
    }
    status = readable(guest, vm, "image", disk.file);
  }
  return status;
}

std::vector<std::string> qemu_command(const QemuStart& start, const QemuGuest& guest) {
  const bool kvm = start.accelerator == QemuAccelerator::kvm;
  const std::string cpu = !guest.cpu.empty() ? guest.cpu : kvm ? "host" : "max";
  const std::uint64_t steps =
      std::max<std::uint64_t>((start.memory_bytes + qemu_memory_step - 1) / qemu_memory_step, 1);
  std::vector<std::string> command = {
      start.program, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
      // Nothing runs before it is told to.
      "-S", "-name", absl::StrCat("guest=", value(start.vm)), "-machine", value(guest.machine),
      "-accel", kvm ? "kvm" : "tcg,thread=multi", "-cpu", cpu, "-smp", absl::StrCat(start.cpus),
      "-m", absl::StrCat("size=", steps * (qemu_memory_step >> 10U), "k"), "-chardev",
      absl::StrCat("socket,id=qmp,server=on,wait=off,path=", value(start.folder), "/qmp"), "-mon",
      "chardev=qmp,mode=control", "-chardev",
      absl::StrCat("socket,id=console,server=on,wait=off,path=", value(start.folder), "/console"),
      "-serial", "chardev:console"};
  const auto add = [&](std::initializer_list<std::string> more) {
    command.insert(command.end(), more);
  };
  if (!guest.kernel.empty()) add({"-kernel", guest.kernel});
  if (!guest.initrd.empty()) add({"-initrd", guest.initrd});
  if (!guest.append.empty()) add({"-append", guest.append});
  for (std::size_t i = 0; i < guest.disks.size(); ++i) {
    const std::string name = absl::StrCat("disk", i);
    add({"-blockdev", block_device(guest.disks[i], name), "-device",
         absl::StrCat("virtio-blk-pci,drive=", name, ",id=vd", i)});
  }
  for (std::size_t i = 0; i < guest.nics.size(); ++i) {
    const std::string name = absl::StrCat("net", i);
    const std::string& mac = guest.nics[i].mac;
    add({"-netdev", network(guest.nics[i], name), "-device",
         absl::StrCat("virtio-net-pci,romfile=,netdev=", name,
                      mac.empty() ? "" : absl::StrCat(",mac=", value(mac)))});
  }
  if (start.incoming) add({"-incoming", "defer"});
  return command;
}

}  // namespace supercloud
