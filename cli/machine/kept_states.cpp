#include "cli/machine/kept_states.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/str_cat.h"
#include "cli/replace_file.h"
#include "core/topic.h"
#include "core/vm_name.h"

namespace supercloud {
namespace {

using StateJson = nlohmann::ordered_json;
using Role = VolumeStatus::Role;

const char* role_text(Role role) {
  return role == Role::serving ? "serving" : role == Role::sealed ? "sealed" : "replica";
}

std::string state_text(const std::string& vm, const std::string& boot, const VolumeState& state) {
  StateJson history = StateJson::array();
  for (const auto& span : state.history) history.push_back({span.epoch, span.first});
  return StateJson{{"vm", vm},
                   {"boot", boot},
                   {"role", role_text(state.role)},
                   {"fence", state.fence},
                   {"closed", state.closed},
                   {"lineage", state.lineage},
                   {"complete", state.complete},
                   {"crashed", state.crashed},
                   {"history", history},
                   {"sync_peers", state.sync_peers}}
             .dump(2, ' ', false, StateJson::error_handler_t::replace) +
         "\n";
}

struct KeptState {
  std::string vm, boot;
  VolumeState state;
};

absl::StatusOr<KeptState> parse_state(const std::string& content) {
  KeptState kept;
  try {
    const StateJson json = StateJson::parse(content);
    kept.vm = json.at("vm").get<std::string>();
    kept.boot = json.at("boot").get<std::string>();
    const auto role = json.at("role").get<std::string>();
    VolumeState& state = kept.state;
    if (role != "serving" && role != "sealed" && role != "replica")
      return absl::DataLossError(absl::StrCat("role \"", role, "\" is none"));
    state.role = role == "serving"  ? Role::serving
                 : role == "sealed" ? Role::sealed
                                    : Role::replica;
    state.fence = json.at("fence").get<Epoch>();
    state.closed = json.at("closed").get<Epoch>();
    state.lineage = json.at("lineage").get<Epoch>();
    state.complete = json.at("complete").get<bool>();
    state.crashed = json.at("crashed").get<bool>();
    for (const StateJson& span : json.at("history"))
      state.history.push_back({span.at(0).get<Epoch>(), span.at(1).get<std::uint64_t>()});
    state.sync_peers = json.at("sync_peers").get<std::vector<std::string>>();
  } catch (const StateJson::exception& error) {
    return absl::DataLossError(error.what());
  }
  return kept;
}

}  // namespace

KeptStates::KeptStates(std::filesystem::path folder, std::string boot,
                       std::function<void(absl::Status)> on_fatal)
    : folder_(std::move(folder)), boot_(std::move(boot)), on_fatal_(std::move(on_fatal)) {}

std::filesystem::path KeptStates::file_of(const std::string& vm) const {
  const VmName name = VmName::of(vm);
  return folder_ / absl::StrCat(encode_token(name.tenant), ".", encode_token(name.name));
}

absl::Status KeptStates::load(MemoryDisk& disk) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error)
    return absl::UnavailableError(absl::StrCat("making ", folder_.string(), ": ", error.message()));
  std::vector<std::filesystem::path> files_there;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error))
    files_there.push_back(entry.path());
  if (error)
    return absl::UnavailableError(
        absl::StrCat("reading ", folder_.string(), ": ", error.message()));
  for (const std::filesystem::path& path : files_there) {
    // Of a file that was being replaced when its process was killed.
    const std::string name = path.filename().string();
    if (std::ranges::count(name, '.') > 1 && name.substr(name.rfind('.')).starts_with(".new-")) {
      std::filesystem::remove(path, error);
      continue;
    }
    std::ifstream file(path);
    auto kept = parse_state(std::string(std::istreambuf_iterator<char>(file), {}));
    absl::Status good = kept.ok() ? VmName::check(kept->vm) : kept.status();
    if (good.ok() && file_of(kept->vm) != path)
      good = absl::DataLossError(absl::StrCat("it is of ", kept->vm));
    if (!good.ok()) {
      const Damaged damaged{path, std::string(good.message())};
      ABSL_RAW_LOG(WARNING, "%s is not the state of a volume, and is left as it is: %s",
                   path.string().c_str(), damaged.why.c_str());
      damaged_[path] = damaged;
      // Of whichever of the two it was.
      if (kept.ok()) damaged_[file_of(kept->vm)] = damaged;
      continue;
    }
    if (kept->boot != boot_ && kept->state.role == Role::serving) kept->state.crashed = true;
    disk.make(kept->vm, 0, kept->state);
  }
  return absl::OkStatus();
}

absl::Status KeptStates::admits(const std::string& vm) const {
  const auto found = damaged_.find(file_of(vm));
  std::error_code error;
  if (found == damaged_.end() || !std::filesystem::exists(found->second.file, error))
    return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "which copies of ", vm,
      " its disk on this node still takes writes of is not known: ", found->second.file.string(),
      " is damaged (", found->second.why, "); see where the VM runs, then remove that file"));
}

void KeptStates::keep(const std::string& vm, std::uint64_t, const VolumeState& state) {
  const absl::Status kept = replace_file(file_of(vm), state_text(vm, boot_, state), 0600);
  if (!kept.ok()) on_fatal_(kept);
}

void KeptStates::drop(const std::string& vm) {
  std::error_code error;
  std::filesystem::remove(file_of(vm), error);
  if (error)
    on_fatal_(absl::UnavailableError(
        absl::StrCat("removing ", file_of(vm).string(), ": ", error.message())));
}

}  // namespace supercloud
