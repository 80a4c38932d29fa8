#include "actors/observer/words.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "actors/spot/price_feed.h"
#include "core/text.h"

namespace supercloud {
namespace {

bool in_place_id(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
         c == '-' || c == '_' || c == '.' || c == '%';
}

// "12.5": one decimal, none when it is zero.
std::string tenths(std::uint64_t value_tenths) {
  if (value_tenths % 10 == 0) return absl::StrCat(value_tenths / 10);
  return absl::StrCat(value_tenths / 10, ".", value_tenths % 10);
}

}  // namespace

std::string place_words(std::string_view place_id) {
  const auto place = PlaceName::parse(place_id);
  if (!place.ok()) return str(place_id);
  return absl::StrCat(place->zone, place->spot ? "/spot" : "/on-demand");
}

std::string shorten_places(std::string_view sentence) {
  std::string out;
  for (std::size_t at = 0; at < sentence.size();) {
    std::size_t end = at;
    while (end < sentence.size() && in_place_id(sentence[end])) ++end;
    if (end == at) {
      out += sentence[at++];
      continue;
    }
    std::size_t word_end = end;
    // a full stop is not the place's
    while (word_end > at && sentence[word_end - 1] == '.') --word_end;
    out += place_words(sentence.substr(at, word_end - at));
    out += sentence.substr(word_end, end - word_end);
    at = end;
  }
  return out;
}

std::string money_words(Money amount) {
  const bool negative = amount.nano_usd < 0;
  const std::uint64_t size = negative ? -static_cast<std::uint64_t>(amount.nano_usd)
                                      : static_cast<std::uint64_t>(amount.nano_usd);
  const char* sign = negative ? "-" : "";
  if (size > 0 && size < 50'000) return absl::StrFormat("%s0.%09d USD", sign, size);
  const std::uint64_t rounded = (size + 50'000) / 100'000;
  return absl::StrFormat("%s%d.%04d USD", sign, rounded / 10'000, rounded % 10'000);
}

std::string price_words(std::int64_t nano_usd_per_hour) {
  return money_words({nano_usd_per_hour}) + "/h";
}

std::string clock_words(HybridTime time, bool dated) {
  const std::int64_t us = absl::ToUnixMicros(time.wall());
  return absl::StrFormat("%s.%03d", second_words(time, dated), us / 1000 % 1000);
}

std::string second_words(HybridTime time, bool dated) {
  return absl::FormatTime(dated ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", time.wall(),
                          absl::UTCTimeZone());
}

bool need_dates(HybridTime first, HybridTime last) {
  return last.wall() - first.wall() >= absl::Hours(24);
}

std::string market_words(std::int64_t market_ns) {
  return absl::FormatTime("%Y-%m-%d %H:%M", absl::FromUnixNanos(market_ns), absl::UTCTimeZone());
}

std::string span_words(absl::Duration span) {
  if (span < absl::ZeroDuration()) return absl::StrCat("-", span_words(-span));
  const std::int64_t ms = absl::ToInt64Milliseconds(span);
  if (ms < 1000) return absl::StrCat(ms, " ms");
  if (ms < 60'000) return tenths(static_cast<std::uint64_t>(ms / 100)) + " s";
  const std::int64_t s = ms / 1000;
  if (s < 3600)
    return s % 60 == 0 ? absl::StrCat(s / 60, " min") : absl::StrCat(s / 60, " min ", s % 60, " s");
  const std::int64_t minutes = s / 60;
  return minutes % 60 == 0 ? absl::StrCat(minutes / 60, " h")
                           : absl::StrCat(minutes / 60, " h ", minutes % 60, " min");
}

std::string loss_words(std::int64_t silent_ns, bool flushes_kept) {
  if (silent_ns == 0) return "";
  const std::string since =
      silent_ns < 0 ? "since its replica last heard of it"
                    : absl::StrCat("in the ", span_words(absl::Nanoseconds(silent_ns)), " before");
  return absl::StrCat("; what it wrote ", since, flushes_kept ? " and did not flush" : "",
                      " is lost");
}

std::string bytes_words(std::uint64_t bytes) {
  if (bytes < 1024) return count_words(bytes, "byte", "bytes");
  const char* units[] = {"KiB", "MiB", "GiB", "TiB"};
  std::uint64_t unit = 1024;
  std::size_t name = 0;
  while (name < 3 && bytes / unit >= 1024) {
    unit *= 1024;
    ++name;
  }
  const std::uint64_t whole = bytes / unit;
  const std::uint64_t value = whole * 10 + (bytes % unit) * 10 / unit;
  return absl::StrCat(whole >= 100 ? absl::StrCat(whole) : tenths(value), " ", units[name]);
}

std::string count_words(std::uint64_t count, std::string_view one, std::string_view many) {
  return absl::StrCat(count, " ", str(count == 1 ? one : many));
}

std::string because(capnp::Text::Reader why) {
  return why.size() == 0 ? "" : absl::StrCat(": ", shorten_places(text(why)));
}

std::string in_parentheses(capnp::Text::Reader why) {
  return why.size() == 0 ? "" : absl::StrCat(" (", shorten_places(text(why)), ")");
}

std::string ns_words(std::int64_t ns) { return span_words(absl::Nanoseconds(ns)); }

}  // namespace supercloud
