// Which etcd has a cluster's leases.
#pragma once

#include <string>
#include <vector>

namespace supercloud {

struct EtcdConfig {
  std::vector<std::string>
      endpoints;                 // "https://address:2379", each a member; http on this machine only
  std::string ca;                // PEM, of those who vouch for members; empty: the system's
  std::string certificate, key;  // PEM, what nodes show of themselves; both or none
  std::string prefix = "/supercloud/";  // of all keys; ends with "/"
};

}  // namespace supercloud
