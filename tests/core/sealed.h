// Events as the runtime would seal them.
#pragma once

#include "core/event.h"

namespace supercloud {

inline Envelope test_envelope(std::uint64_t sequence, const Event* cause = nullptr) {
  Envelope envelope;
  envelope.origin = "node-a/executor";
  envelope.incarnation = 3;
  envelope.sequence = sequence;
  envelope.previous[0] = sequence - 1;
  envelope.time = {1'700'000'000'000'000U << 12};
  envelope.cause = cause;
  return envelope;
}

inline Event released_event(EventPool& pool, std::uint64_t sequence, const Event* cause = nullptr) {
  Draft draft = pool.draft("web1");
  draft.payload().initVmReleased().setNode("node-a");
  draft.epoch(7);
  return *std::move(draft).seal(test_envelope(sequence, cause));
}

}  // namespace supercloud
