// Whom a node has to wait for, by what it was told: beside what its custodian made of that.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "core/event.h"
#include "core/time.h"
#include "core/topic.h"

namespace supercloud {

// Only who was named three times counts, the last a short while ago: between two of these the custodian had its turn. Thread-bound.
class ToldHolds {
 public:
  explicit ToldHolds(const Clock& world) : world_(world) {}

  // `frozen`: the machine stands still, and the custodian gets it later.
  void heard(const Event& event, bool frozen);
  void forget();
  std::set<std::string> holders_of(std::string_view topic) const;  // "node/actor"

 private:
  static constexpr int times_min = 3;
  static constexpr Duration apart = absl::Milliseconds(500);
  static constexpr Duration lately = absl::Seconds(10);   // a custodian waits for longer
  static constexpr Duration restarts = absl::Seconds(6);  // after a failure, at most

  struct Told {
    Pattern pattern;
    int times = 0;
    Instant last;  // world time
  };
  const Clock& world_;
  Instant from_{};
  std::map<std::pair<std::string, std::string>, Told> told_;  // by "node/actor" and pattern
};

}  // namespace supercloud
