#include "core/lease_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace supercloud {

namespace {

bool contains(const std::vector<std::string>& nodes, const std::string& node) {
  return std::ranges::find(nodes, node) != nodes.end();
}

// What the rules look at, and the two ways they end.
struct Court {
  const Swap& swap;
  const std::string& node;
  const LeaseRecord& record;
  bool session_ended;
  bool heir_ended;

  SwapVerdict refuse(std::string why) const { return {false, std::move(why), record}; }
  SwapVerdict refuse_holder() const {
    return refuse(absl::StrCat(record.holder, " holds ", record.key, ", not ", node));
  }
  // As it is, with the revision one up.
  LeaseRecord changed() const {
    LeaseRecord next = record;
    ++next.revision;
    return next;
  }
  // A new epoch, won by this swap under its session.
  LeaseRecord new_epoch() const {
    LeaseRecord next = changed();
    next.holder = node;
    next.session = swap.session;
    next.swap_id = swap.swap_id;
    next.swap_kind = swap.kind;
    ++next.epoch;
    // A migration stays marked until its end was said. Nobody completes it any more but the target that committed, for as long as
    // its copy is the one that came.
    const bool committed = next.heir && next.heir->node == node &&
                           (swap.kind == SwapKind::COMMIT || swap.kind == SwapKind::RECLAIM);
    if (next.heir && !committed) next.heir->node.clear();
    next.session_alive = true;
    next.heir_alive = committed;
    return next;
  }
  static SwapVerdict win(LeaseRecord next) { return {true, "", std::move(next)}; }

  std::string heir_text() const {
    if (!record.heir) return "nobody";
    return absl::StrCat(record.heir->node.empty() ? "nobody any more, after" : record.heir->node,
                        " for migration ", record.heir->migration.to_string());
  }

  SwapVerdict accept() const {
    if (record.holder != node) return refuse_holder();
    if (session_ended)
      return refuse("the session that won the epoch has ended: swap to a new epoch first");
    if (record.session != swap.session) {
      return refuse(
          "the epoch was won under another session of this node: swap to a new epoch first");
    }
    if (!swap.heir || swap.heir->node.empty() || swap.heir->migration.empty()) {
      return refuse("an accept names an heir and a migration");
    }
    if (swap.heir->node == node) return refuse("a holder cannot be its own heir");
    if (record.heir && *record.heir != *swap.heir) {
      return refuse(absl::StrCat("the heir is ", heir_text(), " already"));
    }
    if (record.heir) return win(record);  // a repeat
    LeaseRecord next = changed();
    next.heir = swap.heir;
    return win(std::move(next));
  }

  // The heir first, so that nobody commits after the end was said; then, by who said it, the mark.
  SwapVerdict clear_heir() const {
    if (!swap.heir || !record.heir || *record.heir != *swap.heir)
      return refuse(absl::StrCat("the heir is ", heir_text()));
    const bool orphaned = session_ended && heir_ended;
    if (record.holder != node && record.heir->node != node && !orphaned) {
      return refuse(absl::StrCat("only the holder ", record.holder, " and the heir (",
                                 record.heir->node, ") may clear it, not ", node,
                                 ", while one of them lives"));
    }
    const bool committed_here = record.heir->node == node && record.holder == node;
    LeaseRecord next = changed();
    next.heir_alive = false;
    if (record.heir->node.empty() || committed_here)
      next.heir.reset();
    else
      next.heir->node.clear();
    return win(std::move(next));
  }

  SwapVerdict commit() const {
    if (!swap.heir || swap.heir->node != node) return refuse("only the heir itself commits");
    if (!record.heir || *record.heir != *swap.heir) {
      return refuse(absl::StrCat("the heir is ", heir_text()));
    }
    LeaseRecord next = new_epoch();
    if (!swap.in_sync.empty()) {
      if (!contains(swap.in_sync, node))
        return refuse("the in-sync set must contain the new holder");
      next.in_sync = swap.in_sync;
    } else if (!contains(next.in_sync, node)) {
      next.in_sync.push_back(node);  // its replica was verified before it asked
    }
    return win(std::move(next));
  }

  SwapVerdict own_new_epoch() const {
    if (record.holder != node) return refuse_holder();
    return win(new_epoch());
  }

  SwapVerdict takeover() const {
    if (record.holder == node)
      return refuse(absl::StrCat(node, " is the holder: reclaim or restart"));
    if (!session_ended)
      return refuse(absl::StrCat("the session of the holder ", record.holder, " lives"));
    if (record.heir && record.heir->node != node && !heir_ended) {
      return refuse(absl::StrCat("the heir ", record.heir->node, " lives and comes first"));
    }
    if (!contains(record.in_sync, node) && !record.loss_allowed) {
      return refuse(absl::StrCat(node, " is not in sync (", absl::StrJoin(record.in_sync, ", "),
                                 "), and no loss is allowed"));
    }
    if (!swap.in_sync.empty() && !contains(swap.in_sync, node)) {
      return refuse("the in-sync set must contain the new holder");
    }
    LeaseRecord next = new_epoch();
    next.in_sync = swap.in_sync.empty() ? std::vector<std::string>{node} : swap.in_sync;
    return win(std::move(next));
  }

  bool other_revision() const { return swap.revision != record.revision; }
  SwapVerdict refuse_revision() const {
    return refuse(absl::StrCat("the record is at revision ", record.revision, ", not ",
                               swap.revision, ": read it again"));
  }

  SwapVerdict set_in_sync() const {
    if (record.holder != node) return refuse_holder();
    if (other_revision()) return refuse_revision();
    if (!contains(swap.in_sync, node)) return refuse("the in-sync set must contain the holder");
    LeaseRecord next = changed();
    next.in_sync = swap.in_sync;
    return win(std::move(next));
  }

  SwapVerdict set_desire() const {
    if (record.holder != node && !session_ended) return refuse_holder();
    if (other_revision()) return refuse_revision();
    LeaseRecord next = changed();
    next.value = swap.value;
    next.loss_allowed = swap.loss_allowed;
    return win(std::move(next));
  }

  SwapVerdict remove() const {
    // A holder that is lost cannot remove what its user destroyed.
    if (record.holder != node && !session_ended) return refuse_holder();
    if (other_revision()) return refuse_revision();
    if (record.heir)
      return refuse(
          absl::StrCat("the end of a migration is still to be said: the heir is ", heir_text()));
    return {true, "", std::nullopt};
  }
};

SwapVerdict define(const Swap& swap, const std::string& node) {
  if (swap.epoch != 0) return {false, "a define compares with epoch 0: no record", std::nullopt};
  if (!swap.in_sync.empty() && !contains(swap.in_sync, node)) {
    return {false, "the in-sync set must contain the holder", std::nullopt};
  }
  LeaseRecord record;
  record.key = swap.key;
  record.holder = node;
  record.session = swap.session;
  record.swap_id = swap.swap_id;
  record.swap_kind = SwapKind::DEFINE;
  record.epoch = 1;
  record.in_sync = swap.in_sync.empty() ? std::vector<std::string>{node} : swap.in_sync;
  record.loss_allowed = swap.loss_allowed;
  record.value = swap.value;
  record.claim = swap.claim;
  record.revision = 1;
  record.session_alive = true;
  return Court::win(std::move(record));
}

}  // namespace

SwapVerdict judge_swap(const Swap& swap, const std::string& node, const LeaseRecord* record,
                       bool session_ended, bool heir_ended) {
  if (swap.swap_id.empty()) {
    return {false, "a swap needs an id",
            record == nullptr ? std::nullopt : std::optional<LeaseRecord>(*record)};
  }
  if (record == nullptr) {
    if (swap.kind == SwapKind::DEFINE) return define(swap, node);
    return {false, absl::StrCat("there is no record ", swap.key), std::nullopt};
  }
  const Court court{swap, node, *record, session_ended, heir_ended};
  if (record->swap_id == swap.swap_id) {
    // A repeat whose first answer was lost. Session and node belong to the attempt: another's id is not a repeat.
    if (record->holder == node && record->swap_kind == swap.kind) return Court::win(*record);
    return court.refuse("this swap id won the epoch for another swap");
  }
  if (swap.kind == SwapKind::DEFINE) {
    return court.refuse(absl::StrCat(swap.key, " exists already, held by ", record->holder));
  }
  if (swap.epoch != record->epoch) {
    return court.refuse(
        absl::StrCat("the record is at epoch ", record->epoch, ", not ", swap.epoch));
  }
  switch (swap.kind) {
    case SwapKind::ACCEPT:
      return court.accept();
    case SwapKind::CLEAR_HEIR:
      return court.clear_heir();
    case SwapKind::COMMIT:
      return court.commit();
    case SwapKind::RECLAIM:
    case SwapKind::RESTART:
      return court.own_new_epoch();
    case SwapKind::TAKEOVER:
      return court.takeover();
    case SwapKind::IN_SYNC:
      return court.set_in_sync();
    case SwapKind::DESIRE:
      return court.set_desire();
    case SwapKind::REMOVE:
      return court.remove();
    case SwapKind::DEFINE:
      break;
  }
  return court.refuse("unknown kind of swap");
}

}  // namespace supercloud
