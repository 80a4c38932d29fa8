// Requests to the lease site, and what a table reads from its disk.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "storage/lease_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto stored = decode_stored_lease(bytes); stored.ok()) {
    const auto again = decode_stored_lease(encode_stored_lease(*stored));
    if (!again.ok() || again->record != stored->record) std::abort();
  }
  if (const auto session = decode_stored_session("a:1", bytes); session.ok()) {
    const auto again = decode_stored_session("a:1", encode_stored_session(*session));
    if (!again.ok() || again->node != session->node) std::abort();
  }
  if (const auto request = Message<schema::Request>::parse(bytes);
      request.ok() && request->reader().isSwap()) {
    if (const auto swap = read_swap(request->reader().getSwap()); swap.ok()) {
      const auto written = Message<schema::Request>::build(
          [&](schema::Request::Builder builder) { write_swap(*swap, builder.initSwap()); });
      const auto again = read_swap(written.reader().getSwap());
      if (!again.ok() || again->claim != swap->claim) std::abort();
    }
  }
  return 0;
}
