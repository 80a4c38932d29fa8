// Topics and patterns: a line of pattern, a line of topic. No crash; tokens have one spelling; a match lies within the prefix
// that leaves the process.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/event.h"
#include "core/topic.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = input.find('\n');
  const std::string_view first = input.substr(0, line);
  const std::string_view topic =
      line == std::string_view::npos ? std::string_view() : input.substr(line + 1);

  if (*decode_token(encode_token("x" + std::string(first.substr(0, 20)))) !=
      "x" + std::string(first.substr(0, 20))) {
    std::abort();
  }
  if (const auto raw = decode_token(first); raw.ok() && encode_token(*raw) != first) std::abort();
  if (const auto id = EventId::parse(first); id.ok() && *EventId::parse(id->to_string()) != *id) {
    std::abort();
  }

  const bool valid = validate_topic(topic).ok();
  if (valid) {
    std::string joined;
    for (std::size_t i = 0; !topic_token(topic, i).empty(); ++i) {
      if (!decode_token(topic_token(topic, i)).ok()) std::abort();
      joined.append(topic_token(topic, i)).push_back('.');
    }
    if (joined != std::string(topic) + "." || topic_prefix(topic, 1000) != joined) std::abort();
    if (!Pattern::of(topic).matches(topic)) std::abort();
  }
  const auto pattern = Pattern::parse(first);
  if (!pattern.ok()) return 0;
  if (pattern->text() != first) std::abort();
  if (pattern->matches(topic) && valid &&
      !(std::string(topic) + ".").starts_with(pattern->wire_prefix())) {
    std::abort();
  }
  return 0;
}
