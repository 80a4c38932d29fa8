#include "core/event_log.h"

#include <algorithm>

namespace supercloud {

bool StreamRange::has(std::string_view topic) const {
  return std::ranges::any_of(prefixes, [topic](std::string_view prefix) {
    if (topic.starts_with(prefix)) return true;
    // the topic's own last token: on the wire it has a dot
    return prefix.size() == topic.size() + 1 && prefix.ends_with('.') && prefix.starts_with(topic);
  });
}

}  // namespace supercloud
