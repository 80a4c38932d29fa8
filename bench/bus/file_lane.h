// What the log is measured beside: a file written by hand.
#pragma once

#include <memory>

#include "cli/measure/disk_lane.h"

namespace supercloud {

// One write of as many bytes for each, and one fdatasync, in one file that grows.
std::unique_ptr<DiskLane> file_lane();

}  // namespace supercloud
