// A hub joins the bus of one cloud with the bus of all hubs: what one side's members subscribe is subscribed on the other, what comes there is
// relayed byte for byte, and requests for nodes that are no members here are asked there.
//
//   members of cloud a ── bus of cloud a ── hub a ── bus of the hubs ── hub b ── bus of cloud b ── members of cloud b
//
// So links between clouds grow with the clouds, and a node knows its own cloud's members, and where the origins stand that are relayed to it.
// Heartbeats stay in their cloud, but for who subscribes all that nodes say. In their place a hub says once a second, in a heartbeat of its own,
// what it has let pass: the tails by which its members see what they miss, which they ask the log of its publisher for, through the hubs. Before
// an origin's first event under a prefix passes it says from where on it has followed that. So who subscribes little hears and remembers little,
// and what a hub remembers grows with its own cloud and with what that wants of others.
//
// Who relays is believed about telemetry, about who asks, and, where there are no keys, about all that others have said. One hub to a cloud; while
// it is gone, the cloud is alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "bus/beyond.h"
#include "bus/gap_detector.h"
#include "core/event.h"
#include "core/hybrid_clock.h"
#include "core/scheduler.h"

namespace supercloud {

// Of a hub's buses.
inline GapDetector::Options hub_gap_options() { return {.origins_max = 65'536, .onward = true}; }

struct HubOptions {
  std::string name;  // on both buses
  // Of its heartbeats; greater than that of the process before. 0: the time.
  std::uint64_t incarnation = 0;
  // It joins the other hubs when it has listened to its cloud for so long: heartbeats tell what was said there before.
  Duration listen = absl::Milliseconds(1500);
  Duration digest_interval = absl::Seconds(1);
  // What has passed is told in the first of so many and in the last: for longer than a link may lose everything without being found out (silence_max
  // of a bus).
  int digests = 5;
  // Of what it tells its cloud of itself (bus/hub_reports.h): the same, for who looks after it. May be empty.
  std::function<void(const std::string& from, const std::string& why)> complain;
};

class HubReports;

// Thread-bound. Buses, scheduler and pool outlive it; between its end and theirs nothing runs.
class Hub {
 public:
  // Of two buses that were not started; they are, here.
  Hub(Scheduler& scheduler, EventPool& pool, RelayingBus& cloud, RelayingBus& wide,
      HubOptions options);
  ~Hub();
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  std::uint64_t relayed() const { return relayed_; }  // events, both ways
  // What is found out outside of it: of its buses, and of its trust file.
  void on_slow_subscriber(const std::string& subscriber, std::uint64_t backlog);
  void on_rejected(std::string from, std::string why);

 private:
  class Side;

  void arm_digest();

  Scheduler& scheduler_;
  EventPool& pool_;
  HubOptions options_;
  HybridClock clock_;
  std::unique_ptr<Side> cloud_, wide_;
  std::unique_ptr<HubReports> reports_;
  std::uint64_t relayed_ = 0;
  TimerId listen_timer_ = 0;
  TimerId digest_timer_ = 0;
};

}  // namespace supercloud
