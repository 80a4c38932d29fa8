// The QEMU Machine Protocol, as far as it is spoken here: lines of JSON on a stream.
//
//   stream   = greeting *( answer | event )                  ; from QEMU, each a JSON object in a line of its own
//   greeting = {"QMP": {"version": {"qemu": {"major", "minor", "micro"}, "package"}, "capabilities": [ name ]}}
//   answer   = {"return": value, "id": u64}
//            | {"error": {"class": name, "desc": text}, "id": u64}     ; without "id": a command that QEMU could not read
//   event    = {"event": name, "data": object, "timestamp": {"seconds", "microseconds"}}
//   command  = {"execute" | "exec-oob": name, "arguments": object, "id": u64}     ; to QEMU
//
// A guest may own its QEMU: whatever comes from there is read as bytes from outside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/statusor.h"
#include "hypercall/qemu/version.h"

namespace supercloud {

using QmpValue = nlohmann::json;

inline constexpr std::size_t qmp_line_bytes_max = 1 << 20;
inline constexpr int qmp_depth_max = 32;  // of arrays and objects within each other

struct QmpGreeting {
  QemuVersion version;
  bool oob = false;  // commands that overtake others are offered
};
struct QmpAnswer {
  std::uint64_t id = 0;
  bool failed = false;
  QmpValue value;           // unless it failed
  std::string error_class;  // "GenericError"
  std::string error;        // in QEMU's words
};
// A command that QEMU could not read: it does not know whose.
struct QmpComplaint {
  std::string error;
};
struct QmpEvent {
  std::string name;
  QmpValue data;  // an object, perhaps empty
};
using QmpMessage = std::variant<QmpGreeting, QmpAnswer, QmpComplaint, QmpEvent>;

// InvalidArgument says what is wrong with it. Reentrant.
absl::StatusOr<QmpMessage> parse_qmp(std::string_view line);

// One line, with its end. `arguments` is an object.
std::string qmp_command(std::string_view name, const QmpValue& arguments, std::uint64_t id,
                        bool oob);

// Members of an object, whatever QEMU sent instead of them: the default where one is missing, or of another kind.
std::string qmp_text(const QmpValue& object, const char* member);
std::uint64_t qmp_number(const QmpValue& object, const char* member);  // negative ones: 0
bool qmp_flag(const QmpValue& object, const char* member);
const QmpValue& qmp_member(const QmpValue& object, const char* member);  // null where it is missing

}  // namespace supercloud
