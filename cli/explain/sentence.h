// The one plain sentence with which an explanation opens.
#pragma once

#include <string>

#include "cli/explain/history.h"

namespace supercloud {

// "web1" of "main/web1"; VMs of other tenants keep their tenant.
std::string vm_words(const std::string& vm);
// "node-c at us-east-1c/spot"
std::string node_words(const ClusterFold& fold, const std::string& node);

std::string sentence(const History& history, const MigrationState& migration);
std::string sentence(const History& history, const VmHistory& vm);

}  // namespace supercloud
