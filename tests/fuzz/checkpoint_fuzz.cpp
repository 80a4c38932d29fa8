// A checkpoint as an archive may make it up: no event is taken for proven by it.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "bus/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  static const Trust trust = [] {
    Trust made;
    if (!made.enrol(KeyPair::generate()->public_key(), "node-a").ok()) std::abort();
    return made;
  }();
  EventPool pool;
  const auto event = pool.parse({reinterpret_cast<const std::byte*>(data), size});
  if (!event.ok()) return 0;
  std::vector<Event> events = {*event};
  if (keep_proven(trust, {*event}, events).ok() || !events.empty()) std::abort();
  return 0;
}
