// The page stream takes bytes from another host: whatever they are, they are refused or read as
// what they say.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "hypercall/transfer_protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto frame = supercloud::transfer::decode(bytes);
  if (frame.ok() && supercloud::transfer::encode(*frame) != bytes) std::abort();
  return 0;
}
