// What a hub is told by its TOML file. examples/hub.toml is one with every key explained.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace supercloud {

struct HubConfig {
  // On one of the two buses.
  struct End {
    std::string publish_endpoint, request_endpoint;
    std::vector<std::string> seeds;
  };
  std::string name;
  std::string key, trust;  // files; both or none: then both buses are ipc alone
  End cloud;               // among the nodes of its cloud
  End hubs;                // among the hubs of the other clouds
};

// InvalidArgument with file, line, key and cure; NotFound.
absl::StatusOr<HubConfig> read_hub_config(const std::string& path);
absl::StatusOr<HubConfig> parse_hub_config(std::string_view content, const std::string& name);

}  // namespace supercloud
