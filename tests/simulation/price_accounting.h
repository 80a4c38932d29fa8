// What a VM under the policy `cheapest` costs on real prices, worked out from the file alone: a check of watcher, policy, provider,
// executor and ledger that shares no code with them. Times are seconds of market time since 1970.
//
//   - In the last `lead` of each paid hour of its instance the VM goes to the cheapest place, if that is cheaper than where it is.
//   - Whenever the price where it is exceeds the bid, it goes to the cheapest other place at once. `notice` later the cloud takes
//     the instance, and its last, partial hour is free.
//   - If an instance that it left is still rented at that place and not under notice, it goes back there. Else a new one runs `launch` after the decision
//     and is heard of `join` later; its hours count from its launch, each costs the price at its start. The VM is there after `move`.
//   - What has no VM any more is given back at the next of eight looks in the last `lead` of the hour. Begun hours are paid.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace supercloud {

struct AccountingRules {
  double start = 0, end = 0;  // of the time looked at
  double lead = 0, launch = 0, join = 0, move = 0, notice = 0;
  std::int64_t on_demand_nano = 0;  // per hour; also the bid
};

class PriceAccounting {
 public:
  struct Move {
    double at = 0;
    // zone, "on-demand", or "home" where the VM begins and which costs nothing
    std::string from, to;
  };
  struct Hour {
    double from = 0;
    std::string place;
    std::int64_t nano = 0;
    bool free = false;
  };

  // False: there is no such file.
  bool read(const std::string& path);
  void run(const AccountingRules& rules);

  std::vector<Move> moves;
  // that are over by the end, in the order of their instances' launch
  std::vector<Hour> hours;
  int interruptions = 0;

 private:
  struct Rented {
    std::string place;
    double launched = 0;
    double noticed = 0, taken = 0;  // 0: never
    double end = 0;                 // once the VM has left it
    bool free = false;              // its last hour
  };

  std::int64_t price(const std::string& place, double at) const;
  // The first price change of any zone, or of `only`, after `at`.
  double next_change(double at, const std::string& only = "") const;
  double first_excess(const std::string& place, double from, double until) const;
  std::string cheapest(double at, const std::string& here, bool here_allowed) const;
  std::optional<Move> next_move(const Rented& rented, double from) const;
  void leave(Rented& rented, double left) const;
  void charge(const Rented& rented);

  AccountingRules rules_;
  std::map<std::string, std::map<double, std::int64_t>> zones_;  // price changes
};

}  // namespace supercloud
