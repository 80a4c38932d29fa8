// A policy as a person names it: one of those that come with the program, or a file.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "actors/policy/policies.h"

namespace supercloud {

// What each policy of built_in_policies() does; the simplest first.
struct PolicyWords {
  std::string name, does;
};

std::vector<PolicyWords> built_in_policy_words();

// The names by which VMs choose policies that a person has named, each once, in that order. A file's policy is started once, to see
// that it runs, and added to the registry, for virtual time, with so much real time for an answer. NotFound: neither a name that is
// known nor a file. InvalidArgument: the file is no policy, or does not begin to answer.
absl::StatusOr<std::vector<std::string>> take_policies(const std::vector<std::string>& named,
                                                       Duration answer_within,
                                                       PolicyRegistry& registry);

}  // namespace supercloud
