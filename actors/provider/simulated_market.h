// A cloud account that does not exist: instances start after a delay, cost the market's price, and spot instances are taken
// `notice` after the price has exceeded their bid. Used by the demo, replays and the simulation.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "actors/provider/provider.h"
#include "core/scheduler.h"
#include "core/time.h"

namespace supercloud {

struct SimulatedMarketOptions {
  std::string account = "aws";
  MarketClock market;
  schema::Billing billing = schema::Billing::HOURLY;
  absl::Duration launch_delay = absl::Seconds(60);  // market time
  absl::Duration notice = absl::Seconds(120);       // market time
  // Where the market is fast, work still needs its time: the same in cluster time, at least.
  Duration launch_delay_min = absl::ZeroDuration();
  Duration notice_min = absl::ZeroDuration();
  std::map<PlaceName, int> capacity;  // instances per place
  int capacity_default = 1000;
  // Instances that are there from the start: launched at the market's origin, or as soon as the place's price allows the bid.
  struct Initial {
    PlaceName place;
    std::string node;
    Money bid;
  };
  std::vector<Initial> initial;
};

// Thread-bound to its scheduler. The account is durable: the object outlives the daemons that drive it.
class SimulatedMarket final : public Provider {
 public:
  SimulatedMarket(Scheduler& scheduler, SimulatedMarketOptions options);
  ~SimulatedMarket() override;
  SimulatedMarket(const SimulatedMarket&) = delete;
  SimulatedMarket& operator=(const SimulatedMarket&) = delete;

  std::string account() const override { return options_.account; }
  // Unavailable: the place's price is not known yet.
  void rent(RentRequest request, Reply<Done> reply) override;
  void give_back(std::string instance, Reply<Done> reply) override;
  void list(Reply<std::vector<Instance>> reply) override;
  void watch(std::function<void(const InstanceChange&)> change) override;
  void remember(const std::string& instance) override;
  void price_changed(const Price& price) override;

  // What another process's copy of this account had rented: whoever takes over its role tells this one, before any price.
  void adopt(const Instance& instance);

 private:
  struct Rented {
    Instance instance;
    bool launched = false;
    TimerId timer = 0;  // launch, later revocation
  };
  struct Quote {
    Money price;
    absl::Time since;
  };
  absl::Time now() const;
  Duration span(absl::Duration market, Duration least) const;
  void launch_initial(const PlaceName& place);
  void launch(const std::string& id);
  void check_bid(Rented& rented);
  void revoke(const std::string& id);
  void tell(InstanceChange change);
  int running_in(const PlaceName& place) const;
  std::string new_id();

  Scheduler& scheduler_;
  SimulatedMarketOptions options_;
  std::function<void(const InstanceChange&)> change_;
  std::map<PlaceName, Quote> quotes_;
  std::map<std::string, Rented> instances_;  // by id
  std::map<std::string, std::string> by_token_;
  std::vector<bool> initial_done_;
  std::uint64_t made_ = 0;
};

}  // namespace supercloud
