// Lines of the monitor by which a measurement watches a QEMU, which its guest may own.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cli/bench/migration/guest_watch.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto sign =
      supercloud::read_guest_sign(std::string_view(reinterpret_cast<const char*>(data), size));
  if (sign && (sign->what.empty() || sign->at < absl::UnixEpoch())) std::abort();
  return 0;
}
