#include "actors/ledger/transfers.h"

#include <algorithm>
#include <utility>

#include "core/text.h"

namespace supercloud {

Transfers::Transfers(const TransferRules& rules)
    : rules_(rules), machines_(begun_max), begun_(begun_max), charged_(rules.charged_max) {}

void Transfers::apply(const Event& event) {
  const auto payload = event.payload();
  switch (event.type()) {
    case schema::Payload::NODE_JOINED:
      return joined(payload.getNodeJoined());
    case schema::Payload::NODE_CAPACITY:
      return joined(payload.getNodeCapacity().getJoined());
    case schema::Payload::INSTANCE_LAUNCHED: {
      const auto launched = payload.getInstanceLaunched();
      machines_[str(launched.getNode())] = {str(launched.getInstance()),
                                            str(launched.getPlace().getId())};
      return;
    }
    case schema::Payload::MIGRATION_STARTED: {
      const EventId migration = event.migration();
      if (charged_.contains(migration)) return;
      const auto started = payload.getMigrationStarted();
      begun_[migration] = {str(started.getSource()), str(started.getTarget()), event.time().wall()};
      // Its end was heard first.
      if (const auto due = due_.find(migration); due != due_.end()) {
        due->second.source = str(started.getSource());
        due->second.target = str(started.getTarget());
        due->second.from = rules_.market.at(event.time().wall());
      }
      return;
    }
    case schema::Payload::MIGRATION_COMPLETED:
    case schema::Payload::MIGRATION_ABORTED:
      return ended(event);
    case schema::Payload::LEDGER_CHARGED: {
      const auto charge = payload.getLedgerCharged();
      if (charge.getSentBytes() > 0) charged(EventId::from(charge.getDecision()));
      return;
    }
    default:
      return;
  }
}

// What its provider says of its instance counts; a host of one's own has none.
void Transfers::joined(schema::NodeJoined::Reader joined) {
  const std::string node = str(joined.getNode());
  if (node.empty() || machines_.contains(node)) return;
  machines_[node] = {str(joined.getInstance()), str(joined.getPlace().getId())};
}

void Transfers::ended(const Event& event) {
  const EventId migration = event.migration();
  if (migration.empty() || charged_.contains(migration)) return;
  Transfer transfer{.migration = migration, .vm = event.subject()};
  absl::Time from = event.time().wall();
  if (event.type() == schema::Payload::MIGRATION_COMPLETED) {
    const auto completed = event.payload().getMigrationCompleted();
    transfer.source = str(completed.getSource());
    transfer.target = str(completed.getTarget());
    from -= absl::Milliseconds(completed.getTotalMs());
    transfer.bytes = rules_.bytes.value_or(completed.getSentBytes());
  } else {
    const auto aborted = event.payload().getMigrationAborted();
    transfer.aborted = true;
    transfer.bytes = std::min(aborted.getSentBytes(), rules_.bytes.value_or(UINT64_MAX));
  }
  if (begun_.contains(migration)) {
    const Begun& begun = begun_[migration];
    if (transfer.source.empty()) transfer.source = begun.source;
    if (transfer.target.empty()) transfer.target = begun.target;
    from = begun.at;
  }
  transfer.to = rules_.market.at(event.time().wall());
  transfer.from = std::min(rules_.market.at(from), transfer.to);
  if (transfer.bytes == 0) return;
  // Of two ends the one that knows more: who committed and was lost had moved it.
  const auto [due, is_new] = due_.try_emplace(migration, transfer);
  if (!is_new && due->second.aborted && (!transfer.aborted || transfer.bytes > due->second.bytes))
    due->second = std::move(transfer);
}

void Transfers::charged(const EventId& migration) {
  charged_.insert(migration);
  begun_.erase(migration);
  due_.erase(migration);
}

Transfer Transfers::with_place(Transfer transfer) {
  if (machines_.contains(transfer.source)) {
    const Machine& machine = machines_[transfer.source];
    transfer.instance = machine.instance;
    transfer.place = machine.place;
  }
  return transfer;
}

}  // namespace supercloud
