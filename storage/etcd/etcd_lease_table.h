// A lease table on etcd: every node speaks to it directly, and none is the site.
//
// A session is a lease of etcd's with the key of its node: etcd ends both when no renewal came for the TTL by its leader's clock, grants
// every lease a full TTL after a restart or a change of leader, and rounds a TTL up to whole seconds. A record is one key; a swap looks at
// it and at the sessions it rests on as of one revision, is judged here, and changes it in a transaction that compares all of those. So
// whatever was looked at still holds as it is applied, or it is judged anew.
//
// Keys, below the prefix: grammar
//   table           the table's identity, which every transaction compares: who has seen one believes no other
//   session/NODE    a session's node and identity, as encode_stored_session(); its lease of etcd's is the session's
//   lease/KEY       a record, as encode_stored_lease()
//   claim/CLAIM     the key of the record that has the claim
//   epochs_removed  the highest epoch of any record that was removed, in decimal
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "core/event_loop.h"
#include "core/lease_table.h"
#include "storage/etcd/client.h"
#include "storage/etcd/etcd_config.h"
#include "storage/lease_codec.h"

namespace supercloud {

// Thread-bound to the scheduler. Renewals, readings and listings ask again until their deadline; a swap is sent once, as soon as what it rests
// on was read. A listing is as of one moment. Calls that are unanswered when it is destroyed stay so.
class EtcdLeaseTable final : public LeaseTable {
 public:
  EtcdLeaseTable(Scheduler& scheduler, std::unique_ptr<HttpClient> http, etcd::ClientOptions client,
                 std::string prefix, Duration ttl);

  void open_session(OpenSession request, Reply<Session> reply) override;
  void renew(SessionId session, Reply<Done> reply) override;
  void end_session(SessionId session, Reply<Done> reply) override;
  void swap(Swap swap, Reply<SwapResult> reply) override;
  void read(std::string key, Reply<LeaseRecord> reply) override;
  void list(LeaseQuery query, Reply<std::vector<LeaseRecord>> reply) override;

 private:
  // The session that a node has.
  struct Seen {
    StoredSession session;             // its id is empty: none
    std::int64_t lease = 0;            // of etcd's
    std::int64_t create_revision = 0;  // of the node's key; 0: none
  };
  // A record, and what a swap of it may rest on, as of one revision.
  struct View {
    std::int64_t revision = 0;
    std::optional<StoredLease> lease;
    std::int64_t lease_revision = 0;
    std::map<std::string, Seen> sessions;  // by node: of holder and heir, and of who asks
    std::string claimed_by;
    Epoch epochs_removed = 0;
    std::int64_t epochs_removed_revision = 0;

    bool has_session(const std::string& node) const;
    bool is_alive(const SessionId& id, const std::string& node) const;  // of that node
    std::optional<LeaseRecord> record() const;  // with what is known of its sessions
  };
  struct Opening;
  struct Looking;
  struct Swapping;
  struct Listing;
  template <class T>
  using Then = absl::AnyInvocable<void(absl::StatusOr<T>) &&>;

  void look_before_opening(std::shared_ptr<Opening> opening);
  void go_on(std::shared_ptr<Opening> opening, const Seen& known);
  std::int64_t ttl_seconds() const;
  void grant(std::shared_ptr<Opening> opening);
  void put_session(std::shared_ptr<Opening> opening);
  // Yields the TTL.
  void renew_lease(StoredSession session, std::int64_t lease, int attempts, Instant deadline,
                   Then<Duration> then);
  void revoke(std::string node, std::int64_t lease, int attempts, Reply<Done> reply);
  // NotFound: the node's session is none with that lease, or there is none.
  void has_lease(std::string node, std::int64_t lease, Instant deadline, Then<etcd::Header> then);

  void read_range(etcd::Range range, Instant deadline, Then<etcd::TxnAnswer> then);
  void look(std::shared_ptr<Looking> looking);
  void look_at_sessions(std::shared_ptr<Looking> looking);
  void remember(const std::string& key, const View& view);
  void look_and_judge(std::shared_ptr<Swapping> swapping);
  void judge(std::shared_ptr<Swapping> swapping, bool fresh);
  void apply(std::shared_ptr<Swapping> swapping, std::optional<StoredLease> after);
  void list_records(std::shared_ptr<Listing> listing, std::string from);
  void list_sessions(std::shared_ptr<Listing> listing, std::string from);

  std::string session_key(const std::string& node) const;
  std::string lease_key(const std::string& key) const;
  absl::StatusOr<Seen> read_session(const std::string& node,
                                    const std::vector<etcd::KeyValue>& found) const;

  const std::string prefix_;  // of all keys; ends with "/"
  const Duration ttl_;        // etcd has whole seconds, and a least of its own
  // Of records that were looked at last: what a swap is judged by first, as its transaction finds out whether it still holds.
  std::map<std::string, View> views_;
  etcd::Client client_;
};

// As `config` says; nothing is asked yet.
std::unique_ptr<LeaseTable> make_etcd_lease_table(EventLoop& loop, EtcdConfig config, Duration ttl,
                                                  EtcdTableIdentity identity = {});

}  // namespace supercloud
