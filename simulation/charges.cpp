#include "simulation/charges.h"

#include <cstdint>
#include <map>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

std::uint64_t sent_by(const Event& end) {
  const auto payload = end.payload();
  if (payload.isMigrationCompleted()) return payload.getMigrationCompleted().getSentBytes();
  if (payload.isMigrationAborted()) return payload.getMigrationAborted().getSentBytes();
  return 0;
}

}  // namespace

std::vector<std::string> charge_faults(const std::vector<Event>& history, absl::Time settled) {
  std::vector<std::string> faults;
  std::map<EventId, std::set<std::uint64_t>> sent;  // by migration, as its ends say
  std::set<EventId> due, charged;
  for (const Event& event : history) {
    const std::uint64_t bytes = sent_by(event);
    if (bytes == 0) continue;
    sent[event.migration()].insert(bytes);
    if (event.time().wall() < settled) due.insert(event.migration());
  }
  std::set<std::tuple<std::string, EventId, std::string, std::int64_t>> keys;
  for (const Event& event : history) {
    if (event.type() != schema::Payload::LEDGER_CHARGED) continue;
    const auto charge = event.payload().getLedgerCharged();
    const std::string ledger(event.origin());
    if (charge.getSentBytes() == 0) {
      if (!keys.emplace(ledger, EventId(), str(charge.getInstance()), charge.getFromNs()).second)
        faults.push_back(
            absl::StrCat(ledger, " charged an hour of ", str(charge.getInstance()), " twice"));
      continue;
    }
    const EventId migration = EventId::from(charge.getDecision());
    charged.insert(migration);
    if (!keys.emplace(ledger, migration, "", 0).second)
      faults.push_back(absl::StrCat(ledger, " charged migration ", migration.short_id(), " twice"));
    const auto known = sent.find(migration);
    if (known == sent.end() || !known->second.contains(charge.getSentBytes()))
      faults.push_back(absl::StrCat(ledger, " charged migration ", migration.short_id(), " for ",
                                    charge.getSentBytes(), " bytes, and no end of it says so"));
  }
  for (const EventId& migration : due)
    if (!charged.contains(migration))
      faults.push_back(absl::StrCat("migration ", migration.short_id(),
                                    " sent something, and nobody charged it"));
  return faults;
}

}  // namespace supercloud
