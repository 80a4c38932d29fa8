// What travels between the processes of a ZeroMQ bus. All of it is untrusted on arrival.
//
//   number   = 8 bytes, little endian
//   string   = number(length) bytes
//   member   = string(name) number(nonce) string(publish endpoint) string(request endpoint)
//   tail     = string(origin) number(incarnation) number(sequence)
//   beyond   = number(since) number(passed)           of each tail, in their order: OriginTail
//   under    = number(count) *(string(prefix) number(sequence) number(since) number(begun))     of each tail, in their order: OriginTail::Under
//
// Publisher's socket (XPUB, bound) to subscriber's (SUB, one per publisher); two frames:
//   event    = topic "."                          event bytes (core/schema/event.capnp, standard framing, one segment)
//   marker   = FF "m" name "/" nonce "/" n "/"    string(publisher) number(nonce) number(count) *tail
//              [number(together) [number(1 or 2) *beyond [*under: if 2]]]
//   together = FF "b" prefix                      *event bytes: of topics that begin with the prefix, three tokens, while somebody subscribes so
//   proof    = FF "c" prefix                      a checkpoint's event bytes: of what is relayed under the prefix, three tokens, and comes next
//   as JSON  = FF "j" topic "."                   the same event in JSON (core/json.h), while somebody subscribes a topic that begins with FF "j"
//
// Join handshake. A subscriber subscribes prefixes, and behind them on the same pipe the topic of a marker that nobody else has.
// The publisher hears of each new topic; when it is a marker's, the prefixes before it are in effect, and it publishes the
// marker with the tails of its origins. When the marker arrives, the subscription is known to be in effect; when it does not
// in time, it is asked for again. FF sorts behind every prefix: after a reconnection libzmq repeats subscriptions in
// that order.
//
//   subscriber                    publisher
//       │ subscribe "vm."  ──────────►│
//       │ subscribe FF m…  ──────────►│  hears of FF m…: "vm." is in effect
//       │◄────────── FF m…, tails ────│
//
// The newest marker that was answered is left subscribed. On it an empty message finds out whether the queue is full (bus/slow_subscribers.h), and
// one of a single byte (loss_sign) says that something was lost there: the subscriber doubts what follows until another marker has come.
//
// Events together. A marker whose n ends with "b" asks whether its publisher sends events together, which the number at its end affirms. (An older
// one knows nothing of either; to it the topic is any other.) The subscriber then subscribes FF "b" prefix for each prefix, and when a marker
// behind those has come, lets go of the prefixes alone: what comes both ways meanwhile is a duplicate like any other.
//
// A hub (bus/hub.h) publishes what others have said beyond it, and answers a marker when all that was subscribed before it is in effect there
// too. A marker whose n ends with "rb" asks whether its publisher does so: then the tails are those of the origins beyond it as well, and each is
// followed by where it has been followed from and what it was that passed last. Others are told of its own origins only. One whose n ends with
// "prb" asks for the prefixes too under which each has said something.
//
// Who has keys subscribes at a hub FF "c" prefix as well, for each prefix that it subscribes, before the marker behind that: the checkpoints which
// prove what the hub lets pass (bus/checkpoint.h) come before it.
//
// Request sockets (DEALER, one per peer, to ROUTER, bound); one frame:
//   hello    = "h" number(beat) member number(client: 0 or 1)
//   welcome  = "w" number(beat) member number(count) *member     who answers, and whom it knows to be alive
//   refusal  = "x" number(code) string(message)                  answer to a hello: this process cannot be a member
//   request  = "q" number(id) string(actor) string(bytes)
//   onward   = "o" number(id) string(node) string(actor) string(bytes)   of a hub: a request to a node beyond it; no actor: whether it is there
//   answer   = "a" number(id) number(code) string(message) string(bytes)
// A request to the actor "bus" asks for history (bus/history.h): what a subscriber missed, of the publisher's log; "bus.json" for the same
// in JSON. One to "bus.publish" has an event published by the node:
//   wish     = string(who publishes) string(JSON)     answered with the event as it was published, in JSON
// Two (bus/calls.h) are about a request of the same connection that is not answered yet, by its number: "bus.cancel" tells who answers that
// nobody waits; "bus.progress" is answered as soon as that has said something newer about how far it is. NotFound: it is answered, or never
// came. What an older node answers, which has no such actor, is NotFound as well.
//   cancel   = number(id)                             answered with nothing
//   far      = number(id) number(heard)               which was heard last; answered with:
//   progress = number(which) number(done) number(total) string(what)
// Over tcp the connection itself says whose it is (bus/zap.h): nothing of that is in a frame.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "bus/wire_format.h"
#include "core/bus.h"

namespace supercloud {

inline constexpr std::size_t members_max = 1024;
// Of a node; a hub, and a client, may have as many as there are members.
inline constexpr std::size_t neighbours_default = 128;
inline constexpr std::string_view marker_lead =
    "\xff"
    "m";
inline constexpr std::string_view json_lead =
    "\xff"
    "j";
inline constexpr std::string_view together_lead =
    "\xff"
    "b";
inline constexpr std::string_view proof_lead =
    "\xff"
    "c";
// A message on the marker of a subscriber: what was to come before it found no room in its queue, that subscriber's.
inline constexpr std::string_view loss_sign = "\x01";
// At the end of a marker's number: it asks whether events come together.
inline constexpr char together_asked = 'b';
// Before that: and whether it relays.
inline constexpr char relay_asked = 'r';
// Before that: and under which prefixes what it relays was said.
inline constexpr char under_asked = 'p';
// Of a message with several events: one that is as large itself travels alone.
inline constexpr std::size_t together_bytes_max = 8192;
// No actor has such a name.
inline constexpr std::string_view publish_actor = "bus.publish";

struct Member {
  std::string name;
  std::uint64_t nonce = 0;  // tells processes of one name apart
  std::string publish_endpoint;
  std::string request_endpoint;
};
struct Hello {
  std::uint64_t beat = 0;
  Member self;
  bool client = false;  // publishes nothing, serves nothing
};
struct Welcome {
  std::uint64_t beat = 0;  // of the hello
  Member self;
  std::vector<Member> members;
};
struct Refusal {
  absl::Status why;
};
struct WireRequest {
  std::uint64_t id = 0;
  std::string actor;
  std::string bytes;
};
struct WireOnward {
  std::uint64_t id = 0;
  std::string node;
  std::string actor;
  std::string bytes;
};
struct WireAnswer {
  std::uint64_t id = 0;
  absl::StatusOr<std::string> value;
};
using Control = std::variant<Hello, Welcome, Refusal, WireRequest, WireOnward, WireAnswer>;

std::string encode(const Control& control);
// InvalidArgument says what is wrong with it.
absl::StatusOr<Control> decode_control(std::string_view frame);

struct PublishWish {
  std::string publisher;
  std::string json;
};
std::string encode(const PublishWish& wish);
absl::StatusOr<PublishWish> decode_wish(std::string_view bytes);

struct Marker {
  std::string publisher;
  std::uint64_t nonce = 0;
  std::vector<OriginTail> tails;  // decoded: the prefixes of each are sorted
  bool together = false;          // it was asked, and sends them so
  bool relays = false;            // it was asked, and does
  bool under = false;             // it was asked, and tells prefixes
};
std::string encode(const Marker& marker);
absl::StatusOr<Marker> decode_marker(std::string_view frame);
// Whether a marker's topic asks for that.
bool asks_together(std::string_view marker_topic);
bool asks_relay(std::string_view marker_topic);
bool asks_under(std::string_view marker_topic);

// What "*event bytes" begins with, an event and all that its framing claims; `rest` goes on behind it. InvalidArgument: no whole event.
absl::StatusOr<std::string_view> take_event(std::string_view& rest);

}  // namespace supercloud
