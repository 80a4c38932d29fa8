// The ten series of real prices that policies are measured on, and what was possible on each. For tests and benchmarks; the files
// are not part of the project: SUPERCLOUD_DATA names the folder that holds them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "actors/ledger/billing.h"
#include "simulation/replay/clairvoyant.h"
#include "simulation/replay/replay.h"

namespace supercloud {

struct RealTrace {
  std::string name;  // year and type, "2016 m4.xlarge"
  std::string file;
  std::string instance_type;
  Money on_demand;
  std::int64_t from = 0, to = 0;  // seconds since 1970
  // What the best fixed threshold of 0, 10, 20, 50 and 100 % pays, by the replay: `make bench` measures it anew, and says so if it is
  // another.
  Money best_threshold;
  int moves_over = 0;  // more than 1.2 times the clairvoyant's that smart-spot makes

  Money paid_on_demand() const { return cost(on_demand, absl::Seconds(to - from)); }
};

const std::vector<RealTrace>& real_traces();
std::string path_of(const RealTrace& trace);

// One VM that begins on demand.
ReplayOptions replay_options(const RealTrace& trace, const std::string& policy,
                             schema::Billing billing = schema::Billing::HOURLY);

struct Possible {
  Money least;  // without a look at refunds
  int moves = 0;
  int moves_allowed = 0;  // 1.2 times as many
};
absl::StatusOr<Possible> possible(const RealTrace& trace,
                                  schema::Billing billing = schema::Billing::HOURLY);
// ... with at most so many moves.
absl::StatusOr<Money> possible_with(const RealTrace& trace, int moves);

}  // namespace supercloud
