// What policies know, folded from events; and the World of one VM, built from it. Pure: the same events in any order that
// keeps each origin's own give the same state, and an event applied twice changes nothing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "actors/ledger/billing.h"
#include "actors/policy/fleet.h"
#include "actors/recent.h"
#include "actors/spot/hourly_prices.h"
#include "core/event.h"
#include "core/message.h"
#include "core/time.h"

namespace supercloud {

// What a policy may assume of the market and of moves; not measured here.
struct WorldOptions {
  absl::Duration hour = absl::Hours(1);
  absl::Duration notice = absl::Seconds(120);
  // how long before the end of a paid hour a move has to begin
  absl::Duration lead = absl::Minutes(3);
  absl::Duration migration = absl::Seconds(30);  // until one was measured
  absl::Duration launch = absl::Seconds(60);
  Money egress_per_gib = usual_egress_per_gib;
  std::optional<Money> bid;  // per hour, at spot places; without it the on-demand price
  // what a move sends; without it: what the last one did, else the VM's memory
  std::optional<std::uint64_t> transfer_bytes;
  // of all VMs, to save money: at once, and in 24 hours of market time; 0: no limit
  std::uint32_t moving_max = 0;
  std::uint32_t moves_per_day = 0;
  MarketClock market{absl::UnixEpoch(), absl::UnixEpoch(), 1};
  // places without a node are candidates: an instance can be rented there
  bool can_rent = true;
};

// What grows with time is limited: to this many ended instances (facts about them may be told again) and notices of instances whose
// launch is not known yet, to this many moves of the last day, and to this many nodes, those heard of last.
inline constexpr std::size_t world_entries_max = 10'000;

class WorldState {
 public:
  // Takes note of an event of any type. True if a policy might now decide otherwise.
  bool apply(const Event& event);
  // ... of a price and those before it, as the holder of the feed's role knows them.
  void learn(schema::Response::KnownPrices::Reader known);

  struct Node {
    std::string place;  // id
    std::string instance;
    std::uint64_t memory_bytes = 0;
    std::optional<std::uint64_t> memory_free_bytes;
    std::set<std::string> devices;
    HybridTime since;  // of the newest event about its coming or going
    bool here = true;
  };
  const std::map<std::string, Node>& nodes() const { return nodes_; }
  bool feed_lost() const { return lost_feeds_ > 0; }
  // The place of an instance or a node; empty: not known.
  std::string place_of_node(const std::string& node) const;
  // Whether the cloud takes that node's instance, as it has said.
  bool noticed(const std::string& node) const;

  const Fleet& fleet() const { return fleet_; }

  // The World of the VM "tenant/name" that runs on `node`. `closed`: places that are no choice at the moment, and why.
  Message<schema::World> world(schema::VmSpec::Reader spec, const std::string& node, absl::Time now,
                               const WorldOptions& options,
                               const std::map<std::string, std::string>& closed = {}) const;

 private:
  struct LabelValue {
    std::string name, value;
  };
  struct PlaceState {
    std::string cloud, region, zone, type;
    bool spot = true;
    std::vector<LabelValue> labels;
    PriceHistory prices;
    HourlyPrices hourly;
    bool told = false;                   // of what was before its prices here
    std::optional<EventId> price_event;  // the newest
  };
  struct Notice {
    absl::Time deadline;
    EventId event;
  };
  struct InstanceState {
    Rental rental;
    std::string node;
    Money bid;
    std::optional<Notice> notice;
  };
  bool apply_price(const Event& event);
  PlaceState& place_of(schema::Place::Reader place);  // as it says it is
  bool apply_instance(const Event& event);
  bool apply_node(const Event& event);
  bool apply_joined(schema::NodeJoined::Reader joined, HybridTime time);
  void forget_a_node(const std::string& but);
  void fill_candidate(const std::string& id, const PlaceState& place, schema::VmSpec::Reader spec,
                      const std::string& vm_node, absl::Time now, const WorldOptions& options,
                      schema::World::PlaceView::Builder view) const;
  const InstanceState* instance_at(const std::string& node) const;
  // Whether what ran there was an instance that has ended.
  bool given_back(const std::string& name) const;
  std::optional<Money> on_demand(const PlaceState& place, absl::Time now) const;

  std::map<std::string, PlaceState> places_;
  std::map<std::string, InstanceState> instances_;
  std::map<std::string, Node> nodes_;
  RecentSet<std::string> ended_{world_entries_max};       // instances
  RecentSet<std::string> left_nodes_{world_entries_max};  // that ran on them
  RecentMap<std::string, Notice> early_notices_{world_entries_max};
  int lost_feeds_ = 0;
  Fleet fleet_;
};

// Why this VM may not run at this place, by its labels alone; empty: it may. Besides the labels it carries, a place has the
// labels cloud, region, zone, type and market ("spot" or "on-demand").
std::string why_labels_forbid(schema::VmSpec::Reader spec, schema::Place::Reader place);

}  // namespace supercloud
