// What is asked of those that answer readLog: logs (actors/node/log_reader.h) and archives (actors/archive/archive.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/event.h"
#include "core/hybrid_clock.h"
#include "core/message.h"

namespace supercloud {

struct LogQuestion {
  // Enough for all origins of some hundred nodes; of those that found no room the log is read from its beginning.
  static constexpr std::size_t behind_max = 4096;

  std::uint64_t from = 0;  // position in the log
  std::string pattern;
  // What may be left out of the answer, where `from` is 0 (core/schema/request.capnp): of these origins what is not behind the event, of others
  // what is older.
  std::vector<EventId> behind = {};
  HybridTime since = {};
};

// A page of up to `limit` events.
Message<schema::Request> read_log_request(const LogQuestion& question, std::uint32_t limit);

}  // namespace supercloud
