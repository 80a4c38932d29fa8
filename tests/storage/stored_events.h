// Events as the runtime would seal them, for logs.
#pragma once

#include <string>

#include "core/event.h"

namespace supercloud {

inline Event stored_checkpoint(EventPool& pool, std::uint64_t sequence, const std::string& origin) {
  Draft draft = pool.draft("node-a");
  draft.payload().initBusCheckpoint();
  Envelope envelope;
  envelope.origin = origin;
  envelope.incarnation = 1;
  envelope.sequence = sequence;
  envelope.time = {(1'700'000'000'000'000U + sequence) << 12U};
  return *std::move(draft).seal(envelope);
}

inline Event stored_event(EventPool& pool, std::uint64_t sequence,
                          const std::string& subject = "web1",
                          const std::string& origin = "node-a/executor",
                          std::uint64_t incarnation = 1) {
  Draft draft = pool.draft(subject);
  draft.payload().initVmReleased().setNode("node-a");
  Envelope envelope;
  envelope.origin = origin;
  envelope.incarnation = incarnation;
  envelope.sequence = sequence;
  envelope.time = {(1'700'000'000'000'000U + sequence) << 12U};
  return *std::move(draft).seal(envelope);
}

inline std::string bytes_of(const Event& event) {
  return {reinterpret_cast<const char*>(event.bytes().data()), event.bytes().size()};
}

}  // namespace supercloud
