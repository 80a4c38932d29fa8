// What a lease table knows, and the rules of its sessions: one state machine under every persistence. Calls are applied one
// after another, each at the moment at which it was received; what they change is collected for the one sync that must come before their
// answers. Thread-bound; no clock, no disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/lease_table.h"
#include "storage/lease_codec.h"

namespace supercloud {

// Everything that a table keeps on stable storage.
struct LeaseContents {
  std::map<std::string, StoredLease> leases;    // by key
  std::map<SessionId, StoredSession> sessions;  // the live ones
  std::uint64_t sessions_opened = 0;            // ever: no id is used twice
  // the highest of any lease that was removed: a name that is used again goes on above it
  Epoch epochs_removed = 0;
  // of the table; part of session ids, so that a table that was lost repeats none
  std::string identity;
};

// What a group of calls changed; nullopt: removed.
struct LeaseChanges {
  std::map<std::string, std::optional<StoredLease>> leases;
  std::map<SessionId, std::optional<StoredSession>> sessions;
  std::optional<std::uint64_t> sessions_opened;
  std::optional<Epoch> epochs_removed;

  bool empty() const {
    return leases.empty() && sessions.empty() && !sessions_opened && !epochs_removed;
  }
  void apply_to(LeaseContents& contents) const;
};

struct LeaseLimits {
  std::size_t sessions_max = 10'000;
  std::size_t leases_max = 100'000;
};

// What a table has of a swap's record, and of the sessions that it rests on: all as of one moment.
struct SwapView {
  const StoredLease* lease = nullptr;  // null: there is no record
  std::optional<std::string> node;     // of the swap's session; empty: that has ended
  bool session_ended = false;          // the record's
  bool heir_ended = false;
  std::string claimed_by;    // key of the record that has what a define claims; empty: none
  Epoch epochs_removed = 0;  // as LeaseContents
};

// What a table does with a well-formed swap. Where it is not won, or is the repeat of one that was, nothing changes.
struct SwapRuling {
  bool won = false;
  bool repeat = false;  // won before, and asked again after a lost reply
  std::string why;      // why not
  std::string claimed_by;
  std::optional<StoredLease> after;  // where it is won and no repeat; empty: the record is removed
};
SwapRuling rule_on_swap(const Swap& swap, const SwapView& view);

// Whether a listing for `node` has the record: as its holder, its heir, or in sync.
bool lease_names(const LeaseRecord& record, const std::string& node);

class LeaseState {
 public:
  // Every session that `contents` names gets a full TTL from `now`: how much of it was left is not known after a restart.
  LeaseState(LeaseContents contents, Duration ttl, LeaseLimits limits, Instant now);

  // Each applies what has happened by `now` first: the end of sessions whose TTL has passed. `now` never goes
  // back, but for calls that were received before this state was loaded.
  absl::StatusOr<Session> open_session(Instant now, const OpenSession& request);
  absl::Status renew(Instant now, const SessionId& id);
  absl::Status end_session(Instant now, const SessionId& id);
  absl::StatusOr<SwapResult> swap(Instant now, const Swap& swap);
  absl::StatusOr<LeaseRecord> read(Instant now, const std::string& key);
  std::vector<LeaseRecord> list(Instant now, const LeaseQuery& query);

  // Since the last call of this.
  LeaseChanges take_changes();

 private:
  struct LiveSession {
    StoredSession stored;
    Instant ends;  // first moment at which it is over
  };

  void end_overdue(Instant now);
  void end(std::map<SessionId, LiveSession>::iterator session);
  void prolong(LiveSession& session, Instant ends);
  LeaseRecord with_liveness(const LeaseRecord& record) const;
  bool session_alive(const SessionId& id) const { return sessions_.contains(id); }
  bool node_alive(const std::string& node) const { return session_of_node_.contains(node); }

  const Duration ttl_;
  const LeaseLimits limits_;
  const std::string identity_;
  std::map<std::string, StoredLease> leases_;
  std::map<std::string, std::string> claims_;  // key of the record that has each
  std::map<SessionId, LiveSession> sessions_;
  std::map<std::string, SessionId> session_of_node_;
  std::multimap<Instant, SessionId> ends_;  // when each session is over
  std::uint64_t sessions_opened_ = 0;
  Epoch epochs_removed_ = 0;
  LeaseChanges changes_;
};

}  // namespace supercloud
