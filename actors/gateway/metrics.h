// What the gateway counts, and its text for Prometheus (exposition format 0.0.4).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "actors/reading/reading.h"
#include "core/event.h"

namespace supercloud {

// Thread-safe.
struct GatewayMetrics {
  static constexpr std::size_t types_max =
      128;  // the last one: types that this build does not know
  using Count = std::atomic<std::uint64_t>;

  void saw(schema::Payload::Which type) {
    const std::size_t index = static_cast<std::size_t>(type);
    ++seen[topic_of(type).empty() || index >= types_max ? types_max - 1 : index];
  }
  void rejected(int status);

  std::array<Count, types_max> seen{};  // events from the bus, by type
  Count sent = 0;                       // events to readers
  Count sent_bytes = 0;                 // to readers, headers not counted
  Count gaps = 0;                       // told to readers
  Count bus_gaps = 0;                   // that the gateway itself was told of
  std::array<Count, slow_reader_kinds> slow{};
  // requests that were refused
  Count bad_request = 0, unauthorized = 0, forbidden = 0, too_many = 0, refused_otherwise = 0;
  Count pages = 0;         // of the nodes' logs, asked for
  Count pages_failed = 0;  // ... and not got
  // at this moment
  Count nodes = 0, streams = 0, connections = 0, queued_bytes = 0, pages_waiting = 0;
};

std::string prometheus_text(const GatewayMetrics& metrics);

}  // namespace supercloud
