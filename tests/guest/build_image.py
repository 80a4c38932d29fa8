#!/usr/bin/env python3
"""build_image.py PACKAGES WORKLOAD FOLDER: makes the test guest, FOLDER/vmlinux and FOLDER/initramfs.cpio.gz, and FOLDER/qemu
to start it with.

PACKAGES is where QEMU, a kernel and busybox were unpacked, WORKLOAD the static program that the guest runs (workload.cpp). Needs no
privileges.
"""

import bz2
import ctypes
import gzip
import lzma
import os
import sys
from pathlib import Path

# Each after what it needs.
MODULES = [
    "drivers/virtio/virtio_ring", "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_modern_dev", "drivers/virtio/virtio_pci_legacy_dev", "drivers/virtio/virtio_pci",
    "drivers/block/virtio_blk", "drivers/char/virtio_console",
    "net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net",
]


def fail(why):
    sys.exit(f"build_image.py: {why}")


def number(data, offset, size):
    return int.from_bytes(data[offset:offset + size], "little")


def lz4(payload):
    """The legacy frame that the kernel is packed in: a magic number, then blocks of size:u32 and so many bytes."""
    library = ctypes.CDLL("liblz4.so.1")  # apt's own
    block = ctypes.create_string_buffer(8 << 20)
    unpacked, at = [], 4
    while at + 4 <= len(payload):
        size = number(payload, at, 4)
        at += 4
        if size == 0 or at + size > len(payload):
            break  # what follows is the size of it all
        count = library.LZ4_decompress_safe(payload[at:at + size], block, size, len(block))
        if count < 0:
            fail("the kernel's LZ4 payload is damaged; unpack the package again")
        unpacked.append(block.raw[:count])
        at += size
    return b"".join(unpacked)


def lzma_stream(payload):
    return lzma.LZMADecompressor().decompress(payload)


PACKERS = {b"\x02\x21\x4c\x18": lz4, b"\x1f\x8b": lambda payload: gzip.decompress(payload[:-4]), b"\xfd7zXZ": lzma_stream,
           b"\x5d\0\0": lzma_stream, b"BZh": lambda payload: bz2.BZ2Decompressor().decompress(payload)}


def extract_kernel(image):
    """vmlinux out of a bzImage: Linux' Documentation/arch/x86/boot.rst says where. It starts at once, by its PVH entry."""
    if image[0x202:0x206] != b"HdrS":
        if number(image, 0x202, 4) != 0x53726448:
            fail("this is no bzImage")
    setup_sectors = image[0x1f1] or 4
    begin = (setup_sectors + 1) * 512 + number(image, 0x248, 4)
    payload = image[begin:begin + number(image, 0x24c, 4)]
    for magic, unpack in PACKERS.items():
        if payload.startswith(magic):
            kernel = unpack(payload)
            if not kernel.startswith(b"\x7fELF"):
                fail("what was packed in the bzImage is no ELF file")
            return kernel
    fail(f"the kernel is packed in an unknown way, {payload[:6].hex()}; known are LZ4, gzip, xz, lzma and bzip2")


class Archive:
    """cpio, the "newc" kind: Linux' Documentation/driver-api/early-userspace/buffer-format.rst."""

    def __init__(self):
        self.bytes = bytearray()
        self.files = 0

    def add(self, name, mode, content=b""):
        self.files += 1
        encoded = name.encode() + b"\0"
        fields = [self.files, mode, 0, 0, 2 if mode >> 12 == 4 else 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0]
        self.bytes += b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        self.bytes += bytes(-len(self.bytes) % 4) + content
        self.bytes += bytes(-len(self.bytes) % 4)

    def folder(self, name):
        self.add(name, 0o040755)

    def program(self, name, content):
        self.add(name, 0o100755, content)

    def finished(self):
        self.add("TRAILER!!!", 0)
        return bytes(self.bytes)


def unpacked_module(folder, name):
    for suffix, unpack in ("", bytes), (".xz", lzma.decompress), (".gz", gzip.decompress):
        file = folder / "kernel" / f"{name}.ko{suffix}"
        if file.is_file():
            return unpack(file.read_bytes())
    return None  # a part of the kernel itself, in some versions


def initramfs(packages, modules, workload):
    archive = Archive()
    for name in "bin", "dev", "lib", "proc":
        archive.folder(name)
    archive.program("init", (Path(__file__).parent / "init").read_bytes())
    archive.program("bin/workload", workload.read_bytes())
    busybox = next((file for file in (packages / "bin/busybox", packages / "usr/bin/busybox") if file.is_file()), None)
    if busybox is None:
        fail(f"no busybox in {packages}; make build/.unpacked-guests")
    archive.program("bin/busybox", busybox.read_bytes())
    for applet in "cat", "insmod", "ip", "mount", "sh":
        archive.add(f"bin/{applet}", 0o120777, b"busybox")
    order = []
    for name in MODULES:
        module = unpacked_module(modules, name)
        if module is not None:
            archive.add(f"lib/{Path(name).name}.ko", 0o100644, module)
            order.append(Path(name).name)
    archive.add("lib/order", 0o100644, "\n".join(order).encode())
    return archive.finished()


def emulator(packages):
    """A program that is QEMU with its own libraries and firmware; or the machine's, if it was not unpacked because it is installed."""
    program, libraries, firmware = "qemu-system-x86_64", "", ""
    if (packages / "usr/bin" / program).is_file():
        program = f"{packages}/usr/bin/{program}"
        folders = [folder for folder in packages.glob("**/*-linux-gnu") if folder.parent.name == "lib"]
        libraries = f"LD_LIBRARY_PATH={':'.join(sorted(map(str, folders)))} "
        firmware = f"-L {packages}/usr/share/qemu -L {packages}/usr/share/seabios "
    return f'#!/bin/sh\n{libraries}exec {program} {firmware}"$@"\n'.encode()


def write(file, content):
    fresh = file.with_suffix(".new")
    fresh.write_bytes(content)
    os.replace(fresh, file)  # in one step, for who starts a guest meanwhile
    print(f"guest: {file} ({len(content) / 1e6:.1f} MB)")


def main(packages, workload, folder):
    packages, workload, folder = Path(packages).resolve(), Path(workload), Path(folder)
    kernels = sorted(packages.glob("boot/vmlinuz-*"), key=lambda file: file.stat().st_mtime)
    if not kernels:
        fail(f"no kernel in {packages}; make build/.unpacked-guests")
    version = kernels[-1].name.removeprefix("vmlinuz-")
    modules = next((folder for folder in (packages / "lib/modules" / version, packages / "usr/lib/modules" / version)
                    if folder.is_dir()), None)
    if modules is None:
        fail(f"no modules of kernel {version} in {packages}; make build/.unpacked-guests")
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "qemu", emulator(packages))
    (folder / "qemu").chmod(0o755)
    write(folder / "vmlinux", extract_kernel(kernels[-1].read_bytes()))
    write(folder / "initramfs.cpio.gz", gzip.compress(initramfs(packages, modules, workload), mtime=0))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
