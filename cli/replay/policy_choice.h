// A policy as a person names it: one of those that come with the program, or a file.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "actors/policy/policies.h"

namespace supercloud {

struct PolicyWords {
  std::string name, does;
};

std::vector<PolicyWords> built_in_policy_words();

// Adds a file's policy to the registry, for virtual time, with so much real time for an answer; gives the name by which VMs choose it. NotFound: neither a name that is
// known nor a file.
absl::StatusOr<std::string> take_policy(const std::string& name_or_file, Duration answer_within,
                                        PolicyRegistry& registry);

}  // namespace supercloud
