// What a replay found out: for the table, the JSON and the report of `supercloud replay`. Values; market time throughout.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "actors/spot/price_feed.h"
#include "core/units.h"

namespace supercloud {

// A place as a policy saw it when it decided.
struct ReplayCandidate {
  std::string place;
  Money cost, gain;      // over the policy's horizon; against staying
  std::string excluded;  // why it was no choice; empty: it was one
};

// A policy's word that a VM stays where it is.
struct ReplayLook {
  absl::Time at;
  std::string reason;
};

// A VM at one place, from its arrival until it left.
struct ReplayStay {
  std::string vm;
  absl::Time from, to;
  std::string place;    // id
  std::string reason;   // why it came here, one sentence
  bool flight = false;  // it came because the cloud took what it had
  std::vector<ReplayCandidate> candidates;
  std::string
      decision;  // id of the migration.proposed, "origin/incarnation/sequence"; empty: it began here
  std::vector<ReplayLook> looks;  // in order, each with another reason than the one before
};

struct ReplayStrategy {
  std::string name;
  Money cost;                 // the sum of the next three
  Money instances, transfer;  // as the ledger charges them: hours of machines, what moves sent
  Money open;              // of both: what no event charges yet, hours begun and moves just ended
  Money downtime;          // what it costs the VMs' users; no cloud asks for it
  std::int64_t moves = 0;  // completed, flights included
  std::int64_t revocations = 0;  // notices met by instances with a VM on them
  std::int64_t caught = 0;       // VMs that were still there when the cloud took the instance
  absl::Duration down;           // sum over VMs, blackouts included
  std::int64_t answers = 0;      // of the policy that could be taken, to stay or to go
  std::int64_t failures =
      0;  // of it: late, crashed, nonsense; without a count of answers, as often as events told so
  std::string failure;                                   // what the first one was
  std::vector<ReplayStay> stays;                         // in order of `from`
  std::vector<std::pair<absl::Time, Money>> cumulative;  // what was paid by then, in order
  std::uint64_t events = 0;                              // in its log
};

struct ReplayPrices {
  PlaceName place;
  std::vector<std::pair<absl::Time, Money>> changes;  // in order; held until the next
};

struct ReplayResult {
  std::string title;                                       // "r3.large in us-east-1, Linux/UNIX"
  std::vector<std::pair<std::string, std::string>> model;  // every assumption, as name and value
  absl::Time from, to;
  int vms = 1;
  std::vector<ReplayPrices> prices;
  Money on_demand;    // all the time, all VMs
  Money clairvoyant;  // the least that was possible under the model, with as many moves as pay
  // the asked policy first; then the baselines; with a budget of moves "clairvoyant-20-moves"; "clairvoyant" the last
  std::vector<ReplayStrategy> strategies;
  std::optional<double>
      saving_reached;  // of the asked policy: (on_demand - cost) / (on_demand - clairvoyant); empty: nothing to save
  std::uint64_t rejected_rows = 0;  // damaged prices that were left out
  std::vector<std::string> damage;  // what was wrong with the first few of them
  std::uint64_t prices_read = 0;
  absl::Duration wall;
  std::string log;  // the run in whose folder the asked policy's log is; empty: none was kept
};

}  // namespace supercloud
