// Frames of another host's hypervisor, and its report of a way that was tried: what is accepted is said again the same way.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "hypercall/qemu/handshake.h"
#include "hypercall/qemu/way_probe.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud::qemu_handshake;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto report = supercloud::decode_way_report(bytes); report.ok()) {
    if (supercloud::encode(*report) != bytes) std::abort();
    (void)supercloud::way_of(*report, absl::Milliseconds(1), absl::Milliseconds(100),
                             absl::Milliseconds(90));
  }
  const auto frame = decode(bytes);
  if (!frame.ok()) return 0;
  const auto again = decode(encode(*frame));
  if (again.ok() && !(*again == *frame)) {
    // Only a text of people's may be cut, and one that is no UTF-8 repaired.
    if (frame->index() != again->index()) std::abort();
  }
  return 0;
}
