// The provider seam: instances in one cloud account.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "actors/spot/price_feed.h"
#include "core/reply.h"
#include "core/schema/event.capnp.h"
#include "core/units.h"

namespace supercloud {

// Begins the client token of an instance that was there from the start.
inline constexpr const char* initial_token_prefix = "initial/";

struct Instance {
  std::string id;
  PlaceName place;
  std::string node;      // name of the node that runs, or will run, there
  Money bid;             // per hour; spot only
  Money price_at_start;  // per hour
  schema::Billing billing = schema::Billing::HOURLY;
  absl::Time launched;  // market time; billing hours count from here
  std::string client_token;
  // when the cloud takes it, once it has said so
  absl::Time notice_deadline = absl::InfiniteFuture();
};

struct RentRequest {
  PlaceName place;
  Money bid;
  std::string client_token;  // the same token never rents twice
};

struct InstanceChange {
  enum class Kind : std::uint8_t { launched, notice, revoked, returned };
  Kind kind = Kind::launched;
  Instance instance;
  absl::Time at;        // market time of the change
  absl::Time deadline;  // notice: when the cloud takes it
  Money price;          // notice: the price that exceeded the bid
};

// Thread-bound.
class Provider {
 public:
  virtual ~Provider() = default;
  virtual std::string account() const = 0;
  // Replies when the account has taken the request; `launched` comes as a change. ResourceExhausted: no capacity, or the bid is below the price.
  virtual void rent(RentRequest request, Reply<Done> reply) = 0;
  virtual void give_back(std::string instance, Reply<Done> reply) = 0;  // idempotent
  // by id; for reconciliation after a takeover of the role
  virtual void list(Reply<std::vector<Instance>> reply) = 0;
  virtual void watch(std::function<void(const InstanceChange&)> change) = 0;
  // An id that the facts know already, also of an instance that has ended: never given out again.
  virtual void remember(const std::string& instance) { static_cast<void>(instance); }
  // A market's provider hears prices through the actor that drives it, once it has been told what is rented.
  virtual void price_changed(const Price& price) = 0;
};

}  // namespace supercloud
