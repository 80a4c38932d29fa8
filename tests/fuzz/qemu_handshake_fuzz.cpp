// Frames of another host's hypervisor: what is accepted is said again the same way.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "hypercall/qemu/handshake.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud::qemu_handshake;
  const auto frame = decode(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!frame.ok()) return 0;
  const auto again = decode(encode(*frame));
  if (again.ok() && !(*again == *frame)) {
    // Only a text of people's may be cut, and one that is no UTF-8 repaired.
    if (frame->index() != again->index()) std::abort();
  }
  return 0;
}
