// The actor "lease": answers lease requests from anywhere out of the table that its process hosts, which makes its node the
// cluster's lease site.
#pragma once

#include "core/actor.h"
#include "core/lease_table.h"

namespace supercloud {

class LeaseSite final : public Actor {
 public:
  // `table` lives longer than the actor; it stays as it is when the actor restarts.
  explicit LeaseSite(LeaseTable& table) : table_(table) {}

  void receive(const Event& event) override;
  void serve(Message<schema::Request> request, Answer answer) override;

 private:
  LeaseTable& table_;
};

inline constexpr std::string_view lease_site_actor = "lease";

}  // namespace supercloud
