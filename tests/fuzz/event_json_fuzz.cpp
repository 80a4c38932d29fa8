// Whatever JSON: no crash; an event that came of it says the same when it is written and read again, and what may be published becomes an event.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "core/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  EventPool pool;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto draft = draft_from_json(pool, text); draft.ok()) {
    const auto sealed = std::move(*draft).seal({.origin = "a/b", .incarnation = 1, .sequence = 1});
    if (!sealed.ok() || !pool.parse(sealed->bytes()).ok()) std::abort();
  }
  const auto event = event_from_json(pool, text);
  if (!event.ok()) return 0;
  const std::string json = to_json(*event);
  const auto again = event_from_json(pool, json);
  if (!again.ok() || to_json(*again) != json) std::abort();
  return 0;
}
