// Checkpoints: what a node's log took in one group commit, signed by the node. Who has an event from another than its origin, an archive, is
// told by one whose it is (core/schema/event.capnp, Checkpoint).
//
//   digest = BLAKE2b-256 of the event's bytes
//   signed = "supercloud checkpoint 1" number(streams) *( string(origin) number(incarnation) number(events) *( number(sequence) digest ) )
//
// number and string as in bus/wire_format.h; the streams as the checkpoint has them. Digests and the signature are base64url in it, without
// padding.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "bus/key.h"
#include "bus/trust.h"
#include "core/event.h"
#include "core/notary.h"

namespace supercloud {

// Signs with a node's key. Thread-bound to its pool.
class KeyNotary final : public Notary {
 public:
  KeyNotary(EventPool& pool, std::string node, std::shared_ptr<const KeyPair> key)
      : pool_(pool), node_(std::move(node)), key_(std::move(key)) {}

  Draft checkpoint(const std::vector<Event>& commit) override;

 private:
  EventPool& pool_;
  const std::string node_;
  const std::shared_ptr<const KeyPair> key_;
};

// Leaves of `events` those that a checkpoint lists which a key has signed that is enrolled under the name of their node. An error tells of what is
// forged: a checkpoint, which proves nothing while the others still do, or an event that one of them lists with another content. That none lists an
// event is no forgery: its checkpoint may be forgotten, or it is from before there were keys.
absl::Status keep_proven(const Trust& trust, absl::Span<const Event> checkpoints,
                         std::vector<Event>& events);

}  // namespace supercloud
