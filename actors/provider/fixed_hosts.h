// One's own hosts as a cloud account: a fixed list, nothing to launch, nothing revoked. A host that is rented is in use at once: its
// node runs already, or its owner starts it when instance.launched says so.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "actors/provider/provider.h"
#include "core/scheduler.h"
#include "core/time.h"

namespace supercloud {

struct FixedHost {
  std::string node;
  PlaceName place;
  Money price_per_hour;  // what it costs its owner to run; zero if that is not counted
  bool in_use = true;    // from the market's origin on; else it is free for whoever rents it
};

// Thread-bound to its scheduler.
class FixedHosts final : public Provider {
 public:
  FixedHosts(Scheduler& scheduler, MarketClock market, std::string account,
             std::vector<FixedHost> hosts, schema::Billing billing = schema::Billing::HOURLY);

  std::string account() const override { return account_; }
  // ResourceExhausted: no free host of that place.
  void rent(RentRequest request, Reply<Done> reply) override;
  void give_back(std::string instance, Reply<Done> reply) override;
  void list(Reply<std::vector<Instance>> reply) override;
  void watch(std::function<void(const InstanceChange&)> change) override;
  void price_changed(const Price&) override {}

  // What the facts say is rented, for the account of a process that started anew. False: no host of the list.
  bool adopt(const Instance& instance);

 private:
  struct Host {
    Instance instance;
    bool used = true;
  };
  absl::Time now() const { return market_.at(scheduler_.clock().wall()); }

  Scheduler& scheduler_;
  MarketClock market_;
  std::string account_;
  std::vector<Host> hosts_;  // by node
  std::function<void(const InstanceChange&)> change_;
};

}  // namespace supercloud
