// Short names of places, for legends and tables.
#pragma once

#include <string>
#include <vector>

namespace supercloud {

// One label for each place id. What all places have in common is left out: "us-east-1a", "us-east-1a m4.xlarge",
// "us-east-1a on-demand". An id that is none ("cloud/region/zone/type/spot") is its own label.
std::vector<std::string> place_labels(const std::vector<std::string>& ids);

}  // namespace supercloud
