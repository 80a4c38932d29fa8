// What the policies that come with the project have in common: a World as they look at it, and the Decision that they give. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "core/message.h"
#include "core/units.h"

namespace supercloud {

class Outlook {
 public:
  using Place = schema::World::PlaceView::Reader;

  explicit Outlook(schema::World::Reader world);

  schema::World::Reader world() const { return world_; }
  // Where the VM is; empty: that is not known.
  const std::optional<Place>& current() const { return current_; }
  unsigned size() const { return world_.getCandidates().size(); }
  Place place(unsigned index) const { return world_.getCandidates()[index]; }
  bool is_current(unsigned index) const;

  std::int64_t hour_ns() const;
  // Whether every second of the VM's instance costs what its price is then: there is no paid hour to use up.
  bool by_second() const;
  // Until when the present hour is paid. By the second, own hosts and what no provider told of: the next whole hour of market time.
  std::int64_t paid_until_ns() const;
  // How long before the hour's end a VM decides.
  std::int64_t lead_ns() const;
  // Whether a move wastes nothing of what is paid.
  bool may_save() const { return by_second() || paid_until_ns() - world_.getNowNs() <= lead_ns(); }
  // Why the VM has to leave at once, as a sentence's beginning: a notice, or a price above the bid. Empty: it has not.
  std::string danger() const;

  // What was bid for the instance where the VM is; 0: no bid, or none that is known.
  Money bid_here() const;
  // Above it the cloud takes what is at that place: what was bid for the VM's instance, what would be bid elsewhere. 0: nothing is
  // taken there, or the bid is not known.
  std::int64_t bid(unsigned index) const;

  // Why a place is no choice; empty: it is one.
  std::string exclusion(unsigned index) const;
  // What an hour there costs at the present price.
  Money hour_cost(unsigned index) const;
  // What a move there costs: the transfer, the time for which both machines are paid, and the downtime at the VM's price.
  Money move_cost(unsigned index) const;

  // "0.0331", "2015-08-22 14:05"
  static std::string price_text(std::int64_t nano_usd);
  static std::string time_text(std::int64_t ns);
  // Why that is so, as a sentence's beginning: "the paid hour ends"; `where` qualifies the hour.
  std::string occasion(const std::string& where = "") const;
  std::string next_hour() const;   // after the occasion: "the next", or "an hour"
  std::string here() const;        // the id of the current place
  std::string price_here() const;  // or "an unknown price"

 private:
  bool outbid() const;

  schema::World::Reader world_;
  std::optional<Place> current_;
  std::optional<schema::World::InstanceView::Reader> instance_;
};

// Market time to spare, were a flight from the notice begun at once, its target rented first or not: below zero it comes too late.
absl::Duration time_to_spare(schema::World::Reader world, bool rents);
// Whether a flight to that place that begins now arrives before the cloud takes the machine where the VM is.
bool in_time(schema::World::Reader world, std::string_view place);

// What a policy thinks of each candidate, in their order.
struct Opinion {
  Money cost;            // over the policy's horizon
  Money gain;            // against staying
  std::string excluded;  // why it is no choice; empty: it is one
};

struct Verdict {
  std::optional<unsigned> choice;  // a candidate; empty: stay
  std::string reason;
  std::vector<Opinion> opinions;
  // Until the hour's end is near no price changes it but one above the bid where the VM is.
  bool until_hour_end = false;
};

// The Decision: with evidence, the next time to look, and what is said of stale prices.
Message<schema::Decision> decide(const Outlook& outlook, const Verdict& verdict);

}  // namespace supercloud
