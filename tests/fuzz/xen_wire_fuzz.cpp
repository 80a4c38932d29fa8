// What the XenStore's daemon sends is not trusted: it is refused, or read as what it says.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "hypercall/xen/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::string again;
  const std::string_view whole = bytes;
  while (true) {
    const auto message = xen_wire::decode(bytes);
    if (!message.ok() || !*message) break;
    xen_wire::encode(**message, again);
    if (whole.substr(0, again.size()) != again) std::abort();
    const std::string_view body = (*message)->body;
    if (const auto permissions = xen_wire::decode_permissions(body);
        permissions.ok() && xen_wire::encode_permissions(*permissions) != body)
      std::abort();
    if (const auto part = xen_wire::decode_directory_part(body);
        part.ok() && (part->bytes >= body.size() || (!part->last && part->names.empty())))
      std::abort();
    if (const auto event = xen_wire::decode_watch_event(body); event.ok())
      (void)XenPath::parse(event->path).ok();
    (void)xen_wire::number(body).ok();
    (void)xen_wire::error_number(body);
  }
  if (again.size() + bytes.size() > whole.size()) std::abort();
  return 0;
}
