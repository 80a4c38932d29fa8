// The ledger: holds the role "ledger" and publishes what each instance costs, hour by hour, when the hour is over or the
// instance has ended. By then the price at the hour's start has long arrived. A charge's key is (instance, hour): applied once,
// whoever published it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "actors/ledger/billing.h"
#include "actors/market_time.h"
#include "actors/past.h"
#include "actors/role.h"
#include "actors/session_view.h"
#include "core/actor.h"

namespace supercloud {

struct LedgerOptions {
  MarketClock market;
  std::string role = "ledger";
  absl::Duration hour = absl::Hours(1);  // of billing, market time
  // How long after the end of an hour it is charged: facts about it may still be on their way (cluster time).
  Duration settle = absl::Milliseconds(200);
};

class Ledger final : public Actor {
 public:
  Ledger(Context& context, LeaseTable& leases, const SessionView& session, LedgerOptions options);
  void receive(const Event& event) override;

 private:
  struct Account {
    Rental rental;
    std::set<std::int64_t> charged;  // hours beyond `settled`
    std::int64_t settled = 0;        // all hours before this one are charged
    bool over() const { return rental.end.has_value(); }
  };
  void fold(const Event& event);
  void charge_due();
  void publish(const Account& account, const Charge& charge);
  void mark(Account& account, std::int64_t hour) const;
  void wake_later();

  Context& context_;
  MarketTime market_;
  const LedgerOptions options_;
  RoleHolder role_;
  Past past_;
  // the charges of earlier holders are known, as far as their nodes can be reached
  bool ready_ = false;
  std::map<std::string, Account> accounts_;     // by instance
  std::map<std::string, PriceHistory> prices_;  // by place id
  std::map<std::string, Rental::End> ends_;     // of instances whose launch is not known yet
  // charges, in nanoseconds from 1970, likewise
  std::map<std::string, std::set<std::int64_t>> early_;
  TimerId wake_ = 0;
};

}  // namespace supercloud
