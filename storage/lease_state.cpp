#include "storage/lease_state.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

absl::Status session_over(const SessionId& session) {
  return absl::NotFoundError(absl::StrCat("session ", session, " has ended; open a new one"));
}

template <class Map, class Changes>
void apply_rows(const Changes& changes, Map& contents) {
  for (const auto& [key, value] : changes) {
    if (value) {
      contents[key] = *value;
    } else {
      contents.erase(key);
    }
  }
}

std::string attempt_of(SwapKind kind, const SessionId& session, const std::string& swap_id) {
  return absl::StrCat(static_cast<int>(kind), " ", session, " ", swap_id);
}

// Of the swap that won the epoch, or of the last one that changed the record within it.
bool is_repeat(const StoredLease& lease, const Swap& swap) {
  const std::string attempt = attempt_of(swap.kind, swap.session, swap.swap_id);
  const LeaseRecord& record = lease.record;
  return attempt == lease.last_attempt ||
         attempt == attempt_of(record.swap_kind, record.session, record.swap_id);
}

}  // namespace

bool lease_names(const LeaseRecord& record, const std::string& node) {
  return record.holder == node || (record.heir && record.heir->node == node) ||
         std::find(record.in_sync.begin(), record.in_sync.end(), node) != record.in_sync.end();
}

SwapRuling rule_on_swap(const Swap& swap, const SwapView& view) {
  // Before the session is looked at: it was alive when the swap was applied.
  if (view.lease != nullptr && is_repeat(*view.lease, swap)) return {.won = true, .repeat = true};
  if (!view.node) return {.why = absl::StrCat("session ", swap.session, " has ended")};
  if (view.lease == nullptr && !view.claimed_by.empty())
    return {.why = absl::StrCat(swap.claim, " is ", view.claimed_by, "'s"),
            .claimed_by = view.claimed_by};
  SwapVerdict verdict =
      judge_swap(swap, *view.node, view.lease == nullptr ? nullptr : &view.lease->record,
                 view.session_ended, view.heir_ended);
  if (!verdict.won) return {.why = std::move(verdict.why)};
  if (!verdict.record) return {.won = true};
  if (view.lease == nullptr) verdict.record->epoch += view.epochs_removed;
  StoredLease after{*std::move(verdict.record), attempt_of(swap.kind, swap.session, swap.swap_id)};
  after.record.session_alive = after.record.heir_alive = false;
  return {.won = true, .after = std::move(after)};
}

void LeaseChanges::apply_to(LeaseContents& contents) const {
  apply_rows(leases, contents.leases);
  apply_rows(sessions, contents.sessions);
  if (sessions_opened) contents.sessions_opened = *sessions_opened;
  if (epochs_removed) contents.epochs_removed = *epochs_removed;
}

LeaseState::LeaseState(LeaseContents contents, Duration ttl, LeaseLimits limits, Instant now)
    : ttl_(ttl),
      limits_(limits),
      identity_(std::move(contents.identity)),
      leases_(std::move(contents.leases)),
      sessions_opened_(contents.sessions_opened),
      epochs_removed_(contents.epochs_removed) {
  for (const auto& [key, lease] : leases_)
    if (!lease.record.claim.empty()) claims_.emplace(lease.record.claim, key);
  for (auto& [id, stored] : contents.sessions) {
    session_of_node_[stored.node] = id;
    ends_.emplace(now + ttl_, id);
    sessions_.emplace(id, LiveSession{std::move(stored), now + ttl_});
  }
}

void LeaseState::end_overdue(Instant now) {
  while (!ends_.empty() && ends_.begin()->first <= now) {
    end(sessions_.find(ends_.begin()->second));
  }
}

void LeaseState::end(std::map<SessionId, LiveSession>::iterator session) {
  const auto [first, last] = ends_.equal_range(session->second.ends);
  ends_.erase(
      std::find_if(first, last, [&](const auto& end) { return end.second == session->first; }));
  session_of_node_.erase(session->second.stored.node);
  // On stable storage before anyone may be told: a restarted table must not grant it another TTL.
  changes_.sessions[session->first] = std::nullopt;
  sessions_.erase(session);
}

void LeaseState::prolong(LiveSession& session, Instant ends) {
  if (ends <= session.ends) return;  // a call that was received before the table had to load again
  const auto [first, last] = ends_.equal_range(session.ends);
  const auto old =
      std::find_if(first, last, [&](const auto& end) { return end.second == session.stored.id; });
  if (old != last) ends_.erase(old);
  session.ends = ends;
  ends_.emplace(ends, session.stored.id);
}

absl::StatusOr<Session> LeaseState::open_session(Instant now, const OpenSession& request) {
  end_overdue(now);
  if (absl::Status good = validate(request); !good.ok()) return good;
  if (const auto known = session_of_node_.find(request.node); known != session_of_node_.end()) {
    const auto session = sessions_.find(known->second);
    if (session->second.stored.identity != request.identity) {
      return absl::AlreadyExistsError(absl::StrCat(
          "another node named '", request.node,
          "' is alive, with another data directory; give this one another name, or wait ",
          absl::FormatDuration(session->second.ends - now), " after stopping that one"));
    }
    prolong(session->second, now + ttl_);
    return Session{.id = session->first, .ttl = ttl_, .went_on = true};
  }
  if (sessions_.size() >= limits_.sessions_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the lease table has ", sessions_.size(), " sessions, as many as it takes"));
  }
  changes_.sessions_opened = ++sessions_opened_;
  StoredSession stored{
      absl::StrCat(request.node, ":", sessions_opened_, identity_.empty() ? "" : ":", identity_),
      request.node, request.identity};
  const SessionId id = stored.id;
  changes_.sessions[id] = stored;
  session_of_node_[stored.node] = id;
  ends_.emplace(now + ttl_, id);
  sessions_.emplace(id, LiveSession{std::move(stored), now + ttl_});
  return Session{.id = id, .ttl = ttl_};
}

absl::Status LeaseState::renew(Instant now, const SessionId& id) {
  end_overdue(now);
  const auto session = sessions_.find(id);
  if (session == sessions_.end()) return session_over(id);
  prolong(session->second, now + ttl_);
  return absl::OkStatus();
}

absl::Status LeaseState::end_session(Instant now, const SessionId& id) {
  end_overdue(now);
  // Of one that is over already the caller has what it wants: a repeat after a lost reply.
  if (const auto session = sessions_.find(id); session != sessions_.end()) end(session);
  return absl::OkStatus();
}

absl::StatusOr<SwapResult> LeaseState::swap(Instant now, const Swap& swap) {
  end_overdue(now);
  if (absl::Status good = validate(swap); !good.ok()) return good;
  const auto found = leases_.find(swap.key);
  const StoredLease* lease = found == leases_.end() ? nullptr : &found->second;
  const auto as_it_stands = [&]() -> std::optional<LeaseRecord> {
    if (lease == nullptr) return std::nullopt;
    return with_liveness(lease->record);
  };
  SwapView view{.lease = lease, .epochs_removed = epochs_removed_};
  if (const auto session = sessions_.find(swap.session); session != sessions_.end())
    view.node = session->second.stored.node;
  if (lease != nullptr) {
    view.session_ended = !session_alive(lease->record.session);
    view.heir_ended = lease->record.heir && !node_alive(lease->record.heir->node);
  } else if (const auto owner = claims_.find(swap.claim); owner != claims_.end()) {
    view.claimed_by = owner->second;
  }
  if (lease == nullptr && view.node && leases_.size() >= limits_.leases_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the lease table has ", leases_.size(), " leases, as many as it takes"));
  }
  SwapRuling ruling = rule_on_swap(swap, view);
  if (!ruling.won || ruling.repeat) {
    return SwapResult{.won = ruling.won,
                      .why = std::move(ruling.why),
                      .record = as_it_stands(),
                      .claimed_by = std::move(ruling.claimed_by)};
  }
  if (!ruling.after) {
    epochs_removed_ = std::max(epochs_removed_, lease->record.epoch);
    changes_.epochs_removed = epochs_removed_;
    claims_.erase(lease->record.claim);
    leases_.erase(found);
    changes_.leases[swap.key] = std::nullopt;
    return SwapResult{.won = true};
  }
  if (lease == nullptr && !swap.claim.empty()) claims_.emplace(swap.claim, swap.key);
  changes_.leases[swap.key] = ruling.after;
  SwapResult result{.won = true, .record = with_liveness(ruling.after->record)};
  leases_[swap.key] = *std::move(ruling.after);
  return result;
}

absl::StatusOr<LeaseRecord> LeaseState::read(Instant now, const std::string& key) {
  end_overdue(now);
  const auto found = leases_.find(key);
  if (found == leases_.end()) {
    return absl::NotFoundError(absl::StrCat("there is no lease ", key));
  }
  return with_liveness(found->second.record);
}

std::vector<LeaseRecord> LeaseState::list(Instant now, const LeaseQuery& query) {
  end_overdue(now);
  std::vector<LeaseRecord> records;
  for (auto lease = leases_.lower_bound(query.prefix);
       lease != leases_.end() && absl::StartsWith(lease->first, query.prefix); ++lease) {
    const LeaseRecord& record = lease->second.record;
    if (query.node.empty() || lease_names(record, query.node))
      records.push_back(with_liveness(record));
  }
  return records;
}

LeaseRecord LeaseState::with_liveness(const LeaseRecord& record) const {
  LeaseRecord copy = record;
  copy.session_alive = session_alive(record.session);
  copy.heir_alive = record.heir && node_alive(record.heir->node);
  return copy;
}

LeaseChanges LeaseState::take_changes() { return std::exchange(changes_, {}); }

}  // namespace supercloud
