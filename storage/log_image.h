// A whole log as bytes: to be stored elsewhere without a look into each event.
#pragma once

#include <vector>

#include "core/event.h"
#include "storage/origin_book.h"

namespace supercloud {

// A value type, but for the bytes, which belong to another.
struct LogImage {
  std::vector<Bytes> events;  // in the order of the log; each what Event::bytes() gave
  OriginBook origins;         // of these events
};

}  // namespace supercloud
