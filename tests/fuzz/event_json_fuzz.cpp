// Whatever JSON: no crash, and an event that came of it says the same when it is written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  EventPool pool;
  const auto event = event_from_json(pool, {reinterpret_cast<const char*>(data), size});
  if (!event.ok()) return 0;
  const std::string json = to_json(*event);
  const auto again = event_from_json(pool, json);
  if (!again.ok() || to_json(*again) != json) std::abort();
  return 0;
}
