// Leases, sessions and swaps as Cap'n Proto messages and back, and what is accepted of them at all.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/lease_table.h"
#include "core/message.h"

namespace supercloud {

inline constexpr std::size_t lease_key_bytes_max = 255;
inline constexpr std::size_t lease_value_bytes_max = 64 << 10;
// of nodes, sessions, swap ids, identities
inline constexpr std::size_t lease_name_bytes_max = 255;
inline constexpr std::size_t lease_claim_bytes_max = 255;
inline constexpr std::size_t lease_in_sync_max = 64;

// OK, or InvalidArgument that names the field and what is expected of it.
absl::Status validate_lease_key(std::string_view key);  // "vm/<tenant>/<name>" or "role/<name>"
absl::Status validate(const OpenSession& request);
absl::Status validate(const Swap& swap);
absl::Status validate(const LeaseRecord& record);

void write_lease(const LeaseRecord& record, schema::Lease::Builder builder);
absl::StatusOr<LeaseRecord> read_lease(schema::Lease::Reader reader);
void write_swap(const Swap& swap, schema::Swap::Builder builder);
absl::StatusOr<Swap> read_swap(schema::Swap::Reader reader);

// A status as a response, and a response's status: its code and message.
Message<schema::Response> error_response(const absl::Status& status);
absl::Status response_status(schema::Response::Reader response);

// What a table keeps on disk of a record: grammar
//   stored = length of last attempt (2 bytes big-endian), last attempt, Response message with `lease`
struct StoredLease {
  LeaseRecord record;  // session_alive and heir_alive mean nothing here
  // kind, session and id of the last swap that changed it, also within an epoch
  std::string last_attempt;
};
std::string encode_stored_lease(const StoredLease& lease);
// DataLoss where the bytes are not what encode_stored_lease() makes.
absl::StatusOr<StoredLease> decode_stored_lease(std::string_view bytes);

struct StoredSession {
  SessionId id;
  std::string node;
  std::string identity;
};
std::string encode_stored_session(const StoredSession& session);
absl::StatusOr<StoredSession> decode_stored_session(SessionId id, std::string_view bytes);

}  // namespace supercloud
