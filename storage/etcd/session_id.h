// Ids of sessions that are leases of etcd's: NODE ":" and the lease, 16 hexadecimal digits. etcd uses no lease's id twice.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/lease_table.h"

namespace supercloud::etcd {

inline SessionId session_id(const std::string& node, std::int64_t lease) {
  return absl::StrCat(node, ":", absl::Hex(lease, absl::kZeroPad16));
}

// Of an id that is none of etcd's too: the node it looks like.
inline std::string node_of_session(const SessionId& id) { return id.substr(0, id.rfind(':')); }

inline std::optional<std::int64_t> lease_of_session(const SessionId& id) {
  const std::string digits = id.substr(std::min(id.size(), node_of_session(id).size() + 1));
  std::int64_t lease = 0;
  if (digits.size() != 16 || !absl::SimpleHexAtoi(digits, &lease) || lease <= 0)
    return std::nullopt;
  return lease;
}

}  // namespace supercloud::etcd
