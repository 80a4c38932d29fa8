// Lines of QEMU, which a guest may own: what is accepted is read without an exception, as every kind of answer that is read here.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "hypercall/qemu/qmp_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  (void)parse_qemu_version(line);
  const auto message = parse_qmp(line);
  if (!message.ok()) return 0;
  const auto* answer = std::get_if<QmpAnswer>(&*message);
  const auto* event = std::get_if<QmpEvent>(&*message);
  const QmpValue value = answer != nullptr  ? answer->value
                         : event != nullptr ? event->data
                                            : QmpValue();
  for (const char* member : {"status", "running", "ram", "total"}) {
    (void)qmp_text(value, member);
    (void)qmp_number(value, member);
    (void)qmp_flag(value, member);
    (void)qmp_text(qmp_member(value, member), member);
  }
  // What was understood can be said again, on one line.
  const std::string command = qmp_command("x", value, 1, false);
  if (command.find('\n') != command.size() - 1) std::abort();
  return 0;
}
