// What arrives on the sockets of the ZeroMQ bus, besides events.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "bus/zmq_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  const std::string_view frame(reinterpret_cast<const char*>(data), size);
  // What is taken says the same after another journey.
  const auto again = [](const auto& value, auto decode) {
    if (!value.ok()) return;
    const std::string bytes = encode(*value);
    const auto second = decode(bytes);
    if (!second.ok() || encode(*second) != bytes) std::abort();
  };
  again(decode_control(frame), decode_control);
  again(decode_marker(frame), decode_marker);
  return 0;
}
