#include "actors/spot/price_text.h"

#include <cstdint>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

// 17 digits: times ten fits into 63 bits
constexpr std::int64_t mantissa_max = 100'000'000'000'000'000;

absl::Status refuse(std::string_view text, std::string_view why) {
  std::string shown;
  for (const char c : text.substr(0, 40)) shown += c >= 0x20 && c < 0x7f ? c : '?';
  return absl::InvalidArgumentError(absl::StrCat("\"", shown, "\" ", absl_view(why)));
}

}  // namespace

absl::StatusOr<Money> parse_price(std::string_view text, Money most) {
  std::string_view rest = text;
  if (rest.starts_with('-')) return refuse(text, "is negative; a price is greater than 0");
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

}  // namespace supercloud
