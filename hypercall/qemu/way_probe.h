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
// Filler carries nothing, so that it needs no TLS. Who asks is not known: a target has offers_max offers open, and gives way_bytes_max away
// grants_max times in grant_every, to whoever asks; others get the round trip alone. After probe_max it reports what came until then.
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
// What a source makes of it, which said filler for the time `filled`, and of that could not for `blocked`, as the way took no more. Where it
// was not the way that was waited for, or not for long, it is "at least".
Way way_of(const WayReport& report, Duration round_trip, Duration filled, Duration blocked);

// The target's side. Thread-bound to its loop.
class WayTarget {
 public:
  static constexpr std::size_t offers_max = 8;
  static constexpr int grants_max = 2;  // what seems too slow is tried again
  static constexpr Duration grant_every = absl::Seconds(1);
  static constexpr Duration probe_max = absl::Seconds(2);  // then it is reported and closed

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
  void report(int fd, Instant until);
  void end(int fd);

  EventLoop& loop_;
  Instant granted_{};  // the first of `grants_`
  int grants_ = 0;
  struct Offer {
    std::uint64_t bytes = 0;
    TimerId timer = 0;
  };
  std::map<std::string, Offer> offers_;  // by token
  std::map<int, std::shared_ptr<Tried>> tried_;
};

class WaySource;

// The source's side: every try that is under way; those that are, as it goes, are ended with Cancelled. Thread-bound.
class WaySources {
 public:
  static constexpr Duration try_max = absl::Milliseconds(2500);  // longer than a target counts

  WaySources(EventLoop& loop, LinkNetwork& network) : loop_(loop), network_(network) {}
  ~WaySources();
  WaySources(const WaySources&) = delete;
  WaySources& operator=(const WaySources&) = delete;

  // Replies within try_max. Unavailable: what the other end said, or the network of it. Unimplemented: it tells nothing of ways. Others, as
  // DeadlineExceeded: whether it is reached was not found out.
  void try_way(const std::string& endpoint, bool measure, Reply<Way> reply);

 private:
  using Tries = std::map<std::uint64_t, std::shared_ptr<WaySource>>;
  EventLoop& loop_;
  LinkNetwork& network_;
  std::uint64_t last_ = 0;
  std::shared_ptr<Tries> tries_ = std::make_shared<Tries>();
};

}  // namespace supercloud
