#include "actors/reading/log_page.h"

#include <string>

namespace supercloud {

Message<schema::Request> read_log_request(std::uint64_t from, std::string_view pattern,
                                          std::uint32_t limit) {
  return Message<schema::Request>::build([&](schema::Request::Builder request) {
    auto read = request.initReadLog();
    read.setFrom(from);
    read.setPattern(std::string(pattern));
    read.setLimit(limit);
  });
}

}  // namespace supercloud
