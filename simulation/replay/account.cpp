#include "simulation/replay/account.h"

#include <algorithm>
#include <utility>

#include "core/text.h"

namespace supercloud {
namespace {

constexpr absl::Duration billing_hour = absl::Hours(1);

}  // namespace

Account::Account(absl::Time to, const ReplayModel& model,
                 const std::vector<Message<schema::VmSpec>>& vms,
                 std::map<std::string, std::string, std::less<>> restarted)
    : to_(to),
      model_(model),
      transfers_(
          {.market = {absl::UnixEpoch(), absl::UnixEpoch(), 1}, .bytes = model.transfer_bytes()}),
      restarted_(std::move(restarted)) {
  for (const Message<schema::VmSpec>& vm : vms)
    downtime_per_hour_[str(vm.reader().getName())] =
        Money{static_cast<std::int64_t>(vm.reader().getDowntimeNanoUsdPerHour())};
}

std::string Account::user_name(std::string_view subject) const {
  const auto began = restarted_.find(subject);
  return began == restarted_.end() ? std::string(subject) : began->second;
}

void Account::add(const Event& event) {
  using Payload = schema::Payload;
  transfers_.apply(event);
  const auto payload = event.payload();
  const absl::Time at = event.time().wall();
  switch (event.type()) {
    case Payload::NODE_JOINED:
      places_[str(payload.getNodeJoined().getNode())] =
          str(payload.getNodeJoined().getPlace().getId());
      return;
    case Payload::INSTANCE_LAUNCHED: {
      const auto launched = payload.getInstanceLaunched();
      places_[str(launched.getNode())] = str(launched.getPlace().getId());
      Rented& rented = rented_[str(launched.getInstance())];
      rented.node = str(launched.getNode());
      rented.rental.instance = str(launched.getInstance());
      rented.rental.place = str(launched.getPlace().getId());
      rented.rental.launched = absl::FromUnixNanos(launched.getLaunchedNs());
      rented.rental.billing = launched.getBilling();
      rented.rental.price_at_start = Money{launched.getPriceNanoUsdPerHour()};
      rented.charged_until = rented.rental.launched;
      return;
    }
    case Payload::INSTANCE_RETURNED:
      return ended(event, false);
    case Payload::INSTANCE_REVOKED:
      return ended(event, true);
    case Payload::SPOT_INTERRUPTION_NOTICE:
      return notice(event);
    case Payload::LEDGER_CHARGED: {
      const auto charged = payload.getLedgerCharged();
      const Money amount{charged.getAmountNanoUsd()};
      if (!charges_.counts(charged)) return;
      if (charged.getSentBytes() > 0) return pay(at, amount, &ReplayStrategy::transfer);
      pay(at, amount, &ReplayStrategy::instances);
      const auto rented = rented_.find(str(charged.getInstance()));
      if (rented != rented_.end())
        rented->second.charged_until = absl::FromUnixNanos(charged.getToNs());
      return;
    }
    case Payload::POLICY_CONSIDERED:
      return looked(event);
    case Payload::POLICY_FAILED:
      if (++strategy_.failures == 1) strategy_.failure = str(payload.getPolicyFailed().getWhy());
      return;
    case Payload::MIGRATION_PROPOSED:
      return proposed(event);
    case Payload::MIGRATION_COMPLETED:
      ++strategy_.moves;
      add_downtime(user_name(event.subject()), at,
                   absl::Milliseconds(payload.getMigrationCompleted().getBlackoutMs()));
      return;
    case Payload::VM_RESUMED:
      return arrived(event);
    default:
      return;
  }
}

// What a policy compared is said right before what it proposes, but where the same was said at an earlier look: what it compared then was
// another market's.
void Account::proposed(const Event& event) {
  const auto proposed = event.payload().getMigrationProposed();
  Decision& decision = decisions_[event.id()];
  decision.reason = str(proposed.getReason());
  decision.leaving = proposed.getLeaving();
  const auto look = looks_.find(std::string(event.subject()));
  if (look == looks_.end()) return;
  EventId next = look->second.event;
  ++next.sequence;
  if (next == event.id()) decision.candidates = look->second.candidates;
}

void Account::pay(absl::Time at, Money amount, Money ReplayStrategy::* of) {
  strategy_.*of += amount;
  strategy_.cost += amount;
  strategy_.cumulative.emplace_back(at, strategy_.cost);
}

void Account::owe(Money amount, Money ReplayStrategy::* of) {
  strategy_.open += amount;
  pay(to_, amount, of);
}

void Account::add_downtime(const std::string& vm, absl::Time at, absl::Duration span) {
  strategy_.down += span;
  const auto price = downtime_per_hour_.find(vm);
  if (price != downtime_per_hour_.end() && price->second > Money{})
    pay(at, cost(price->second, span), &ReplayStrategy::downtime);
}

void Account::arrived(const Event& event) {
  const std::string node = str(event.payload().getVmResumed().getNode());
  const absl::Time at = event.time().wall();
  const std::string name = user_name(event.subject());
  Vm& vm = vms_[name];
  if (vm.node == node) return;
  if (vm.down_since) add_downtime(name, at, at - *std::exchange(vm.down_since, std::nullopt));
  leave(vm, at);
  vm.node = node;
  vm.stay = strategy_.stays.size();
  ReplayStay stay{
      .vm = name, .from = at, .to = to_, .place = places_[node], .reason = "it began here"};
  if (const auto decision = decisions_.find(event.migration()); decision != decisions_.end()) {
    stay.reason = decision->second.reason;
    stay.flight = decision->second.leaving;
    stay.candidates = decision->second.candidates;
    stay.decision = decision->first.to_string();
  } else if (strategy_.caught > 0) {
    stay.reason = "it was caught by the end of its instance, and started anew";
  }
  strategy_.stays.push_back(std::move(stay));
}

void Account::looked(const Event& event) {
  const auto considered = event.payload().getPolicyConsidered();
  Look& look = looks_[std::string(event.subject())];
  look = {event.id(), {}};
  for (const auto candidate : considered.getCandidates())
    look.candidates.push_back({str(candidate.getPlace()), Money{candidate.getCostNanoUsd()},
                               Money{candidate.getGainNanoUsd()}, str(candidate.getExcluded())});
  const auto vm = vms_.find(user_name(event.subject()));
  if (text(considered.getChoice()) != "stay" || vm == vms_.end() || !vm->second.stay) return;
  std::vector<ReplayLook>& looks = strategy_.stays[*vm->second.stay].looks;
  const std::string reason = str(considered.getReason());
  if (looks.empty() || looks.back().reason != reason)
    looks.push_back({event.time().wall(), reason});
}

void Account::leave(Vm& vm, absl::Time at) {
  if (vm.stay) strategy_.stays[*vm.stay].to = at;
  vm.stay.reset();
}

void Account::notice(const Event& event) {
  const std::string node = str(event.payload().getSpotInterruptionNotice().getNode());
  strategy_.revocations += std::ranges::count_if(
      vms_, [&](const auto& vm) { return vm.second.node == node && !vm.second.down_since; });
}

void Account::ended(const Event& event, bool revoked) {
  const auto payload = event.payload();
  const auto facts = revoked ? payload.getInstanceRevoked() : payload.getInstanceReturned();
  const auto found = rented_.find(str(facts.getInstance()));
  if (found == rented_.end() || found->second.rental.end) return;
  if (revoked) {
    const absl::Time at = event.time().wall();
    for (auto& [name, vm] : vms_) {
      if (vm.node != found->second.node || vm.down_since) continue;
      ++strategy_.caught;
      vm.down_since = at;
      leave(vm, at);
    }
  }
  // The ledger charges its last hour a little later.
  found->second.rental.end = {absl::FromUnixNanos(facts.getEndedNs()), revoked};
}

std::set<std::string> Account::unsettled() const {
  std::set<std::string> places;
  for (const auto& [id, rented] : rented_)
    if (rented.charged_until < rented.until(to_)) places.insert(rented.rental.place);
  return places;
}

void Account::settle(const Rented& rented, const PriceHistory& prices) {
  Rental rental = rented.rental;
  const bool goes_on = !rental.end || rental.end->at > to_;
  if (goes_on) rental.end = {to_, false};
  const absl::Time until = rental.end->at;
  for (absl::Time from = rented.charged_until; from < until; from += billing_hour) {
    const std::int64_t hour = (from - rental.launched) / billing_hour;
    const Charge charge = charge_of(rental, prices, hour, billing_hour);
    const bool begun = goes_on && rental.billing == schema::Billing::HOURLY;
    owe(begun ? cost(charge.usd_per_hour, charge.to - charge.from) : charge.amount,
        &ReplayStrategy::instances);
  }
}

void Account::finish(ReplayStrategy& strategy, const std::map<std::string, PriceHistory>& prices) {
  strategy_.name = strategy.name;
  for (auto& [name, vm] : vms_)
    if (vm.down_since) add_downtime(name, to_, to_ - *vm.down_since);
  for (const auto& [id, rented] : rented_) {
    const auto known = prices.find(rented.rental.place);
    settle(rented, known == prices.end() ? PriceHistory() : known->second);
  }
  for (const auto& [migration, transfer] : transfers_.due())
    owe(transfer_cost(model_.egress_per_gib, transfer.bytes), &ReplayStrategy::transfer);
  strategy = std::move(strategy_);
}

}  // namespace supercloud
