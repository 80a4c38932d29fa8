// Whatever bytes or JSON a request, an answer, a world or a decision come as: no crash, and what is accepted can be read in
// full and comes back from its bytes. The first byte chooses the schema and the form.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/message.h"

namespace {

template <class Schema>
void check(std::string_view input, bool json) {
  using supercloud::Message;
  const auto message = json ? Message<Schema>::from_json(input) : Message<Schema>::parse(input);
  if (!message.ok()) return;
  const auto again = Message<Schema>::parse(message->bytes());
  if (!again.ok() || again->bytes() != message->bytes()) std::abort();
  if (message->to_json() != again->to_json()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool json = (data[0] & 8) != 0;
  switch (data[0] & 7) {
    case 0:
      check<schema::Request>(input, json);
      break;
    case 1:
      check<schema::Response>(input, json);
      break;
    case 2:
      check<schema::World>(input, json);
      break;
    case 3:
      check<schema::Decision>(input, json);
      break;
    case 4:
      check<schema::VmSpec>(input, json);
      break;
    default:
      break;
  }
  return 0;
}
