#include "cli/demo/example_policies.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/policy/plugin/policy_file.h"

namespace supercloud {
namespace {

struct Example {
  const char* file;  // below the folder of the examples that were built
  const char* policy;
  const char* vm;
  std::size_t zone;  // where it begins
};

constexpr Example examples[] = {{"policy.py", "hour-end", "etl1", 1},
                                {"preferred_zones.so", "preferred", "game1", 0}};
constexpr std::uint64_t example_memory_bytes = 1ULL << 30;

// Beside this program in the build folder.
std::filesystem::path example_folder() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  return program.parent_path().parent_path() / "examples";
}

}  // namespace

void add_example_policies(DemoPlan& plan) {
  for (const Example& example : examples) {
    const std::string file = (example_folder() / example.file).string();
    const auto greeting = greet_policy({.name = example.policy, .file = file});
    if (!greeting.ok()) {
      plan.notes.push_back(absl::StrCat("no VM decides by examples/", example.file, ": ",
                                        std::string(greeting.status().message())));
      continue;
    }
    plan.policies[example.policy] = file;
    plan.vms.push_back({.name = example.vm,
                        .policy = example.policy,
                        .requires_trust = "",
                        .start = plan.spots[std::min(example.zone, plan.spots.size() - 1)],
                        .memory_bytes = example_memory_bytes});
    plan.notes.push_back(absl::StrCat(example.vm, " decides by examples/", example.file, " (",
                                      greeting->name, ", version ", greeting->version, ": ",
                                      greeting->decides_on, ")"));
  }
}

}  // namespace supercloud
