// What is asked of those that answer readLog: logs (actors/node/log_reader.h) and archives (actors/archive/archive.h).
#pragma once

#include <cstdint>
#include <string_view>

#include "core/message.h"

namespace supercloud {

// A page of up to `limit` events that match `pattern`, from position `from` of the log on.
Message<schema::Request> read_log_request(std::uint64_t from, std::string_view pattern,
                                          std::uint32_t limit);

}  // namespace supercloud
