#include "cli/vm_places.h"

#include "absl/strings/str_cat.h"

namespace supercloud {

void KnownPlaces::fold(const Event& event) {
  if (event.type() == schema::Payload::SPOT_PRICE_CHANGED)
    learn(event.payload().getSpotPriceChanged().getPlace());
  if (event.type() == schema::Payload::NODE_JOINED)
    learn(event.payload().getNodeJoined().getPlace());
}

void KnownPlaces::learn(schema::Place::Reader place) {
  const std::string id(text(place.getId()));
  if (id.empty()) return;
  auto& labels = labels_[id];
  // not every event repeats them
  if (labels.empty() || place.getLabels().size() > 0) labels = labels_of(place);
}

std::vector<std::string> KnownPlaces::names() const {
  std::vector<std::string> known;
  for (const auto& [place, labels] : labels_) known.push_back(place);
  return known;
}

std::vector<Failure> KnownPlaces::failures(schema::VmSpec::Reader spec,
                                           const std::string& place) const {
  NodeFacts rented;
  rented.name = absl::StrCat("a new node at ", place);
  rented.place = place;
  if (const auto known = labels_.find(place); known != labels_.end()) rented.labels = known->second;
  std::vector<Failure> found;
  for (const std::string& why : constraint_failures(spec, rented))
    found.push_back({"constraints", why, "choose another target, or change the VM's constraints"});
  return found;
}

}  // namespace supercloud
