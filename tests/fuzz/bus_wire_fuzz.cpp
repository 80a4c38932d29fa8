// What arrives on the sockets of the ZeroMQ bus, besides events.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "bus/calls.h"
#include "bus/history.h"
#include "bus/zmq_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  const std::string_view frame(reinterpret_cast<const char*>(data), size);
  // What is taken says the same after another journey.
  const auto again = [](const auto& value, auto decode) {
    if (!value.ok()) return;
    const std::string bytes = encode(*value);
    const auto second = decode(bytes);
    if (!second.ok() || encode(*second) != bytes) std::abort();
  };
  again(decode_control(frame), decode_control);
  again(decode_marker(frame), decode_marker);
  again(decode_wish(frame), decode_wish);
  again(decode_progress_question(frame), decode_progress_question);
  again(decode_progress_answer(frame), decode_progress_answer);
  if (const auto id = decode_cancel(frame); id.ok() && encode_cancel(*id) != frame) std::abort();
  std::size_t taken = 0;
  for (std::string_view rest = frame; !rest.empty();) {
    const auto event = take_event(rest);
    if (!event.ok()) break;
    if (event->data() != frame.data() + taken || event->size() < 8) std::abort();
    taken += event->size();
    if (taken + rest.size() != frame.size()) std::abort();  // one behind the other
  }
  if (const auto question = decode_question(frame); question.ok()) {
    const auto second = decode_question(encode_question(*question));
    if (!second.ok() || encode_question(*second) != encode_question(*question)) std::abort();
  }
  for (const bool proofs : {false, true}) {
    const StreamRange range{"a/b", 1, {""}, 0, UINT64_MAX, proofs};
    if (const auto answer = decode_answer(frame, range); answer.ok() && answer->through == 0)
      std::abort();  // it gets on
  }
  return 0;
}
