// Which etcd has a cluster's leases.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"

namespace supercloud {

struct EtcdConfig {
  std::vector<std::string>
      endpoints;                 // "https://address:2379", each a member; http on this machine only
  std::string ca;                // PEM, of those who vouch for members; empty: the system's
  std::string certificate, key;  // PEM, what nodes show of themselves; both or none
  std::string prefix = "/supercloud/";  // of all keys; ends with "/"
};

// Which table: its identity, 32 hexadecimal digits, stands in it since it was first opened.
struct EtcdTableIdentity {
  std::string
      known;  // from before; empty: that of the first table which answers, or of the one that is made there
  std::function<void(const std::string& identity)>
      on_learned;  // once, before anything that was read in the table is told; may be empty
};

inline bool is_table_identity(std::string_view text) {
  return text.size() == 32 && std::ranges::all_of(text, [](char c) {
           return absl::ascii_isxdigit(static_cast<unsigned char>(c));
         });
}

}  // namespace supercloud
