#include "actors/policy/plugin/policy_wire.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

using Json = nlohmann::json;

constexpr std::size_t greeting_bytes_max = 4096;

absl::Status wrong(const std::string& what) { return absl::InvalidArgumentError(what); }

absl::StatusOr<PolicyGreeting> parse_greeting(std::string_view json) {
  if (json.size() > greeting_bytes_max)
    return wrong(
        absl::StrCat("its hello has ", json.size(), " bytes, more than ", greeting_bytes_max));
  const Json parsed = Json::parse(json, nullptr, false);
  if (!parsed.is_object())
    return wrong(R"(its hello is no JSON object; it has to say {"protocol": 1, "name": "..."})");
  PolicyGreeting greeting;
  bool spoken = false;
  for (const auto& [key, value] : parsed.items()) {
    if (key == "protocol") {
      if (!value.is_number_integer() || value != Json(policy_protocol))
        return wrong(
            absl::StrCat("it speaks protocol ",
                         printable(value.dump(-1, ' ', true, Json::error_handler_t::replace), 20),
                         ", this program speaks ", policy_protocol,
                         ": change its hello, and what differs (docs/policies.md)"));
      spoken = true;
      continue;
    }
    std::string* text = key == "name"        ? &greeting.name
                        : key == "version"   ? &greeting.version
                        : key == "decidesOn" ? &greeting.decides_on
                                             : nullptr;
    if (text == nullptr)
      return wrong(absl::StrCat("its hello has \"", printable(key, 40),
                                "\"; known are protocol, name, version and decidesOn"));
    if (!value.is_string() || value.get_ref<const std::string&>().size() > greeting_text_max)
      return wrong(absl::StrCat("the ", key, " in its hello has to be a text of at most ",
                                greeting_text_max, " bytes"));
    *text = printable(value.get_ref<const std::string&>(), greeting_text_max);
  }
  if (!spoken || greeting.name.empty())
    return wrong(absl::StrCat("its hello lacks ", spoken ? "a name" : "\"protocol\": 1"));
  return greeting;
}

absl::StatusOr<Message<schema::Decision>> parse_decision(std::string_view json) {
  if (json.size() > decision_json_max)
    return wrong(absl::StrCat("its decision has ", json.size(), " bytes of JSON, more than ",
                              decision_json_max));
  auto decision = Message<schema::Decision>::from_json(json);
  if (decision.ok()) return decision;
  return wrong(printable(std_view(decision.status().message()), failure_text_max));
}

}  // namespace

std::string printable(std::string_view said, std::size_t bytes_max) {
  std::string out;
  for (const char c : said) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte == 0x7f ? ' ' : c;
    if (out.size() == bytes_max) break;
  }
  // Not in the middle of a character.
  while (out.size() == bytes_max && !out.empty() &&
         (static_cast<unsigned char>(out.back()) & 0x80) != 0)
    out.pop_back();
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::string to_json(const PolicyGreeting& greeting) {
  const Json json = {{"protocol", policy_protocol},
                     {"name", printable(greeting.name, greeting_text_max)},
                     {"version", printable(greeting.version, greeting_text_max)},
                     {"decidesOn", printable(greeting.decides_on, greeting_text_max)}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<PolicyWord> parse_policy_word(absl::Span<const std::string_view> frames) {
  if (frames.empty()) return wrong("it sent an empty message");
  const std::string_view kind = frames[0];
  PolicyWord word;
  if (kind == "hello") {
    if (frames.size() != 2) return wrong("its hello has not two frames");
    auto greeting = parse_greeting(frames[1]);
    if (!greeting.ok()) return greeting.status();
    word.greeting = *std::move(greeting);
    return word;
  }
  if (kind != "decision" && kind != "failed")
    return wrong(absl::StrCat("it sent \"", printable(kind, 40),
                              "\"; known are hello, decision and failed"));
  const absl::Status three = frames.size() == 3
                                 ? absl::OkStatus()
                                 : wrong(absl::StrCat("its \"", str(kind), "\" has ", frames.size(),
                                                      " frames, not three"));
  if (frames.size() < 2) return three;
  const std::string_view id = frames[1];
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), word.id);
  const bool is_id = !id.empty() && error == std::errc() && end == id.data() + id.size();
  if (!is_id && !three.ok()) return three;
  if (!is_id)
    return wrong(absl::StrCat("its \"", str(kind), "\" has the id \"", printable(id, 40),
                              "\", not the one of a question"));
  if (!three.ok()) {
    word.kind = PolicyWord::Kind::decision;
    word.decision = three;
    return word;
  }
  if (kind == "failed") {
    word.kind = PolicyWord::Kind::failed;
    word.decision = absl::AbortedError(
        absl::StrCat("it says that it cannot decide: ", printable(frames[2], failure_text_max)));
    return word;
  }
  word.kind = PolicyWord::Kind::decision;
  word.decision = parse_decision(frames[2]);
  return word;
}

}  // namespace supercloud
