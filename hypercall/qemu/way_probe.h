// A way of memory, tried: whether the place where a host takes streams in is reached, and what the way carries for a moment.
//
//   source                                   target
//     │ link "qemu": probe ────────────────────▶│ new token, so many bytes as it has to give away just now
//     │◀──────────────────────────────────── way│
//     │ connects to the address, token, ping ──▶│
//     │◀─────────────────────────────────── pong│ the round trip
//     │ filler, for way_time_max at most ──────▶│ counted, forgotten
//     │ end ───────────────────────────────────▶│
//     │◀───────────────────────────────── report│
//
//   stream = token ping [ *filler end ]   ; token: handshake.h
//   ping   = %x01                    ; pong is the same octet
//   filler = %x00                    ; as much as was offered, or less
//   end    = %x02
//   report = bytes:u64 nanoseconds:u64    ; little-endian: of the filler after what came first, and the time from that to the last of it
//
// Filler carries nothing, so that it needs no TLS. Who asks is not known: a target has offers_max offers open, and gives way_bytes_max away once
// in grant_every, to whoever asks; others get the round trip alone.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/event_loop.h"
#include "core/link.h"
#include "core/reply.h"
#include "hypercall/hypervisor.h"
#include "hypercall/qemu/handshake.h"
#include "hypercall/qemu/stream_socket.h"

namespace supercloud {

struct WayReport {
  std::uint64_t bytes = 0;
  std::uint64_t nanoseconds = 0;
  friend bool operator==(const WayReport&, const WayReport&) = default;
};
inline constexpr std::size_t way_report_bytes = 16;
std::string encode(const WayReport& report);
// InvalidArgument: it is no report of a probe.
absl::StatusOr<WayReport> decode_way_report(std::string_view bytes);
// What a source makes of it.
Way way_of(const WayReport& report, Duration round_trip);

// The target's side. Thread-bound to its loop.
class WayTarget {
 public:
  static constexpr std::size_t offers_max = 8;
  static constexpr Duration grant_every = absl::Seconds(1);
  static constexpr Duration probe_max = absl::Seconds(2);  // then it is closed

  explicit WayTarget(EventLoop& loop) : loop_(loop) {}
  ~WayTarget();
  WayTarget(const WayTarget&) = delete;
  WayTarget& operator=(const WayTarget&) = delete;

  // `address`: of the listener of streams, as sources reach it. ResourceExhausted.
  absl::StatusOr<qemu_handshake::WayOffer> offer(const qemu_handshake::Probe& probe,
                                                 const std::string& address, std::string token);
  // Whether the token is of one of its offers: then the stream is its own.
  bool take(const std::string& token, OwnFd& stream);

 private:
  struct Tried;
  void read(int fd);
  void end(int fd);

  EventLoop& loop_;
  Instant granted_{};
  bool granted_once_ = false;
  struct Offer {
    std::uint64_t bytes = 0;
    TimerId timer = 0;
  };
  std::map<std::string, Offer> offers_;  // by token
  std::map<int, std::shared_ptr<Tried>> tried_;
};

// The source's side: replies within WayTarget::probe_max. As Hypervisor::try_way.
void try_way_to(EventLoop& loop, LinkNetwork& network, const std::string& endpoint, bool measure,
                Reply<Way> reply);

}  // namespace supercloud
