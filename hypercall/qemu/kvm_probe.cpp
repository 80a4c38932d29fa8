#include "hypercall/qemu/kvm_probe.h"

#include <cstring>

#include "absl/strings/str_cat.h"

#if defined(__x86_64__)
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "hypercall/qemu/stream_socket.h"
#endif

namespace supercloud {

#if defined(__x86_64__)
namespace {

// The guest's memory: code, the handler of its interrupt, tables of segments and interrupts, and a stack that ends at its end.
constexpr std::size_t kvm_memory_bytes = 0x8000;
constexpr std::uint64_t kvm_code = 0x1000, kvm_handler = 0x1100, kvm_segments = 0x2000,
                        kvm_gates = 0x3000;
constexpr std::uint8_t kvm_vector = 0x20, kvm_port = 0x10, kvm_word = 0x2a;
constexpr std::uint16_t kvm_code_selector = 0x08, kvm_data_selector = 0x10;

absl::Status kvm_failed(const char* step) {
  const int error = errno;
  const std::string what = absl::StrCat(step, ": ", std::strerror(error));
  if (error == ENOENT || error == ENXIO || error == ENODEV) return absl::NotFoundError(what);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(what);
  return absl::FailedPreconditionError(what);
}

class Mapped {
 public:
  Mapped(std::size_t bytes, int flags, int fd)
      : bytes_(bytes), at_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, 0)) {}
  ~Mapped() {
    if (at_ != MAP_FAILED) ::munmap(at_, bytes_);
  }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  std::uint8_t* get() const {
    return at_ == MAP_FAILED ? nullptr : static_cast<std::uint8_t*>(at_);
  }

 private:
  const std::size_t bytes_;
  void* const at_;
};

void write_guest(std::uint8_t* memory) {
  const std::array<std::uint8_t, 7> code = {0xcd, kvm_vector,  // int
                                            0xb0, kvm_word,    // mov al
                                            0xe6, kvm_port,    // out al
                                            0xf4};             // hlt
  std::memcpy(memory + kvm_code, code.data(), code.size());
  memory[kvm_handler] = 0xcf;  // iret
  const std::array<std::uint64_t, 3> segments = {0, 0x00cf9a000000ffff, 0x00cf92000000ffff};
  std::memcpy(memory + kvm_segments, segments.data(), sizeof segments);
  const std::uint64_t gate =
      kvm_handler | std::uint64_t{kvm_code_selector} << 16U | std::uint64_t{0x8e00} << 32U;
  std::memcpy(memory + kvm_gates + kvm_vector * sizeof gate, &gate, sizeof gate);
}

// Protected mode, flat, at the first instruction.
bool set_registers(int cpu) {
  kvm_sregs special = {};
  if (::ioctl(cpu, KVM_GET_SREGS, &special) != 0) return false;
  const auto flat = [](std::uint16_t selector, std::uint8_t type) {
    kvm_segment segment = {};
    segment.limit = 0xffffffff;
    segment.selector = selector;
    segment.type = type;
    segment.present = segment.db = segment.s = segment.g = 1;
    return segment;
  };
  special.cs = flat(kvm_code_selector, 0xb);
  special.ds = special.es = special.fs = special.gs = special.ss = flat(kvm_data_selector, 0x3);
  special.gdt.base = kvm_segments;
  special.gdt.limit = 3 * sizeof(std::uint64_t) - 1;
  special.idt.base = kvm_gates;
  special.idt.limit = (kvm_vector + 1) * sizeof(std::uint64_t) - 1;
  special.cr0 |= 1U;
  kvm_regs usual = {};
  usual.rip = kvm_code;
  usual.rsp = kvm_memory_bytes;
  usual.rflags = 2;
  return ::ioctl(cpu, KVM_SET_SREGS, &special) == 0 && ::ioctl(cpu, KVM_SET_REGS, &usual) == 0;
}

}  // namespace

absl::Status probe_kvm_guest() {
  const OwnFd device(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (device.get() < 0) return kvm_failed("opening /dev/kvm");
  const int version = ::ioctl(device.get(), KVM_GET_API_VERSION, 0);
  if (version != KVM_API_VERSION)
    return absl::FailedPreconditionError(
        absl::StrCat("KVM speaks version ", version, " of its interface, not ", KVM_API_VERSION));
  const OwnFd machine(::ioctl(device.get(), KVM_CREATE_VM, 0));
  if (machine.get() < 0) return kvm_failed("making a virtual machine");
  const Mapped memory(kvm_memory_bytes, MAP_SHARED | MAP_ANONYMOUS, -1);
  if (memory.get() == nullptr) return kvm_failed("making a virtual machine's memory");
  write_guest(memory.get());
  kvm_userspace_memory_region region = {};
  region.memory_size = kvm_memory_bytes;
  region.userspace_addr = reinterpret_cast<std::uint64_t>(memory.get());
  if (::ioctl(machine.get(), KVM_SET_USER_MEMORY_REGION, &region) != 0)
    return kvm_failed("giving a virtual machine memory");
  const OwnFd cpu(::ioctl(machine.get(), KVM_CREATE_VCPU, 0));
  if (cpu.get() < 0) return kvm_failed("making a virtual CPU");
  const int size = ::ioctl(device.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (size < static_cast<int>(sizeof(kvm_run))) return kvm_failed("looking at a virtual CPU");
  const Mapped state(static_cast<std::size_t>(size), MAP_SHARED, cpu.get());
  if (state.get() == nullptr) return kvm_failed("looking at a virtual CPU");
  if (!set_registers(cpu.get())) return kvm_failed("setting a virtual CPU's registers");
  int ran = 0;
  do ran = ::ioctl(cpu.get(), KVM_RUN, 0);
  while (ran != 0 && errno == EINTR);  // a signal is no answer
  if (ran != 0) return kvm_failed("running a guest");
  const auto* run = reinterpret_cast<const kvm_run*>(state.get());
  const bool said = run->exit_reason == KVM_EXIT_IO && run->io.port == kvm_port &&
                    state.get()[run->io.data_offset] == kvm_word;
  return said ? absl::OkStatus()
              : absl::FailedPreconditionError(absl::StrCat(
                    "KVM makes guests here, and does not run them: one that takes an interrupt "
                    "ends for the reason ",
                    run->exit_reason));
}
#else
absl::Status probe_kvm_guest() { return absl::NotFoundError("there is no KVM for such guests"); }
#endif

}  // namespace supercloud
