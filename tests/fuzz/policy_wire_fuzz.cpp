// Whatever a policy's process says: no crash, and a decision that is accepted comes back from its bytes and can be judged. A 0 byte
// ends a frame.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "actors/policy/decision_check.h"
#include "actors/policy/plugin/policy_wire.h"
#include "core/one_segment.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  // What a shared object gives, too.
  if (const auto framed = one_segment(input); framed.ok()) {
    const auto decision = Message<schema::Decision>::parse(*framed);
    if (decision.ok() && one_segment(decision->bytes()).value_or("") != *framed) std::abort();
  }
  std::vector<std::string_view> frames;
  for (std::size_t at = 0; at <= input.size();) {
    const std::size_t end = std::min(input.find('\0', at), input.size());
    frames.push_back(input.substr(at, end - at));
    at = end + 1;
  }
  const auto word = parse_policy_word(frames);
  if (!word.ok()) return 0;
  if (word->kind == PolicyWord::Kind::hello) {
    const std::string json = to_json(word->greeting);
    const std::string_view again[] = {"hello", json};
    if (!parse_policy_word(again).ok()) std::abort();
    return 0;
  }
  if (!word->decision.ok()) return 0;
  const auto again = Message<schema::Decision>::parse(word->decision->bytes());
  if (!again.ok() || again->to_json() != word->decision->to_json()) std::abort();
  check_decision(Message<schema::World>().reader(), again->reader()).IgnoreError();
  return 0;
}
