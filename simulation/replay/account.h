// What a run's events say it did and paid: what the ledger charged for instances and for what moves sent, and what the model says
// that downtime costs, which no cloud asks for.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "actors/ledger/billing.h"
#include "actors/ledger/charges_once.h"
#include "actors/ledger/transfers.h"
#include "core/event.h"
#include "core/message.h"
#include "core/schema/types.capnp.h"
#include "simulation/replay/model.h"
#include "simulation/replay/result.h"

namespace supercloud {

// A fold over the events of a run in the order of time. Cluster time is market time.
class Account {
 public:
  // `vms`: as they began, for their prices of downtime. `restarted`: of each that was started anew, as which of these it began.
  Account(absl::Time to, const ReplayModel& model, const std::vector<Message<schema::VmSpec>>& vms,
          std::map<std::string, std::string, std::less<>> restarted);

  // Of events with such a topic add() may take note. Prices are most of all events, and paid is what the ledger charges.
  static bool counts(std::string_view topic) { return !topic.starts_with("spot.price_changed."); }
  void add(const Event& event);
  // Ids of places of which something was rented that the ledger had not charged in full by the end.
  std::set<std::string> unsettled() const;
  // What the ledger has not charged by the end is counted by its rules, and of what is still rented the begun hour as far as it has
  // gone: by the hour at the price of its start, by the second at the prices in force; and what moves sent that have just ended.
  // `prices`: of unsettled() places; of one without any the price that the provider said at the launch holds.
  void finish(ReplayStrategy& strategy, const std::map<std::string, PriceHistory>& prices);

 private:
  struct Rented {
    std::string node;
    Rental rental;
    absl::Time charged_until;  // by the ledger

    absl::Time until(absl::Time end) const { return rental.end ? rental.end->at : end; }
  };
  struct Decision {
    std::string reason;
    bool leaving = false;
    std::vector<ReplayCandidate> candidates;
  };
  // A look of a policy's, whose proposal is the next event of the same origin.
  struct Look {
    EventId event;
    std::vector<ReplayCandidate> candidates;
  };
  struct Vm {
    std::string node;
    std::optional<absl::Time> down_since;
    std::optional<std::size_t> stay;  // in strategy_.stays
  };
  void arrived(const Event& event);
  void notice(const Event& event);
  void ended(const Event& event, bool revoked);
  void settle(const Rented& rented, const PriceHistory& prices);
  void leave(Vm& vm, absl::Time at);
  void looked(const Event& event);
  void proposed(const Event& event);

  // `of`: the part of ReplayStrategy::cost.
  void pay(absl::Time at, Money amount, Money ReplayStrategy::* of);
  void owe(Money amount, Money ReplayStrategy::* of);  // at the end, uncharged
  void add_downtime(const std::string& vm, absl::Time at, absl::Duration span);
  // A VM that was started anew is the same to its user.
  std::string user_name(std::string_view subject) const;

  const absl::Time to_;
  const ReplayModel model_;
  ReplayStrategy strategy_;
  std::map<std::string, std::string> places_;  // by node
  std::map<std::string, Rented> rented_;       // by instance
  std::map<std::string, Look> looks_;          // by VM: the newest
  std::map<EventId, Decision> decisions_;
  Transfers transfers_;
  ChargesOnce charges_;
  std::map<std::string, Vm> vms_;
  const std::map<std::string, std::string, std::less<>> restarted_;
  std::map<std::string, Money> downtime_per_hour_;  // by VM
};

}  // namespace supercloud
