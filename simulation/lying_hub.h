// A hub that does not pass on what was said: of durable events it makes some up, changes some, leaves some out, and says old ones again.
// So it does with what logs answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/bus.h"
#include "core/event.h"
#include "core/random.h"
#include "simulation/changed_relay.h"
#include "simulation/hub_machine.h"

namespace supercloud {

// Thread-bound. The pool outlives it.
class LyingHub {
 public:
  LyingHub(EventPool& pool, Random random) : pool_(pool), random_(random) {}

  void say(const Event& event, const ChangedRelay::Pass& pass);
  // To who asks a log for what it missed: some of it changed.
  std::string answer(const Address& to, std::string_view question, std::string answer);

 private:
  absl::StatusOr<Event> parse(std::string_view bytes);
  void say_checkpoint(const Event& checkpoint, const ChangedRelay::Pass& pass);

  static constexpr std::size_t old_max = 32;

  EventPool& pool_;
  Random random_;
  std::vector<Event> old_;
};

// A bus of such a hub. `seed`: of each process the same lies.
HubMachineOptions::InPlace lying_relay(std::uint64_t seed);

}  // namespace supercloud
