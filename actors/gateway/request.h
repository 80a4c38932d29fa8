// What a request for events asks for. Untrusted.
//
//   target = path [ "?" name "=" value *( "&" name "=" value ) ]     percent-encoded, "+" a blank
//   /v1/events: pattern, since (a span back, a date, "start"), after (a cursor), limit, queue ("drop_oldest", "conflate")
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "actors/gateway/problem.h"
#include "actors/reading/cursor.h"
#include "core/actor.h"

namespace supercloud {

struct RequestTarget {
  std::string path;
  std::vector<std::pair<std::string, std::string>> query;

  static std::variant<RequestTarget, Problem> parse(std::string_view target);
};

struct EventsRequest {
  static constexpr std::uint32_t limit_default = 100;
  static constexpr std::uint32_t limit_max = 1000;

  Cursor cursor;                       // where to begin
  bool past = false;                   // the logs are read before what happens from now on
  std::optional<std::uint32_t> limit;  // given: a page of the past and no stream
  // What becomes of a stream whose reader is slower than what happens; `fail`: it ends, and goes on when it is asked for again.
  Queueing::Full queue = Queueing::Full::fail;

  // `batch`: its reader wants a page. `last_event_id`: of that header; empty: none, also where a stream had no id yet.
  static std::variant<EventsRequest, Problem> make(const RequestTarget& target, bool batch,
                                                   std::string_view last_event_id, absl::Time now);
};

// The same with another cursor: what a next page is asked for with.
std::string target_after(std::string_view path, const Cursor& cursor, std::uint32_t limit);

}  // namespace supercloud
