// The lease table seam: the law about who may run what (docs/choreography.md, "The record"). Events are hints; only a
// compare-and-swap here changes an owner.
//
// Sessions. A node has at most one live session. The table ends it when no renewal arrived for the TTL by the table's clock, and
// not before; a restarted table grants every session a full TTL. What a session's node may still do is for the node's own
// clock to say (rule 8), never for the table.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/event.h"
#include "core/reply.h"

namespace supercloud {

using SessionId = std::string;
using SwapKind = schema::SwapKind;

struct Heir {
  std::string
      node;  // empty: nobody may commit any more, and the migration's end is still to be said (6)
  EventId migration;
  friend bool operator==(const Heir&, const Heir&) = default;
};

// Keys of leases: "vm/<tenant>/<name>", "role/<name>".
inline constexpr char vm_keys[] = "vm/";  // what those of all VMs begin with
inline std::string key_of_vm(std::string_view vm) { return vm_keys + std::string(vm); }
inline std::string vm_of_key(std::string_view key) {
  return std::string(key.substr(sizeof vm_keys - 1));
}

// One VM's, or one role's.
struct LeaseRecord {
  std::string key;
  std::string holder;  // node
  // the session under which the last epoch was won; once ended, a newer one of the same node does not revive it
  SessionId session;
  std::string swap_id;  // which swap won the epoch
  // and its kind: a copy that came by a commit or reclaim, or a boot from disk
  SwapKind swap_kind = SwapKind::DEFINE;
  // grows; above that of every record that was ever removed, so a name used again repeats none
  Epoch epoch = 0;
  // The mark of a migration whose end has not been said (6): whom its accept named, for as long as that node may commit or has.
  std::optional<Heir> heir;
  // nodes whose replica has every acknowledged flushed write; the holder is one
  std::vector<std::string> in_sync;
  bool loss_allowed = false;  // bounded loss: a node outside of in_sync may take over
  std::string value;          // desired state: a schema::VmSpec message for VMs
  // What no other record may have as well, as "address/10.0.0.5"; empty: nothing. Lives and dies with the record.
  std::string claim;
  std::uint64_t revision = 0;  // grows with every change of the record

  // As of the answer, by the table's clock.
  bool session_alive = false;
  bool heir_alive = false;

  // Another node may still commit.
  bool hand_over_open() const { return heir && !heir->node.empty() && heir->node != holder; }

  friend bool operator==(const LeaseRecord&, const LeaseRecord&) = default;
};

struct Session {
  SessionId id;
  Duration ttl;
  bool went_on = false;  // it had been opened before
};

struct OpenSession {
  std::string node;
  // of the node's data directory; a live session of another identity under this name is AlreadyExists
  std::string identity;
};

struct Swap {
  std::string key;
  SwapKind kind = SwapKind::DEFINE;
  SessionId session;  // must be alive when the swap is applied; its node acts
  // unique per attempt; a repeat of the winning one answers "won" again
  std::string swap_id;
  Epoch epoch = 0;  // must be the record's; 0: there must be no record
  // must be the record's, where given: inSync, desire, remove need it
  std::uint64_t revision = 0;
  // accept: the heir; commit and clearHeir: the mark that the record must have
  std::optional<Heir> heir;
  // define, inSync: the new set; commit, takeover: as given, if not empty
  std::vector<std::string> in_sync;
  bool loss_allowed = false;  // define, desire: the new flag
  std::string value;          // define, desire: the new value
  std::string claim;          // define: refused while another record has it
};

struct SwapResult {
  bool won = false;
  std::string why;                    // why not
  std::optional<LeaseRecord> record;  // after the swap, or as it stands
  std::string claimed_by;             // key of the record that has what a define claims
};

struct LeaseQuery {
  std::string prefix;  // of the key
  std::string node;    // where given: only records that name it as holder, heir or in sync
};

// Thread-bound to the scheduler it was made with. A call whose reply is lost may have taken effect: Unavailable and
// DeadlineExceeded say nothing about it (rule 4).
class LeaseTable {
 public:
  virtual ~LeaseTable() = default;

  // Goes on with a live session of the node. Who has rebooted since ends that one by its id, and opens another (rule 5): a call that
  // arrives late, or twice, then ends none that is in use.
  virtual void open_session(OpenSession request, Reply<Session> reply) = 0;
  // NotFound: it has ended.
  virtual void renew(SessionId session, Reply<Done> reply) = 0;
  virtual void end_session(SessionId session, Reply<Done> reply) = 0;

  virtual void swap(Swap swap, Reply<SwapResult> reply) = 0;
  // Linearizable. NotFound: no such record.
  virtual void read(std::string key, Reply<LeaseRecord> reply) = 0;
  // By key. Linearizable.
  virtual void list(LeaseQuery query, Reply<std::vector<LeaseRecord>> reply) = 0;
};

// The rules of a swap of one record, the same for every implementation; that a claim is free is for the table to see. `record` is null where there is none; `node` is the live session's;
// `session_ended` and `heir_ended` speak of the record's. Yields the record after the swap (nullopt inside: removed), or why not.
struct SwapVerdict {
  bool won = false;
  std::string why;
  std::optional<LeaseRecord> record;
};
SwapVerdict judge_swap(const Swap& swap, const std::string& node, const LeaseRecord* record,
                       bool session_ended, bool heir_ended);

}  // namespace supercloud
