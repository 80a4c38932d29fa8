// Checkpoints: what a node's log took in one group commit, signed by the node. Who has an event from another than its origin, an archive, is
// told by one whose it is (core/schema/event.capnp, Checkpoint).
//
//   digest = BLAKE2b-256 of the event's bytes
//   signed = "supercloud checkpoint 1" number(streams) *( string(origin) number(incarnation) number(events) *( number(sequence) digest ) )
//
// number and string as in bus/wire_format.h; the streams as the checkpoint has them. Digests and the signature are base64url in it, without
// padding.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "bus/key.h"
#include "bus/trust.h"
#include "core/event.h"
#include "core/notary.h"

namespace supercloud {

// Under which a node's log publishes them.
inline constexpr std::string_view checkpoint_prefix = "bus.checkpoint.";

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

// BLAKE2b-256 of an event's bytes.
using EventDigest = std::array<std::uint8_t, 32>;

// What the checkpoints prove that were seen last. Thread-bound.
class Proofs {
 public:
  // The keys that are believed to be a node's, at the moment of the call.
  using KeysOf = std::function<std::vector<PublicKey>(std::string_view node)>;
  // How much is remembered, of the newest checkpoints: so many events that they list, and so many bytes of their own.
  struct Room {
    std::size_t events = 32'768;
    std::size_t bytes = 16 << 20;
  };
  static constexpr Room no_bounds{.events = std::numeric_limits<std::size_t>::max(),
                                  .bytes = std::numeric_limits<std::size_t>::max()};

  explicit Proofs(KeysOf keys_of) : Proofs(std::move(keys_of), Room()) {}
  Proofs(KeysOf keys_of, Room room) : keys_of_(std::move(keys_of)), room_(room) {}

  // What it lists is proven from now on. InvalidArgument: it is forged, or is none, and proves nothing. Its own number and time are not signed.
  absl::Status take(const Event& checkpoint);
  // OK: proven. NotFound: no checkpoint that is remembered lists it. InvalidArgument: it is forged, for one lists it with another content.
  absl::Status judge(const Event& event) const;
  // Which one proves it; null: none.
  const Event* checkpoint_of(const Event& event) const;
  // Other keys are believed from now on.
  void forget();
  std::size_t checkpoints() const { return taken_.size(); }  // that are remembered

 private:
  // Origin, incarnation, sequence; the text is the checkpoint's.
  using Key = std::tuple<std::string_view, std::uint64_t, std::uint64_t>;
  struct Listed {
    EventDigest digest;
    const Event* checkpoint = nullptr;
  };
  struct Taken {
    Event checkpoint;
    std::vector<Key> listed;  // that no earlier one lists
  };
  static Key key_of(const Event& event);
  bool remembers(const Event& checkpoint) const;
  void forget_oldest();

  const KeysOf keys_of_;
  const Room room_;
  std::list<Taken> taken_;  // oldest first
  std::map<Key, Listed> listed_;
  std::size_t bytes_ = 0;  // of what is taken
};

// One lists all that its node said in one commit, whatever its topic: whether `name` may see that.
bool may_have_proofs(const Rights& rights, std::string_view name);

// Whether an event that another than its own node tells has to be proven: it is of a type, or has a topic, that is known here and logged. Telemetry
// never is.
bool needs_proof(const Event& event);

// Leaves of `events` those that a checkpoint lists which a key has signed that is enrolled under the name of their node. An error tells of what is
// forged: a checkpoint, which proves nothing while the others still do, or an event that one of them lists with another content. That none lists an
// event is no forgery: its checkpoint may be forgotten, or it is from before there were keys.
absl::Status keep_proven(const Trust& trust, absl::Span<const Event> checkpoints,
                         std::vector<Event>& events);

}  // namespace supercloud
