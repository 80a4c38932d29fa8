// Whatever bytes a link brings: decoding does not crash, and what is accepted is written back byte for byte.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "storage/replica_protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto frame = supercloud::replica_protocol::decode(bytes);
  if (frame.ok() && supercloud::replica_protocol::encode(*frame) != bytes) std::abort();
  return 0;
}
