// How two hosts agree on a stream between their QEMUs: frames of one Link of the service "qemu", each a JSON object with one member.
//
//   link     = hello ( accept | refuse ) [ end ]            ; a new transfer
//            | ask ( refuse | end )                         ; how did it end? of a source that has lost its link
//            | again ( accept | arrived | whole | refuse | lost )  ; another stream for a guest that executes, some of its memory
//                                                             missing. arrived: it is frozen, and takes none before it goes on
//            | probe ( way | refuse )                       ; may streams come, and over which way? (way_probe.h)
//   end      = arrived | lost                               ; from the target, once
//   source -> target: hello, ask, again, probe, and lost at any time;   target -> source: accept, way, refuse, arrived, whole, lost
//
//   hello    = {"hello": {"version": 1, "vm": text, "epoch": u64, "migration": text, "tls": flag}}
//   ask      = {"ask": {the same}}
//   again    = {"again": {the same}}
//   probe    = {"probe": {"version": 1, "measure": flag}}
//   accept   = {"accept": {"address": endpoint, "token": 32HEXDIG, "post_copy": flag}} ; the target can do with a part of memory
//   way      = {"way": {"address": endpoint, "token": 32HEXDIG, "bytes": u64}}  ; how many it may be tried with
//   refuse   = {"refuse": why}
//   arrived  = {"arrived": true}                            ; the guest is at the target, stopped; by post-copy some of its memory follows
//   whole    = {"whole": true}                              ; after a post-copy: all of its memory is there
//   lost     = {"lost": why}                                ; the copy of who says it is gone
//
// The stream itself is a connection to the address, and the source's first bytes on it are the token, 16 octets; all that follow, both
// ways, are QEMU's, over TLS where both hosts have it (tls.h): hello says it of the source, and a target that is otherwise refuses. So a QEMU never listens, and gets no byte that its own migration did not send. A token is good for one connection,
// within token_max, and a way's for no transfer. A host of an earlier release refuses a probe as something that it does not know.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/statusor.h"
#include "core/event.h"
#include "core/time.h"
#include "core/units.h"

namespace supercloud::qemu_handshake {

inline constexpr const char* service = "qemu";
inline constexpr int protocol_version = 1;
inline constexpr std::size_t frame_bytes_max = 4096;
inline constexpr std::size_t token_bytes = 16;
inline constexpr Duration token_max = absl::Seconds(10);
inline constexpr Duration hello_max =
    absl::Seconds(10);  // until a link says hello, and until that is answered

struct Hello {
  enum class Kind : std::uint8_t { hello, ask, again };
  std::string vm;
  Epoch epoch = 0;
  EventId migration;
  Kind kind = Kind::hello;
  bool tls = false;  // what follows is encrypted; of one that does not say it: false
  friend bool operator==(const Hello&, const Hello&) = default;
};
struct Probe {
  bool measure = false;
  friend bool operator==(const Probe&, const Probe&) = default;
};
struct WayOffer {
  std::string address;
  std::string token;        // octets
  std::uint64_t bytes = 0;  // at most way_bytes_max
  friend bool operator==(const WayOffer&, const WayOffer&) = default;
};
struct Accept {
  std::string address;
  std::string token;       // octets
  bool post_copy = false;  // of one that does not say it: false
  friend bool operator==(const Accept&, const Accept&) = default;
};
struct Refuse {
  std::string why;
  friend bool operator==(const Refuse&, const Refuse&) = default;
};
struct Arrived {
  friend bool operator==(const Arrived&, const Arrived&) = default;
};
struct Whole {
  friend bool operator==(const Whole&, const Whole&) = default;
};
struct Lost {
  std::string why;
  friend bool operator==(const Lost&, const Lost&) = default;
};
using Frame = std::variant<Hello, Accept, Refuse, Arrived, Lost, Probe, WayOffer, Whole>;

// Texts of people (why) are cut.
std::string encode(const Frame& frame);
// InvalidArgument says what is wrong. What it accepts, encode() makes again.
absl::StatusOr<Frame> decode(std::string_view bytes);

}  // namespace supercloud::qemu_handshake
