// Stands in for the resources of a place, which do not move with a VM (a data set, a license server): whoever reaches for one says
// so here, and it becomes an event that policies may learn from.
//
// A place has the resource R if it carries a label "resource.R", whatever its value: VMs may require that as any other label, or
// reach for R from elsewhere. A node at such a place answers for it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "core/actor.h"

namespace supercloud {

inline constexpr const char* resource_actor = "resource";

// How the host of a VM ("tenant/name") reaches for a resource on its behalf: what to ask, and whom.
struct ResourceAccess {
  // `resource`: "node/resource", as in VmSpec.reads.
  ResourceAccess(std::string_view vm, std::string_view resource, std::uint64_t bytes);
  Address to;
  Message<schema::Request> request;
};

// The names of the resources that these labels speak of.
std::set<std::string> resources_of(const std::map<std::string, std::string>& labels);

class ResourceStub final : public Actor {
 public:
  // `home`: the id of the place where they are.
  ResourceStub(Context& context, std::string home, std::set<std::string> resources);
  void receive(const Event&) override {}
  // accessResource: done when it is logged. InvalidArgument without a VM; NotFound: not a resource of this place.
  void serve(Message<schema::Request> request, Answer answer) override;

 private:
  Context& context_;
  const std::string home_;
  const std::set<std::string> resources_;
};

}  // namespace supercloud
