#include "actors/reading/log_page.h"

#include <algorithm>

namespace supercloud {

Message<schema::Request> read_log_request(const LogQuestion& question, std::uint32_t limit) {
  return Message<schema::Request>::build([&](schema::Request::Builder request) {
    auto read = request.initReadLog();
    read.setFrom(question.from);
    read.setPattern(question.pattern);
    read.setLimit(limit);
    if (question.from != 0) return;
    read.setSince(question.since.value);
    const std::size_t count = std::min(question.behind.size(), LogQuestion::behind_max);
    auto behind = read.initBehind(static_cast<unsigned>(count));
    for (unsigned i = 0; i < count; ++i) question.behind[i].write(behind[i]);
  });
}

}  // namespace supercloud
