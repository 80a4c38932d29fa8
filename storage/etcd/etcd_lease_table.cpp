#include "storage/etcd/etcd_lease_table.h"

#include <algorithm>
#include <random>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/http/curl_http.h"
#include "core/text.h"
#include "storage/etcd/session_id.h"
#include "storage/lease_state.h"

namespace supercloud {
namespace {

constexpr std::size_t views_max = 256;
constexpr int attempts_max = 10;  // of a swap whose record keeps changing

absl::Status unreadable(const std::string& key, std::string_view why) {
  return absl::DataLossError(
      absl::StrCat("etcd's key ", key, ": ", absl_view(why),
                   "; does something else write there? Give this cluster a prefix of its own"));
}

// etcd no longer has what it had at the revision that a reading began with.
bool is_compacted(const absl::Status& status) { return absl::IsOutOfRange(status); }

}  // namespace

EtcdLeaseTable::EtcdLeaseTable(Scheduler& scheduler, std::unique_ptr<HttpClient> http,
                               etcd::ClientOptions client, std::string prefix, Duration ttl)
    : prefix_(std::move(prefix)),
      ttl_(ttl),
      client_(scheduler, std::move(http), std::move(client)) {}

std::string EtcdLeaseTable::session_key(const std::string& node) const {
  return absl::StrCat(prefix_, "session/", node);
}

std::string EtcdLeaseTable::lease_key(const std::string& key) const {
  return absl::StrCat(prefix_, "lease/", key);
}

absl::StatusOr<EtcdLeaseTable::Seen> EtcdLeaseTable::read_session(
    const std::string& node, const std::vector<etcd::KeyValue>& found) const {
  if (found.empty()) return Seen{};
  const etcd::KeyValue& row = found.front();
  // Without a lease it would never end.
  if (row.lease == 0) return unreadable(row.key, "a session without a lease");
  auto session = decode_stored_session(etcd::session_id(node, row.lease), row.value);
  if (!session.ok()) return unreadable(row.key, std_view(session.status().message()));
  if (session->node != node) return unreadable(row.key, "another node's session");
  return Seen{*std::move(session), row.lease, row.create_revision};
}

void EtcdLeaseTable::read_range(etcd::Range range, Instant deadline, Then<etcd::TxnAnswer> then) {
  etcd::Txn txn;
  txn.reads = {std::move(range)};
  client_.txn(std::move(txn), etcd::Repeat::rounds, deadline, std::move(then));
}

// ---- one record and its sessions -----------------------------------------------------------------------------------

struct EtcdLeaseTable::Looking {
  std::string key;
  std::set<std::string> nodes;  // whose sessions are wanted, besides holder's and heir's
  std::string claim;            // whose owner is wanted; empty: none
  Instant deadline;
  Then<View> then;
  View view;
};

void EtcdLeaseTable::look(std::shared_ptr<Looking> looking) {
  looking->view = View{};
  etcd::Txn txn;
  txn.reads = {{.key = lease_key(looking->key)},
               {.key = prefix_ + "epochs_removed"},
               {.key = absl::StrCat(prefix_, "claim/", looking->claim)}};
  client_.txn(txn, etcd::Repeat::rounds, looking->deadline,
              [this, looking](absl::StatusOr<etcd::TxnAnswer> answer) mutable {
                if (!answer.ok()) return std::move(looking->then)(answer.status());
                View& view = looking->view;
                view.revision = answer->header.revision;
                const auto& [lease, removed, claim] =
                    std::tie(answer->reads[0], answer->reads[1], answer->reads[2]);
                if (!lease.empty()) {
                  auto stored = decode_stored_lease(lease.front().value);
                  if (!stored.ok() || stored->record.key != looking->key)
                    return std::move(looking->then)(unreadable(
                        lease.front().key, stored.ok() ? std::string_view("another record")
                                                       : std_view(stored.status().message())));
                  view.lease = *std::move(stored);
                  view.lease_revision = lease.front().mod_revision;
                  looking->nodes.insert(view.lease->record.holder);
                  if (view.lease->record.heir) looking->nodes.insert(view.lease->record.heir->node);
                }
                if (!removed.empty()) {
                  if (!absl::SimpleAtoi(removed.front().value, &view.epochs_removed))
                    return std::move(looking->then)(unreadable(removed.front().key, "no epoch"));
                  view.epochs_removed_revision = removed.front().mod_revision;
                }
                if (!claim.empty()) view.claimed_by = claim.front().value;
                looking->nodes.erase("");
                look_at_sessions(std::move(looking));
              });
}

void EtcdLeaseTable::look_at_sessions(std::shared_ptr<Looking> looking) {
  if (looking->nodes.empty()) return std::move(looking->then)(std::move(looking->view));
  etcd::Txn txn;
  for (const std::string& node : looking->nodes)
    txn.reads.push_back({.key = session_key(node), .revision = looking->view.revision});
  client_.txn(txn, etcd::Repeat::rounds, looking->deadline,
              [this, looking](absl::StatusOr<etcd::TxnAnswer> answer) mutable {
                if (!answer.ok() && is_compacted(answer.status())) return look(std::move(looking));
                if (!answer.ok()) return std::move(looking->then)(answer.status());
                auto found = answer->reads.begin();
                for (const std::string& node : looking->nodes) {
                  absl::StatusOr<Seen> seen = read_session(node, *found++);
                  if (!seen.ok()) return std::move(looking->then)(seen.status());
                  looking->view.sessions[node] = *std::move(seen);
                }
                std::move(looking->then)(std::move(looking->view));
              });
}

bool EtcdLeaseTable::View::has_session(const std::string& node) const {
  const auto seen = sessions.find(node);
  return seen != sessions.end() && !seen->second.session.id.empty();
}

bool EtcdLeaseTable::View::is_alive(const SessionId& id, const std::string& node) const {
  const auto seen = sessions.find(node);
  return seen != sessions.end() && !id.empty() && seen->second.session.id == id;
}

std::optional<LeaseRecord> EtcdLeaseTable::View::record() const {
  if (!lease) return std::nullopt;
  LeaseRecord record = lease->record;
  record.session_alive = is_alive(record.session, record.holder);
  record.heir_alive = record.heir && has_session(record.heir->node);
  return record;
}

void EtcdLeaseTable::remember(const std::string& key, const View& view) {
  if (views_.size() >= views_max) views_.clear();
  if (view.lease)
    views_[key] = view;
  else
    views_.erase(key);
}

void EtcdLeaseTable::read(std::string key, Reply<LeaseRecord> reply) {
  auto looking = std::make_shared<Looking>();
  looking->key = std::move(key);
  looking->deadline = reply.deadline();
  looking->then = [this, key = looking->key,
                   reply = std::move(reply)](absl::StatusOr<View> view) mutable {
    if (!view.ok()) return reply(view.status());
    remember(key, *view);
    if (!view->lease) return reply(absl::NotFoundError(absl::StrCat("there is no lease ", key)));
    reply(*view->record());
  };
  look(std::move(looking));
}

// ---- swaps ---------------------------------------------------------------------------------------------------------

struct EtcdLeaseTable::Swapping {
  Swap swap;
  Reply<SwapResult> reply;
  std::string node;  // who acts
  View view;
  int attempts = 0;

  // Whose sessions it may rest on, besides those of the record's holder and heir.
  std::set<std::string> nodes() const {
    std::set<std::string> named = {node};
    if (swap.heir) named.insert(swap.heir->node);
    named.erase("");
    return named;
  }
};

void EtcdLeaseTable::swap(Swap swap, Reply<SwapResult> reply) {
  auto swapping = std::make_shared<Swapping>();
  swapping->node = etcd::node_of_session(swap.session);
  swapping->swap = std::move(swap);
  swapping->reply = std::move(reply);
  const absl::Status good = validate(swapping->swap);
  if (!good.ok()) return swapping->reply(good);
  const auto known = views_.find(swapping->swap.key);
  if (known == views_.end() ||
      !std::ranges::all_of(swapping->nodes(), [&](const std::string& node) {
        return known->second.sessions.contains(node);
      }))
    return look_and_judge(std::move(swapping));
  swapping->view = known->second;
  judge(std::move(swapping), false);
}

void EtcdLeaseTable::look_and_judge(std::shared_ptr<Swapping> swapping) {
  auto looking = std::make_shared<Looking>();
  looking->key = swapping->swap.key;
  looking->nodes = swapping->nodes();
  looking->claim = swapping->swap.claim;
  looking->deadline = swapping->reply.deadline();
  looking->then = [this, swapping = std::move(swapping)](absl::StatusOr<View> view) mutable {
    if (!view.ok()) return swapping->reply(view.status());
    swapping->view = *std::move(view);
    judge(std::move(swapping), true);
  };
  look(std::move(looking));
}

// `fresh`: it was looked at for this swap. Only then it may be refused, for what it is won by the transaction compares.
void EtcdLeaseTable::judge(std::shared_ptr<Swapping> swapping, bool fresh) {
  const View& view = swapping->view;
  SwapView rests_on{.lease = view.lease ? &*view.lease : nullptr,
                    .claimed_by = swapping->swap.claim.empty() ? "" : view.claimed_by,
                    .epochs_removed = view.epochs_removed};
  if (view.is_alive(swapping->swap.session, swapping->node)) rests_on.node = swapping->node;
  if (const std::optional<LeaseRecord> record = view.record()) {
    rests_on.session_ended = !record->session_alive;
    rests_on.heir_ended = !record->heir_alive;
  }
  SwapRuling ruling = rule_on_swap(swapping->swap, rests_on);
  if (ruling.won && !ruling.repeat) return apply(std::move(swapping), std::move(ruling.after));
  if (!fresh) return look_and_judge(std::move(swapping));
  remember(swapping->swap.key, view);
  swapping->reply(SwapResult{.won = ruling.won,
                             .why = std::move(ruling.why),
                             .record = view.record(),
                             .claimed_by = std::move(ruling.claimed_by)});
}

void EtcdLeaseTable::apply(std::shared_ptr<Swapping> swapping, std::optional<StoredLease> after) {
  const View& view = swapping->view;
  const std::string& key = swapping->swap.key;
  const std::string claim = after ? after->record.claim : view.lease->record.claim;
  const std::string removed_key = prefix_ + "epochs_removed";
  const std::string claim_key = absl::StrCat(prefix_, "claim/", claim);
  using What = etcd::Compare::What;
  etcd::Txn txn;
  txn.compares.push_back({lease_key(key), What::modified, view.lease_revision});
  for (const auto& [node, seen] : view.sessions)
    txn.compares.push_back({session_key(node), What::created, seen.create_revision});
  if (!view.lease || !after)
    txn.compares.push_back({removed_key, What::modified, view.epochs_removed_revision});
  if (after) {
    txn.puts.push_back({lease_key(key), encode_stored_lease(*after)});
    if (!view.lease && !claim.empty()) {
      txn.compares.push_back({claim_key, What::modified, 0});
      txn.puts.push_back({claim_key, key});
    }
  } else {
    txn.puts.push_back(
        {removed_key, absl::StrCat(std::max(view.epochs_removed, view.lease->record.epoch))});
    txn.deletes.push_back(lease_key(key));
    if (!claim.empty()) txn.deletes.push_back(claim_key);
  }
  views_.erase(key);
  client_.txn(
      txn, etcd::Repeat::never, swapping->reply.deadline(),
      [this, swapping, after = std::move(after)](absl::StatusOr<etcd::TxnAnswer> answer) mutable {
        if (!answer.ok())
          return swapping->reply(absl::UnavailableError(
              absl::StrCat("whether it took effect is not known: ", answer.status().message())));
        if (!answer->succeeded) {
          if (++swapping->attempts < attempts_max) return look_and_judge(std::move(swapping));
          return swapping->reply(absl::UnavailableError(
              absl::StrCat(swapping->swap.key, " changed under each of ", attempts_max,
                           " attempts; nothing was done, ask again")));
        }
        View& applied = swapping->view;
        applied.lease = std::move(after);
        applied.lease_revision = answer->header.revision;
        remember(swapping->swap.key, applied);
        swapping->reply(SwapResult{.won = true, .record = applied.record()});
      });
}

// ---- listings ------------------------------------------------------------------------------------------------------

// Pages of all records, then of all sessions, as of the first page's revision.
struct EtcdLeaseTable::Listing {
  LeaseQuery query;
  Reply<std::vector<LeaseRecord>> reply;
  std::int64_t revision = 0;
  std::vector<LeaseRecord> records;
  std::map<std::string, Seen> sessions;
};

void EtcdLeaseTable::list(LeaseQuery query, Reply<std::vector<LeaseRecord>> reply) {
  auto listing = std::make_shared<Listing>();
  listing->query = std::move(query);
  listing->reply = std::move(reply);
  const std::string prefix = lease_key(listing->query.prefix);
  list_records(std::move(listing), prefix);
}

void EtcdLeaseTable::list_records(std::shared_ptr<Listing> listing, std::string from) {
  constexpr std::size_t page =
      32;  // of records of the greatest size, within gRPC's message of 4 MiB
  etcd::Range range{.key = std::move(from),
                    .end = etcd::behind_prefix(lease_key(listing->query.prefix)),
                    .limit = static_cast<std::int64_t>(page),
                    .revision = listing->revision};
  read_range(std::move(range), listing->reply.deadline(),
             [this, listing](absl::StatusOr<etcd::TxnAnswer> answer) mutable {
               if (!answer.ok() && is_compacted(answer.status()))
                 return list(std::move(listing->query), std::move(listing->reply));
               if (!answer.ok()) return listing->reply(answer.status());
               if (listing->revision == 0) listing->revision = answer->header.revision;
               const std::vector<etcd::KeyValue>& found = answer->reads.front();
               for (const etcd::KeyValue& row : found) {
                 auto stored = decode_stored_lease(row.value);
                 if (!stored.ok() || lease_key(stored->record.key) != row.key)
                   return listing->reply(
                       unreadable(row.key, stored.ok() ? std::string_view("another record")
                                                       : std_view(stored.status().message())));
                 const std::string& node = listing->query.node;
                 if (node.empty() || lease_names(stored->record, node))
                   listing->records.push_back(std::move(stored->record));
               }
               if (found.size() >= page)
                 return list_records(std::move(listing), found.back().key + '\0');
               const std::string first = session_key("");
               list_sessions(std::move(listing), first);
             });
}

void EtcdLeaseTable::list_sessions(std::shared_ptr<Listing> listing, std::string from) {
  constexpr std::size_t page = 1000;
  etcd::Range range{.key = std::move(from),
                    .end = etcd::behind_prefix(session_key("")),
                    .limit = static_cast<std::int64_t>(page),
                    .revision = listing->revision};
  read_range(std::move(range), listing->reply.deadline(),
             [this, listing](absl::StatusOr<etcd::TxnAnswer> answer) mutable {
               if (!answer.ok() && is_compacted(answer.status()))
                 return list(std::move(listing->query), std::move(listing->reply));
               if (!answer.ok()) return listing->reply(answer.status());
               const std::vector<etcd::KeyValue>& found = answer->reads.front();
               for (const etcd::KeyValue& row : found) {
                 const std::string node =
                     row.key.substr(std::min(row.key.size(), session_key("").size()));
                 auto seen = read_session(node, {row});
                 if (!seen.ok()) return listing->reply(seen.status());
                 listing->sessions[node] = *std::move(seen);
               }
               if (found.size() >= page)
                 return list_sessions(std::move(listing), found.back().key + '\0');
               View view{.sessions = std::move(listing->sessions)};
               for (LeaseRecord& record : listing->records) {
                 record.session_alive = view.is_alive(record.session, record.holder);
                 record.heir_alive = record.heir && view.has_session(record.heir->node);
               }
               listing->reply(std::move(listing->records));
             });
}

std::unique_ptr<LeaseTable> make_etcd_lease_table(EventLoop& loop, EtcdConfig config, Duration ttl,
                                                  EtcdTableIdentity identity) {
  std::random_device random;
  std::string fresh;
  for (int i = 0; i < 4; ++i)
    absl::StrAppend(&fresh, absl::Hex(std::uint32_t{random()}, absl::kZeroPad8));
  std::string table_key = config.prefix + "table";
  CurlHttpOptions http;
  http.answer_bytes_max = 8 << 20;
  http.requests_max = 256;
  http.connect_deadline = absl::Seconds(1);
  http.ca_file = std::move(config.ca);
  http.certificate_file = std::move(config.certificate);
  http.key_file = std::move(config.key);
  return std::make_unique<EtcdLeaseTable>(
      loop, std::make_unique<CurlHttp>(loop, std::move(http)),
      etcd::ClientOptions{.endpoints = std::move(config.endpoints),
                          .table_key = std::move(table_key),
                          .table = std::move(identity),
                          .new_identity = std::move(fresh)},
      std::move(config.prefix), ttl);
}

}  // namespace supercloud
