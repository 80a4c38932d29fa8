// What a hub tells of itself on its cloud's bus, as nodes do: whose queue is full (bus.slow_subscriber), and from whom came what was not taken
// (bus.rejected). It keeps no log: who is not there to hear it has a gap, which nobody can repair.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "core/event.h"
#include "core/hybrid_clock.h"
#include "core/scheduler.h"

namespace supercloud {

// Thread-bound. What it is given outlives it. Nothing is published, or complained of, from inside a call.
class HubReports {
 public:
  static constexpr Duration quiet = absl::Seconds(10);  // of one who is refused
  static constexpr std::size_t sources_max = 256;       // further ones are "others"
  static constexpr std::size_t text_max = 256;

  using Publish = std::function<void(const Event& event)>;
  using Complain = std::function<void(const std::string& from, const std::string& why)>;
  // `complain` is told the same as the bus; may be empty.
  HubReports(Scheduler& scheduler, EventPool& pool, HybridClock& clock, std::string hub,
             std::uint64_t incarnation, Publish publish, Complain complain);
  ~HubReports();
  HubReports(const HubReports&) = delete;
  HubReports& operator=(const HubReports&) = delete;

  // SlowSubscribers::Told, which is at most once a second for each.
  void slow(const std::string& subscriber, std::uint64_t backlog);
  // The last reason of each is told, with how often that was, every 10 s.
  void rejected(std::string from, std::string why);

 private:
  struct Source {
    std::uint64_t count = 0;  // not yet told
    std::string why;          // of the last
    Instant quiet_until;
  };
  void arm();
  void tell();
  void publish(Draft draft);

  Scheduler& scheduler_;
  EventPool& pool_;
  HybridClock& clock_;
  const std::string hub_;
  const std::string origin_;
  const std::uint64_t incarnation_;
  const Publish publish_;
  const Complain complain_;
  std::map<std::string, std::uint64_t> slow_;
  std::map<std::string, Source> rejected_;
  std::uint64_t last_ = 0;                                     // sequence
  std::map<std::string, std::uint64_t, std::less<>> last_of_;  // by topic
  TimerId timer_ = 0;
};

}  // namespace supercloud
