#include "hypercall/qemu/machine.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/message.h"

namespace supercloud {
namespace {

QemuStart test_start() {
  return {.program = "qemu", .vm = "main/web1", .memory_bytes = 32 << 20, .folder = "run/1"};
}

// The argument after `option`; empty: it is not there.
std::string argument(const std::vector<std::string>& command, const std::string& option) {
  const auto found = std::find(command.begin(), command.end(), option);
  return found == command.end() || found + 1 == command.end() ? "" : found[1];
}

TEST(QemuMachine, AGuestIsStoppedWhenItIsUpAndItsMachineIsPinned) {
  const auto command = qemu_command(test_start(), {.kernel = "vmlinux"});
  EXPECT_EQ(command[0], "qemu");
  EXPECT_NE(std::find(command.begin(), command.end(), "-S"), command.end());
  EXPECT_EQ(argument(command, "-machine"), "pc-q35-8.2");
  EXPECT_EQ(argument(command, "-accel"), "tcg,thread=multi");
  EXPECT_EQ(argument(command, "-cpu"), "max");
  EXPECT_EQ(argument(command, "-m"), "size=32768k");
  EXPECT_EQ(argument(command, "-kernel"), "vmlinux");
  EXPECT_EQ(argument(command, "-incoming"), "");
}

TEST(QemuMachine, AnIncomingGuestIsTheSameButWaits) {
  QemuStart start = test_start();
  const auto own = qemu_command(start, {.kernel = "vmlinux"});
  start.incoming = true;
  auto incoming = qemu_command(start, {.kernel = "vmlinux"});
  EXPECT_EQ(argument(incoming, "-incoming"), "defer");
  incoming.resize(incoming.size() - 2);
  EXPECT_EQ(own, incoming);
}

TEST(QemuMachine, UnderKvmItHasTheCpuOfItsHostUnlessOneIsNamed) {
  QemuStart start = test_start();
  start.accelerator = QemuAccelerator::kvm;
  EXPECT_EQ(argument(qemu_command(start, {.kernel = "k"}), "-cpu"), "host");
  EXPECT_EQ(argument(qemu_command(start, {.kernel = "k", .cpu = "Haswell"}), "-cpu"), "Haswell");
  EXPECT_EQ(argument(qemu_command(start, {.kernel = "k"}), "-accel"), "kvm");
}

TEST(QemuMachine, DisksAreFilesOrNbdServersThatMayRestart) {
  const auto file = qemu_command(test_start(), {.disks = {{.file = "a,b.raw"}}});
  EXPECT_NE(argument(file, "-blockdev").find("file.filename=a,,b.raw"), std::string::npos);
  const auto local =
      qemu_command(test_start(), {.disks = {{.nbd = "unix:/run/v,1", .nbd_export = "web1"}}});
  EXPECT_EQ(argument(local, "-blockdev"),
            "driver=nbd,node-name=disk0,server.type=unix,server.path=/run/v,,1,export=web1,"
            "reconnect-delay=10");
  const auto far = qemu_command(test_start(), {.disks = {{.nbd = "tcp:10.0.0.1:10809"}}});
  EXPECT_NE(argument(far, "-blockdev").find("server.host=10.0.0.1,server.port=10809"),
            std::string::npos);
}

TEST(QemuMachine, NicsAreTapsOrBehindTheHost) {
  const auto tap = qemu_command(test_start(),
                                {.kernel = "k", .nics = {{.tap = "tap0", .mac = "52:54:0:0:0:1"}}});
  EXPECT_EQ(argument(tap, "-netdev"), "tap,id=net0,ifname=tap0,script=no,downscript=no");
  const auto user =
      qemu_command(test_start(), {.kernel = "k", .nics = {{.forwards = {"tcp:127.0.0.1:1-:2"}}}});
  EXPECT_EQ(argument(user, "-netdev"), "user,id=net0,hostfwd=tcp:127.0.0.1:1-:2");
}

TEST(QemuMachine, WhatIsMissingOrContradictsItselfIsRefusedByName) {
  const auto refusal = [](const QemuGuest& guest) {
    return std::string(check_guest(guest, "main/web1").message());
  };
  EXPECT_NE(refusal({}).find("neither kernel nor disk"), std::string::npos);
  EXPECT_NE(refusal({.kernel = "/no/vmlinux"}).find("/no/vmlinux"), std::string::npos);
  EXPECT_NE(refusal({.disks = {{.file = "/no/disk.raw"}}}).find("image of main/web1"),
            std::string::npos);
  EXPECT_NE(refusal({.disks = {{}}}).find("either"), std::string::npos);
  EXPECT_NE(refusal({.disks = {{.nbd = "http://x"}}}).find("unix:/path"), std::string::npos);
  EXPECT_NE(refusal({.append = "quiet", .disks = {{.nbd = "unix:/x"}}}).find("no kernel"),
            std::string::npos);
  EXPECT_EQ(refusal({.kernel = "/proc/self/exe"}), "");
}

Message<schema::VmSpec> guest_of(const std::string& image, const std::string& arguments = "") {
  return Message<schema::VmSpec>::build([&](schema::VmSpec::Builder spec) {
    spec.setName("web1");
    spec.setImage(image);
    spec.setArguments(arguments);
  });
}

TEST(QemuMachine, AGuestIsMadeOfTheImageThatItNamesAndItsOwnArguments) {
  const QemuGuests guests{.usual = {.kernel = "a"},
                          .images = {{"db", {.kernel = "b", .append = "quiet"}}}};
  EXPECT_EQ(guests.of(guest_of("").reader())->kernel, "a");
  EXPECT_EQ(guests.of(guest_of("db").reader())->append, "quiet");
  const auto made_of = guests.of(guest_of("db", "panic=-1").reader());
  EXPECT_EQ(made_of->kernel, "b");
  EXPECT_EQ(made_of->append, "quiet panic=-1");
}

TEST(QemuMachine, AnImageThatIsMissingIsToldWithThoseThatThereAre) {
  const QemuGuests guests{.images = {{"db", {.kernel = "b"}}, {"web", {.kernel = "c"}}}};
  const absl::Status unnamed = guests.of(guest_of("").reader()).status();
  EXPECT_EQ(unnamed.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(unnamed.message().find("db, web"), std::string::npos) << unnamed;
  const absl::Status unknown = guests.of(guest_of("gone").reader()).status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(unknown.message().find("db, web"), std::string::npos) << unknown;
}

}  // namespace
}  // namespace supercloud
