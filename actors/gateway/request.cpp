#include "actors/gateway/request.h"

#include <charconv>

#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::size_t parameters_max = 16;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out.push_back(' ');
    } else if (text[i] != '%') {
      out.push_back(text[i]);
    } else {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
      if (low < 0) return std::nullopt;
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    }
  }
  return out;
}

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       std::string_view("-_.~*:/,").find(c) != std::string_view::npos;
    if (plain) {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(digits[byte >> 4]);
      out.push_back(digits[byte & 15]);
    }
  }
  return out;
}

Problem bad(std::string_view parameter, std::string_view detail, std::string_view cure) {
  return {.status = 400,
          .detail = std::string(detail),
          .cure = std::string(cure),
          .parameter = std::string(parameter)};
}

std::optional<HybridTime> since_of(const std::string& text, absl::Time now) {
  if (text == "start") return HybridTime{};
  absl::Duration span;
  if (absl::ParseDuration(text, &span) && span >= absl::ZeroDuration())
    return HybridTime::at(now - span);
  absl::Time time;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, nullptr)) return HybridTime::at(time);
  return std::nullopt;
}

}  // namespace

std::variant<RequestTarget, Problem> RequestTarget::parse(std::string_view target) {
  if (target.empty() || target[0] != '/')
    return bad("", "the request's target is no path", "begin it with a slash: /v1/events");
  RequestTarget out;
  const std::size_t mark = target.find('?');
  const auto path = percent_decoded(target.substr(0, mark));
  if (!path) return bad("", "the path has a % that is not followed by two hexadecimal digits", "");
  out.path = *path;
  std::string_view rest =
      mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
  while (!rest.empty()) {
    const std::size_t end = rest.find('&');
    const std::string_view part = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    if (part.empty()) continue;
    const std::size_t equals = part.find('=');
    const auto name = percent_decoded(part.substr(0, equals));
    const auto value =
        equals == std::string_view::npos ? std::string() : percent_decoded(part.substr(equals + 1));
    if (!name || !value)
      return bad(name.value_or(""), "a % is not followed by two hexadecimal digits",
                 "write %25 for a % itself, as in the token a%2Eb: a%252Eb");
    if (out.query.size() == parameters_max)
      return bad(*name, absl::StrCat("more than ", parameters_max, " parameters"),
                 "leave some out");
    for (const auto& [known, unused] : out.query)
      if (known == *name) return bad(*name, "the parameter is there twice", "give it once");
    out.query.emplace_back(*name, *value);
  }
  return out;
}

std::variant<EventsRequest, Problem> EventsRequest::make(const RequestTarget& target, bool batch,
                                                         std::string_view last_event_id,
                                                         absl::Time now) {
  std::string pattern = ">", since, after = std::string(last_event_id);
  std::string_view after_from = "Last-Event-ID";
  std::optional<std::uint32_t> limit;
  Queueing::Full queue = Queueing::Full::fail;
  for (const auto& [name, value] : target.query) {
    if (name == "pattern") {
      pattern = value;
    } else if (name == "since") {
      since = value;
    } else if (name == "after") {
      // What the browser of a reader has seen since is further on than the address that it began with.
      if (!last_event_id.empty()) continue;
      after = value;
      after_from = "after";
    } else if (name == "limit") {
      std::uint32_t number = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
      if (error != std::errc() || end != value.data() + value.size() || number < 1 ||
          number > limit_max)
        return bad("limit", absl::StrCat("\"", value, "\" is no number of events"),
                   absl::StrCat("give 1 to ", limit_max));
      limit = number;
    } else if (name == "queue") {
      if (value != "drop_oldest" && value != "conflate")
        return bad("queue", absl::StrCat("\"", value, "\" is no way of a queue"),
                   "give drop_oldest or conflate; without, a stream whose reader is too slow ends, "
                   "and goes on when it is asked for again");
      queue = value == "conflate" ? Queueing::Full::conflate : Queueing::Full::drop_oldest;
    } else {
      return bad(name, absl::StrCat("no parameter is called \"", name, "\""),
                 "there are pattern, since, after, limit and queue");
    }
  }
  if (batch && !limit) limit = limit_default;
  if (limit && queue != Queueing::Full::fail)
    return bad("queue", "a page waits for its reader, and has no queue",
               "leave queue out, or ask for a stream: without limit, as text/event-stream");

  auto parsed = Pattern::parse(pattern);
  if (!parsed.ok())
    return bad("pattern", std_view(parsed.status().message()),
               "a topic is domain.event.tenant.subject; * stands for one part, > for all that "
               "follow: vm.>");
  if (!after.empty()) {
    auto cursor = Cursor::parse(after);
    if (!cursor.ok())
      return bad(after_from, std_view(cursor.status().message()),
                 "give the id of a message as it came, or begin anew with since");
    if (!(cursor->pattern == *parsed))
      return bad(after_from,
                 absl::StrCat("it is of a reader of \"", cursor->pattern.text(), "\", not of \"",
                              parsed->text(), "\""),
                 "ask with the same pattern, or begin anew with since");
    return EventsRequest{
        .cursor = *std::move(cursor), .past = true, .limit = limit, .queue = queue};
  }
  if (since.empty() && limit) since = "start";
  if (since.empty())
    return EventsRequest{.cursor = Cursor(*std::move(parsed), HybridTime::at(now)),
                         .past = false,
                         .limit = limit,
                         .queue = queue};
  const auto start = since_of(since, now);
  if (!start)
    return bad("since", absl::StrCat("\"", since, "\" is no time"),
               "give a span (10m, 1h30m), a date (2026-11-22T14:00:00Z; a + as %2B), or start");
  return EventsRequest{
      .cursor = Cursor(*std::move(parsed), *start), .past = true, .limit = limit, .queue = queue};
}

std::string target_after(std::string_view path, const Cursor& cursor, std::uint32_t limit) {
  return absl::StrCat(absl_view(path), "?pattern=", percent_encoded(cursor.pattern.text()),
                      "&limit=", limit, "&after=", percent_encoded(cursor.text()));
}

}  // namespace supercloud
