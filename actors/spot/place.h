// Places in events and topics.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "actors/spot/price_feed.h"
#include "core/schema/types.capnp.h"

namespace supercloud {

// A label that every place gets whose id begins with `place_prefix`.
struct LabelRule {
  std::string place_prefix;
  std::string name;
  std::string value;
};

PlaceName place_name(schema::Place::Reader place);
void write_place(const PlaceName& place, const std::vector<LabelRule>& labels,
                 schema::Place::Builder builder);

// What stands for a place as the subject of an event: its id, where that fits into a topic token; else its beginning and a
// digest. For topics only: events carry the id itself.
std::string place_subject(std::string_view place_id);

}  // namespace supercloud
