#include "actors/ledger/ledger.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

// In the order in which they are read: charges before what they are for.
std::vector<std::string> ledger_facts() {
  return {"spot.price_changed.>", "ledger.charged.>",      "instance.>",
          "migration.started.>",  "migration.completed.>", "migration.aborted.>"};
}

}  // namespace

Ledger::Ledger(Context& context, LeaseTable& leases, const SessionView& session,
               LedgerOptions options)
    : context_(context),
      market_(context, options.market),
      forgotten_before_(market_.now() - options.charges_kept * options.market.speed),
      options_(std::move(options)),
      role_(context, leases, session, options_.role, {[this](Epoch) { wake_later(); }, nullptr},
            {.retry = options_.role_retry}),
      past_(context, {.patterns = ledger_facts(), .archived = ledger_facts()},
            [this](const Event& event) { fold(event); }),
      done_(options_.ended_max),
      ends_(options_.ended_max),
      early_(options_.ended_max),
      wishes_(options_.ended_max),
      transfers_({.market = options_.market,
                  .bytes = options_.transfer_bytes,
                  .charged_max = options_.ended_max}) {
  for (const char* pattern : {"spot.price_changed.>", "ledger.charged.>", "migration.started.>",
                              "migration.completed.>", "migration.aborted.>"})
    context_.subscribe(Pattern::of(pattern));
  context_.subscribe(Pattern::of("node.joined.>"));
  context_.subscribe(Pattern::of("node.capacity.>"));
  context_.subscribe(Pattern::of("instance.>"), [this] { past_.read([this] { role_.start(); }); });
  // Charging can wait; it is not taken back.
  past_.settled([this] {
    ready_ = true;
    wake_later();
  });
}

void Ledger::receive(const Event& event) {
  past_.hear(event);
  fold(event);
  const schema::Payload::Which type = event.type();
  if (type == schema::Payload::INSTANCE_LAUNCHED || type == schema::Payload::INSTANCE_RETURNED ||
      type == schema::Payload::INSTANCE_REVOKED) {
    wake_later();
  }
  charge_transfers();
}

void Ledger::fold(const Event& event) {
  transfers_.apply(event);
  const auto payload = event.payload();
  switch (event.type()) {
    case schema::Payload::SPOT_PRICE_CHANGED: {
      const auto change = payload.getSpotPriceChanged();
      const std::string place(text(change.getPlace().getId()));
      const absl::Time since = absl::FromUnixNanos(change.getSinceNs());
      Prices& prices = prices_[place];
      if (prices.history.add(since, Money{change.getPriceNanoUsdPerHour()}))
        prices.events.emplace(since, event.id());
      if (ready_) forget_prices(place);
      return;
    }
    case schema::Payload::INSTANCE_REQUESTED: {
      const auto requested = payload.getInstanceRequested();
      if (requested.hasMigration())
        wishes_[str(requested.getClientToken())] = EventId::from(requested.getMigration());
      return;
    }
    case schema::Payload::INSTANCE_LAUNCHED: {
      const auto launched = payload.getInstanceLaunched();
      const std::string id(text(launched.getInstance()));
      if (done_.contains(id)) return;
      const auto [found, is_new] = accounts_.try_emplace(id);
      if (!is_new) return;
      Account& account = found->second;
      account.rental.instance = id;
      account.rental.place = std::string(text(launched.getPlace().getId()));
      account.rental.launched = absl::FromUnixNanos(launched.getLaunchedNs());
      account.rental.billing = launched.getBilling();
      account.rental.price_at_start = Money{launched.getPriceNanoUsdPerHour()};
      if (const auto wish = wishes_.extract(str(launched.getClientToken())))
        account.decision = *wish;
      if (const auto end = ends_.extract(id)) account.rental.end = *end;
      if (const auto early = early_.extract(id)) {
        for (const std::int64_t from_ns : *early) {
          mark(account, (absl::FromUnixNanos(from_ns) - account.rental.launched) / options_.hour);
        }
      }
      forget_if_done(id);
      return;
    }
    case schema::Payload::INSTANCE_RETURNED:
    case schema::Payload::INSTANCE_REVOKED: {
      const bool revoked = event.type() == schema::Payload::INSTANCE_REVOKED;
      const auto ended = revoked ? payload.getInstanceRevoked() : payload.getInstanceReturned();
      const std::string id(text(ended.getInstance()));
      const Rental::End end{absl::FromUnixNanos(ended.getEndedNs()), revoked};
      if (done_.contains(id)) return;
      const auto found = accounts_.find(id);
      std::optional<Rental::End>& known =
          found == accounts_.end() ? ends_[id] : found->second.rental.end;
      if (!known) known = end;
      forget_if_done(id);
      return;
    }
    case schema::Payload::LEDGER_CHARGED: {
      const auto charged = payload.getLedgerCharged();
      if (charged.getSentBytes() > 0) return;
      const std::string id(text(charged.getInstance()));
      if (done_.contains(id)) return;
      const auto found = accounts_.find(id);
      if (found == accounts_.end()) {
        early_[id].insert(charged.getFromNs());
      } else {
        mark(found->second,
             (absl::FromUnixNanos(charged.getFromNs()) - found->second.rental.launched) /
                 options_.hour);
        forget_if_done(id);
      }
      return;
    }
    default:
      return;
  }
}

void Ledger::mark(Account& account, std::int64_t hour) const {
  if (hour < account.settled) return;
  account.charged.insert(hour);
  while (account.charged.erase(account.settled) > 0) ++account.settled;
}

void Ledger::settle_forgotten(Account& account) const {
  const Rental& rental = account.rental;
  std::int64_t hours = 0;
  if (rental.end && rental.end->at < forgotten_before_)
    hours = hours_due(rental, rental.end->at, options_.hour);
  else if (rental.launched < forgotten_before_)
    hours = (forgotten_before_ - rental.launched) / options_.hour;
  account.settled = std::max(account.settled, hours);
  account.charged.erase(account.charged.begin(), account.charged.lower_bound(account.settled));
  while (account.charged.erase(account.settled) > 0) ++account.settled;
}

bool Ledger::is_done(const Account& account) const {
  return account.over() &&
         account.settled >= hours_due(account.rental, account.rental.end->at, options_.hour);
}

void Ledger::forget_if_done(const std::string& instance) {
  const auto found = accounts_.find(instance);
  if (found == accounts_.end() || !is_done(found->second)) return;
  accounts_.erase(found);
  done_.insert(instance);
}

// Only once the past is known: until then it is not known either which hours are charged.
void Ledger::forget_prices(const std::string& place) {
  Prices& prices = prices_[place];
  absl::Time needed = prices.history.newest().first - options_.prices_kept;
  for (const auto& [id, account] : accounts_)
    if (account.rental.place == place)
      needed = std::min(needed, account.rental.launched + options_.hour * account.settled);
  prices.history.forget_before(needed);
  prices.events.erase(prices.events.begin(),
                      prices.events.lower_bound(prices.history.oldest().first));
}

void Ledger::wake_later() {
  context_.cancel(std::exchange(wake_, 0));
  if (!role_.held() || !ready_) return;
  const absl::Time now = market_.now();
  std::optional<absl::Time> next;
  // The past had them, or the role was another's.
  if (!transfers_.due().empty()) next = now;
  for (const auto& [id, account] : accounts_) {
    const absl::Time due = account.over()
                               ? std::min(account.rental.end->at, now)
                               : account.rental.launched + options_.hour * (account.settled + 1);
    next = next ? std::min(*next, due) : due;
  }
  if (!next) return;
  const Duration span = std::max(
      std::min(market_.until(*next), MarketTime::longest) + options_.settle, absl::Milliseconds(1));
  wake_ = context_.after(span, [this] {
    wake_ = 0;
    charge_due();
  });
}

void Ledger::charge_due() {
  if (!role_.held()) return;
  charge_transfers();
  const absl::Time now = market_.now();
  std::vector<std::string> done;
  for (auto& [id, account] : accounts_) {
    // Facts about an hour that is just over may still be on their way.
    const absl::Time told = account.over() ? now : now - options_.settle * options_.market.speed;
    const std::int64_t due = hours_due(account.rental, told, options_.hour);
    const PriceHistory& prices = prices_[account.rental.place].history;
    settle_forgotten(account);
    while (account.settled < due) {
      const std::int64_t hour = account.settled;
      publish(account, charge_of(account.rental, prices, hour, options_.hour));
      mark(account, hour);
    }
    if (is_done(account)) done.push_back(id);
  }
  for (const std::string& id : done) forget_if_done(id);
  wake_later();
}

void Ledger::publish(const Account& account, const Charge& charge) {
  Draft draft = context_.draft(account.rental.instance);
  auto charged = draft.payload().initLedgerCharged();
  charged.setInstance(account.rental.instance);
  charged.setPlace(account.rental.place);
  charged.setAmountNanoUsd(charge.amount.nano_usd);
  charged.setFromNs(absl::ToUnixNanos(charge.from));
  charged.setToNs(absl::ToUnixNanos(charge.to));
  charged.setPriceNanoUsdPerHour(charge.usd_per_hour.nano_usd);
  charged.setWhy(charge.why);
  const Prices& prices = prices_[account.rental.place];
  if (const auto entry = prices.history.entry_at(charge.from))
    prices.events.at(entry->first).write(charged.initPriceEvent());
  if (!account.decision.empty()) account.decision.write(charged.initDecision());
  context_.publish(std::move(draft));
}

// At once: by the end of a move it is known where its source was.
void Ledger::charge_transfers() {
  if (transfers_.due().empty() || !role_.held() || !ready_) return;
  while (!transfers_.due().empty()) {
    const Transfer transfer = transfers_.with_place(transfers_.due().begin()->second);
    if (transfer.to >= forgotten_before_) publish(transfer);
    transfers_.charged(transfer.migration);
  }
}

void Ledger::publish(const Transfer& transfer) {
  Draft draft = context_.draft(!transfer.instance.empty() ? transfer.instance
                               : !transfer.source.empty() ? transfer.source
                                                          : transfer.vm);
  auto charged = draft.payload().initLedgerCharged();
  charged.setInstance(transfer.instance);
  charged.setPlace(transfer.place);
  charged.setAmountNanoUsd(transfer_cost(options_.egress_per_gib, transfer.bytes).nano_usd);
  charged.setFromNs(absl::ToUnixNanos(transfer.from));
  charged.setToNs(absl::ToUnixNanos(transfer.to));
  charged.setPriceNanoUsdPerHour(options_.egress_per_gib.nano_usd);
  charged.setWhy(absl::StrCat("sent by the move of ", transfer.vm,
                              transfer.target.empty() ? "" : absl::StrCat(" to ", transfer.target),
                              transfer.aborted ? ", which was aborted" : ""));
  transfer.migration.write(charged.initDecision());
  charged.setSentBytes(transfer.bytes);
  context_.publish(std::move(draft));
}

}  // namespace supercloud
