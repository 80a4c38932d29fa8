#include "cli/replay/policy_choice.h"

#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "actors/policy/plugin/policy_file.h"
#include "cli/suggest.h"
#include "core/topic.h"

namespace supercloud {

std::vector<PolicyWords> built_in_policy_words() {
  return {
      {"stay", "never moves"},
      {"cheapest", "goes to the cheapest place as each paid hour ends, whatever the move costs"},
      {"threshold-10", "as cheapest, if the price here is more than 10 % above the one there"},
      {"threshold-20", "... 20 %"},
      {"threshold-50", "... 50 %"},
      {"threshold-100", "... 100 %"},
      {"smart-spot",
       "goes, as a paid hour ends, where it would have cost least by now, the move counted, unless "
       "prices there are expected to be the higher ones"},
  };
}

namespace {

absl::StatusOr<std::string> take_policy(const std::string& name_or_file, Duration answer_within,
                                        PolicyRegistry& registry) {
  if (registry.contains(name_or_file)) return name_or_file;
  if (name_or_file == "clairvoyant")
    return absl::InvalidArgumentError(
        "the clairvoyant decides nothing, for it knows the future; its row is in every table");
  std::error_code error;
  if (!std::filesystem::exists(name_or_file, error)) {
    std::vector<std::string> known;
    for (const auto& [name, factory] : registry) known.push_back(name);
    return absl::NotFoundError(
        absl::StrCat("there is no policy and no file \"", name_or_file, "\"; ",
                     suggest(name_or_file, known, "`supercloud policy list`")));
  }
  PolicyFileOptions options;
  options.file = name_or_file;
  options.name = std::filesystem::path(name_or_file).stem().string();
  const std::string stem = options.name;
  for (int other = 2; registry.contains(options.name); ++other)
    options.name = absl::StrCat(stem, "-", other);
  options.deadline = answer_within;
  if (const auto greeting = greet_policy(options); !greeting.ok())
    return absl::InvalidArgumentError(
        absl::StrCat("policy ", options.file, " cannot run: ", greeting.status().message()));
  auto factory = blocking_policy_from_file(options);
  if (!factory.ok()) return factory.status();
  registry[options.name] = *std::move(factory);
  return options.name;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> take_policies(const std::vector<std::string>& named,
                                                       Duration answer_within,
                                                       PolicyRegistry& registry) {
  std::vector<std::string> names;
  std::set<std::string> taken;
  for (const std::string& one : named) {
    if (!taken.insert(one).second) continue;
    auto name = take_policy(one, answer_within, registry);
    if (!name.ok()) return name.status();
    names.push_back(*std::move(name));
  }
  return names;
}

}  // namespace supercloud
