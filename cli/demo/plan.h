// What a demo consists of, before anything runs: market, places, VMs and what the scripted user does. Pure but for reading
// price files.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/guests/qemu_program.h"
#include "cli/node_config.h"

namespace supercloud {

struct DemoOptions {
  std::vector<std::string> prices;  // files in any form; none: a generated market
  std::string from;                 // RFC 3339 or a date; empty: where the files begin
  std::string type, product;  // where the files have several, or do not say; empty: the only one
  std::int64_t speed = 1200;  // market seconds per second
  Duration duration = absl::Seconds(60);
  std::uint64_t seed = 0;  // 0: the one that shows everything within a minute
};

struct DemoVm {
  std::string name;
  std::string policy;
  std::string requires_trust;  // "high"; empty: nothing
  PlaceName start;
  std::uint64_t memory_bytes = 4ULL << 30;
};

struct DemoPlan {
  MarketConfig market;  // without the wall time of its start
  AccountConfig account;
  std::string prices;            // where they come from, in words
  std::vector<PlaceName> spots;  // by name
  PlaceName on_demand;
  Money on_demand_price;
  bool on_demand_guessed = false;  // the files' instance type is not one whose price is known
  std::vector<DemoVm> vms;
  std::map<std::string, std::string> policies;  // files by name, for every node
  std::vector<std::string> notes;               // said as it begins
  std::optional<FoundQemu> qemu;                // of its guests; empty: they are simulated
  // A user asks for something that preflight refuses: this VM to a place that does not carry what it requires. Empty: there is none.
  std::string refused_vm;
  Duration refused_after = absl::Seconds(12);
};

// InvalidArgument and NotFound say what to change.
absl::StatusOr<DemoPlan> plan_demo(const DemoOptions& options);

// "us-east-1a", or "on-demand".
std::string short_place(const PlaceName& place);
std::string short_place(std::string_view place_id);

}  // namespace supercloud
