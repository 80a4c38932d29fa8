// What must hold when a torture run is over, of what its processes wrote down and of what is in their logs. Pure.
//
//   - what was acknowledged is in its publisher's log, and has reached every subscriber to which it was owed;
//   - what a subscriber received of an origin is in order, has no doubles, is what the log has under that number, and durable events
//     among it are in the log;
//   - what it did not receive, of what it was owed and can know of, is named by a gap that it was told.
//
// A subscriber is owed what is published after it was ready, until its life ended: up to the last that it received, or, if it lived to the
// end, all.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tests/process/torture/record.h"

namespace supercloud::torture {

struct OriginTruth {
  std::string name;
  std::vector<Record> log;           // as `received`
  std::vector<Record> acknowledged;  // of all lives of its publisher, in order
};

struct SubscriberLife {
  std::string name;        // for people
  std::size_t tokens = 0;  // of its subscriptions' prefixes
  bool to_the_end = false;
  std::vector<Record> records;
};

struct Verdict {
  std::vector<std::string> wrong;  // the first of each sort and place, for people
  std::size_t unlogged = 0;        // acknowledged or delivered as durable, and not in the log
  std::size_t disordered = 0;      // doubles among them
  std::size_t altered = 0;
  std::size_t unreached = 0;  // acknowledged, owed and not received
  std::size_t silent = 0;     // missed, and named by no gap
  std::size_t named = 0;      // missed, durable, and named by a gap
  std::size_t received = 0;
  std::size_t owed = 0;  // durable events, over all lives
  std::int64_t longest_wait_ns =
      0;  // of an acknowledged event for a subscriber that it was owed to

  bool good() const { return unlogged + disordered + altered + unreached + silent == 0; }
};

Verdict judge(const std::vector<OriginTruth>& origins, const std::vector<SubscriberLife>& lives);

}  // namespace supercloud::torture
