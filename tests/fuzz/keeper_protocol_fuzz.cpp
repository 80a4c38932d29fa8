// What comes on a keeper's socket, at either end, is a command or an answer as the grammar has it, or refused.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "hypercall/keeper/keeper_client.h"
#include "hypercall/keeper/protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  using Verb = keeper::Command::Verb;
  const std::string_view packet(reinterpret_cast<const char*>(data), size);
  if (const auto command = keeper::parse(packet)) {
    if (command->deadline < 0 || packet.size() > keeper::packet_bytes_max) std::abort();
    const bool timed = command->verb == Verb::arm || command->verb == Verb::thaw;
    if (timed != (packet.find(' ') != std::string_view::npos)) std::abort();
  }
  if (const auto state = parse_keeper_answer(packet); state.ok()) {
    const bool ended = state->phase == KeeperState::Phase::ended;
    if (ended == state->end.empty() || ended != packet.starts_with("ended ")) std::abort();
  }
  return 0;
}
