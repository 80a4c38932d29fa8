#include "hypercall/qemu/qmp_message.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::size_t qmp_shown_max = 120;

absl::Status malformed_qmp(absl::string_view why, std::string_view line) {
  std::string shown(line.substr(0, qmp_shown_max));
  std::replace_if(shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return absl::InvalidArgumentError(absl::StrCat(why, ": ", shown));
}

// The parser itself needs no stack, but what walks and destroys a value may.
bool too_deep(std::string_view line) {
  int depth = 0;
  bool in_text = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (in_text) {
      if (c == '\\') ++i;
      if (c == '"') in_text = false;
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      if (++depth > qmp_depth_max) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

int version_part(const QmpValue& version, const char* member) {
  return static_cast<int>(
      std::min<std::uint64_t>(qmp_number(version, member), std::numeric_limits<int>::max()));
}

QmpGreeting greeting_of(const QmpValue& qmp) {
  QmpGreeting greeting;
  const QmpValue& version = qmp_member(qmp_member(qmp, "version"), "qemu");
  greeting.version = {version_part(version, "major"), version_part(version, "minor"),
                      version_part(version, "micro")};
  const QmpValue& capabilities = qmp_member(qmp, "capabilities");
  greeting.oob =
      capabilities.is_array() && std::any_of(capabilities.begin(), capabilities.end(),
                                             [](const QmpValue& name) { return name == "oob"; });
  return greeting;
}

}  // namespace

const QmpValue& qmp_member(const QmpValue& object, const char* member) {
  static const QmpValue none;
  const auto found = object.find(member);
  return found == object.end() ? none : *found;
}

std::string qmp_text(const QmpValue& object, const char* member) {
  const QmpValue& value = qmp_member(object, member);
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::uint64_t qmp_number(const QmpValue& object, const char* member) {
  const QmpValue& value = qmp_member(object, member);
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  if (!value.is_number_float()) return 0;
  constexpr double limit = 9e18;
  const auto number = value.get<double>();
  if (!(number > 0)) return 0;
  return static_cast<std::uint64_t>(std::min(number, limit));
}

bool qmp_flag(const QmpValue& object, const char* member) {
  const QmpValue& value = qmp_member(object, member);
  return value.is_boolean() && value.get<bool>();
}

absl::StatusOr<QmpMessage> parse_qmp(std::string_view line) {
  if (line.size() > qmp_line_bytes_max)
    return malformed_qmp(absl::StrCat("a line of ", line.size(), " bytes"), line);
  if (too_deep(line)) return malformed_qmp("JSON that is nested too deeply", line);
  QmpValue json = QmpValue::parse(line, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return malformed_qmp("no JSON", line);
  if (!json.is_object()) return malformed_qmp("no JSON object", line);
  if (const QmpValue& qmp = qmp_member(json, "QMP"); qmp.is_object()) return greeting_of(qmp);
  if (const std::string name = qmp_text(json, "event"); !name.empty()) {
    QmpEvent event{name, QmpValue::object()};
    if (const auto data = json.find("data"); data != json.end() && data->is_object())
      event.data = std::move(*data);
    return event;
  }
  QmpAnswer answer;
  const auto returned = json.find("return");
  if (returned != json.end()) {
    answer.value = std::move(*returned);
  } else if (const QmpValue& error = qmp_member(json, "error"); error.is_object()) {
    answer.failed = true;
    answer.error_class = qmp_text(error, "class");
    answer.error = qmp_text(error, "desc");
    if (!json.contains("id")) return QmpComplaint{answer.error};
  } else {
    return malformed_qmp("neither greeting, answer nor event", line);
  }
  const QmpValue& id = qmp_member(json, "id");
  if (!id.is_number_unsigned()) return malformed_qmp("an answer without a number", line);
  answer.id = id.get<std::uint64_t>();
  return answer;
}

std::string qmp_command(std::string_view name, const QmpValue& arguments, std::uint64_t id,
                        bool oob) {
  QmpValue command = {{oob ? "exec-oob" : "execute", std::string(name)}, {"id", id}};
  if (!arguments.empty()) command["arguments"] = arguments;
  // Texts that are no UTF-8 would be an exception.
  return command.dump(-1, ' ', false, QmpValue::error_handler_t::replace) + "\n";
}

}  // namespace supercloud
