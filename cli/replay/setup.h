// What commands that replay prices are asked for, and what they make of it.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "actors/policy/plugin/policy_file.h"
#include "simulation/replay/price_grid.h"
#include "simulation/replay/replay.h"

namespace CLI {
class App;
}

namespace supercloud {

struct ReplaySetup {
  std::vector<std::string> files;
  std::string type, product, region, cloud = "aws";
  std::vector<std::string> on_demand;  // "TYPE=USD"
  std::string from, to, start;
  std::vector<std::string> vm_files;
  std::string policy = "smart-spot";                     // a name, or a file
  absl::Duration answer_within = default_answer_within;  // of a file's policy, in real time
  int vms = 1;
  ReplayModel model;
  bool plain = false, plain_hours = false;  // --model
  std::vector<std::string> leave_out;       // "FROM/TO"
  std::optional<int> clairvoyant_moves;     // at most, of each VM
  bool keep_changes = false;                // of prices, which only a report shows
};

void add_replay_options(CLI::App& command, ReplaySetup& setup);
// InvalidArgument: an option was given that has no effect under the model that is asked for.
absl::Status check_model(const CLI::App& command, const ReplaySetup& setup);

// Everything but a policy.
struct PreparedReplay {
  std::string title;
  ReplayOptions options;            // `vms` have the policy that was asked for
  std::shared_ptr<PriceGrid> grid;  // with the on-demand place
  std::optional<int> clairvoyant_moves;
  // What the prices are of, what is paid on demand and who said so, where the VMs begin: as ReplayModel::described().
  std::vector<std::pair<std::string, std::string>> facts;
  std::string notes;  // for stderr: what a person may not expect, a line each
  std::chrono::steady_clock::time_point began;
};

// Reads the prices. Errors name file or option, and the cure.
absl::StatusOr<PreparedReplay> prepare(const ReplaySetup& setup);

// Why this VM may not be at this place; empty: it may. By the labels that every place carries: in a replay it has no others.
std::string why_not_at(const Message<schema::VmSpec>& vm, const PlaceName& place);

}  // namespace supercloud
