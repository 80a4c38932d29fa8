#include "actors/spot/price_text.h"

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

// 17 digits: times ten fits into 63 bits
constexpr std::int64_t mantissa_max = 100'000'000'000'000'000;

constexpr std::int64_t last_second = 4'102'444'800;  // 2100

absl::Status refuse(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("\"", printable(text), "\" ", absl_view(why)));
}

// Takes `count` digits from the front of `text`; -1 where they are not there.
int take_digits(std::string_view& text, std::size_t count) {
  if (text.size() < count) return -1;
  int value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const char c = text[i];
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(count);
  return value;
}

bool take_char(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

// "Z", "+00:00", "-0700": minutes east of UTC, as RFC 3339 has it, and ISO 8601.
std::optional<int> take_offset(std::string_view& text) {
  if (take_char(text, 'Z')) return 0;
  const bool west = take_char(text, '-');
  if (!west && !take_char(text, '+')) return std::nullopt;
  const int hours = take_digits(text, 2);
  take_char(text, ':');
  const int minutes = take_digits(text, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return std::nullopt;
  return (west ? -1 : 1) * (hours * 60 + minutes);
}

}  // namespace

absl::StatusOr<Money> parse_price(std::string_view text, Money most) {
  std::string_view rest = text;
  if (rest.starts_with('-')) return refuse(text, "is negative");
  if (rest.starts_with('+')) rest.remove_prefix(1);
  std::int64_t mantissa = 0;
  int exponent = 9;  // of ten, of the mantissa in nano-dollars
  bool digits = false;
  bool point = false;
  while (!rest.empty()) {
    const char c = rest.front();
    if (c == '.' && !point) {
      point = true;
    } else if (c >= '0' && c <= '9') {
      digits = true;
      if (mantissa < mantissa_max) {
        mantissa = mantissa * 10 + (c - '0');
        if (point) --exponent;
      } else if (!point) {
        ++exponent;  // beyond 17 digits: too small to matter after the point, absurd before it
      }
    } else {
      break;
    }
    rest.remove_prefix(1);
  }
  if (!digits) return refuse(text, "is no number; write USD per hour in decimal, as 0.0331");
  if (!rest.empty()) {
    int given = 0;
    if ((rest.front() != 'e' && rest.front() != 'E') ||
        !absl::SimpleAtoi(absl::string_view(rest.data() + 1, rest.size() - 1), &given) ||
        given > 100 || given < -100) {
      return refuse(text, "is no number; write USD per hour in decimal, as 0.0331");
    }
    exponent += given;
  }
  for (; exponent > 0 && mantissa != 0; --exponent) {
    if (mantissa > most.nano_usd) break;  // too much already; and ten times as much might not fit
    mantissa *= 10;
  }
  bool half = false;
  for (; exponent < 0 && mantissa != 0; ++exponent) {
    half = mantissa % 10 >= 5;
    mantissa /= 10;
    if (mantissa == 0 && exponent < -1) half = false;
  }
  if (half) ++mantissa;
  if (mantissa > most.nano_usd) {
    return refuse(text, absl::StrCat("is more than ", to_string(most, 0), " per hour"));
  }
  if (mantissa <= 0) return refuse(text, "is not greater than 0");
  return Money{mantissa};
}

absl::StatusOr<Money> parse_price_or_zero(std::string_view text, Money most) {
  double zero = 1;
  if (absl::SimpleAtod(absl_view(text), &zero) && zero == 0) return Money{};
  return parse_price(text, most);
}

std::optional<absl::Time> price_time(std::int64_t seconds) {
  if (seconds < 0 || seconds > last_second) return std::nullopt;
  return absl::FromUnixSeconds(seconds);
}

std::optional<absl::Time> parse_price_time(std::string_view text) {
  const int year = take_digits(text, 4);
  if (year < 0 || !take_char(text, '-')) return std::nullopt;
  const int month = take_digits(text, 2);
  if (month < 0 || !take_char(text, '-')) return std::nullopt;
  const int day = take_digits(text, 2);
  if (day < 0 || !take_char(text, 'T')) return std::nullopt;
  const int hour = take_digits(text, 2);
  if (hour < 0 || hour > 23 || !take_char(text, ':')) return std::nullopt;
  const int minute = take_digits(text, 2);
  if (minute < 0 || minute > 59) return std::nullopt;
  int second = 0;
  std::int64_t nanoseconds = 0;
  if (take_char(text, ':')) {
    second = take_digits(text, 2);
    if (second < 0 || second > 59) return std::nullopt;
    if (take_char(text, '.')) {
      std::int64_t scale = 1'000'000'000;
      std::size_t digits = 0;
      for (int digit = take_digits(text, 1); digit >= 0; digit = take_digits(text, 1)) {
        ++digits;
        scale /= 10;
        nanoseconds += digit * scale;
      }
      if (digits == 0) return std::nullopt;
    }
  }
  const std::optional<int> offset = take_offset(text);
  if (!offset || !text.empty()) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{year},
                                         std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok()) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days{date}.time_since_epoch().count();
  const std::optional<absl::Time> time =
      price_time(((days * 24 + hour) * 60 + minute - *offset) * 60 + second);
  if (!time) return std::nullopt;
  return *time + absl::Nanoseconds(nanoseconds);
}

std::string printable(std::string_view text) {
  std::string shown;
  for (const char c : text.substr(0, 40)) shown += c >= 0x20 && c < 0x7f ? c : '?';
  return text.size() > 40 ? shown + "..." : shown;
}

}  // namespace supercloud
