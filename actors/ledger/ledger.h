// The ledger: holds the role "ledger" and publishes what each instance costs, hour by hour, when the hour is over or the
// instance has ended; by then the price at the hour's start has long arrived. And what each move sent, when it has ended
// (transfers.h). A charge's key is (instance, hour), or the migration: applied once, whoever published it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "actors/ledger/billing.h"
#include "actors/ledger/transfers.h"
#include "actors/market_time.h"
#include "actors/past.h"
#include "actors/recent.h"
#include "actors/role.h"
#include "actors/session_view.h"
#include "core/actor.h"

namespace supercloud {

struct LedgerOptions {
  MarketClock market;
  std::string role = "ledger";
  Duration role_retry = RoleOptions{}.retry;
  absl::Duration hour = absl::Hours(1);  // of billing, market time
  // How long after the end of an hour it is charged: facts about it may still be on their way (cluster time).
  Duration settle = absl::Milliseconds(200);
  // Of what moves send: one price for all places.
  Money egress_per_gib = usual_egress_per_gib;
  // TransferRules::bytes
  std::optional<std::uint64_t> transfer_bytes = std::nullopt;
  // Instances that have ended and are charged to the end, and moves that are charged: so many are remembered, for facts about them that are told again. Those
  // of which only the end or charges are known, likewise; one more, and the first of them would be charged anew.
  std::size_t ended_max = 100'000;
  // Market time for which prices are kept that no uncharged hour needs: the launch of an instance may be heard late.
  absl::Duration prices_kept = absl::Hours(48);
  // Where logs forget: so long before the ledger starts they surely have what was charged (cluster time). What ended earlier is taken as
  // charged: that an instance was there may be remembered for longer than its charges.
  Duration charges_kept = absl::InfiniteDuration();
};

class Ledger final : public Actor {
 public:
  Ledger(Context& context, LeaseTable& leases, const SessionView& session, LedgerOptions options);
  void receive(const Event& event) override;

 private:
  struct Account {
    Rental rental;
    EventId decision;                // that it was rented for
    std::set<std::int64_t> charged;  // hours beyond `settled`
    std::int64_t settled = 0;        // all hours before this one are charged
    bool over() const { return rental.end.has_value(); }
  };
  void fold(const Event& event);
  void charge_due();
  void publish(const Account& account, const Charge& charge);
  void charge_transfers();
  void publish(const Transfer& transfer);
  void mark(Account& account, std::int64_t hour) const;
  // What logs may have forgotten of its charges is charged.
  void settle_forgotten(Account& account) const;
  bool is_done(const Account& account) const;
  void forget_if_done(const std::string& instance);
  void forget_prices(const std::string& place);
  void wake_later();

  Context& context_;
  MarketTime market_;
  absl::Time forgotten_before_;  // market time
  const LedgerOptions options_;
  RoleHolder role_;
  Past past_;
  // the charges of earlier holders are known, as far as their nodes can be reached
  bool ready_ = false;
  std::map<std::string, Account> accounts_;  // by instance; those that are not done
  struct Prices {
    PriceHistory history;
    std::map<absl::Time, EventId> events;  // that said so, by when they came into force
  };
  std::map<std::string, Prices> prices_;  // by place id
  RecentSet<std::string> done_;           // instances that have ended and are charged
  RecentMap<std::string, std::optional<Rental::End>>
      ends_;  // of instances whose launch is not known yet
  // charges, in nanoseconds from 1970, likewise
  RecentMap<std::string, std::set<std::int64_t>> early_;
  RecentMap<std::string, EventId>
      wishes_;  // by client token: what instances not launched yet are for
  Transfers transfers_;
  TimerId wake_ = 0;
};

}  // namespace supercloud
