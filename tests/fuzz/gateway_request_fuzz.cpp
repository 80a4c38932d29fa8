// What the gateway takes from outside: a line of request target, a line of Last-Event-ID, the rest a file of tokens. No crash; a cursor
// has one spelling; what is asked for can be asked for again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>

#include "actors/gateway/request.h"
#include "actors/gateway/tokens.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto line = [&rest] {
    const std::size_t end = rest.find('\n');
    const std::string_view first = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    return first;
  };
  const std::string_view target = line(), last_event_id = line();

  if (const auto cursor = Cursor::parse(last_event_id); cursor.ok()) {
    const auto again = Cursor::parse(cursor->text());
    if (!again.ok() || !(*again == *cursor)) std::abort();
  }
  const auto parsed = RequestTarget::parse(target);
  if (const auto* asked = std::get_if<RequestTarget>(&parsed)) {
    const auto made = EventsRequest::make(*asked, false, last_event_id, absl::UnixEpoch());
    if (const auto* problem = std::get_if<Problem>(&made)) {
      if (problem->detail.empty() || problem_json(*problem).empty()) std::abort();
    } else {
      const auto& events = std::get<EventsRequest>(made);
      const auto next = RequestTarget::parse(target_after("/", events.cursor, 1));
      const auto again =
          EventsRequest::make(std::get<RequestTarget>(next), false, "", absl::UnixEpoch());
      if (!(std::get<EventsRequest>(again).cursor == events.cursor)) std::abort();
    }
  }
  if (const auto tokens = TokenFile::parse(rest, "tokens.toml"); tokens.ok()) tokens->find(target);
  (void)bearer_token(last_event_id);
  return 0;
}
