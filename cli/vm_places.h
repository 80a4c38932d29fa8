// The places that a cluster knows, by what it has published: those with prices, and those where nodes are.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "actors/migration/preflight.h"
#include "core/event.h"
#include "core/message.h"

namespace supercloud {

// A fold; events in the order of their time, of several places in any.
class KnownPlaces {
 public:
  void fold(const Event& event);

  bool contains(const std::string& place) const { return labels_.contains(place); }
  // By name.
  std::vector<std::string> names() const;
  // What in the VM's constraints speaks against a place that has no node yet.
  std::vector<Failure> failures(schema::VmSpec::Reader spec, const std::string& place) const;

 private:
  void learn(schema::Place::Reader place);

  std::map<std::string, std::map<std::string, std::string>> labels_;  // by place
};

}  // namespace supercloud
