#include "actors/spot/live/foreign_text.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "core/text.h"

namespace supercloud {

std::string shown_text(std::string_view text, std::size_t most) {
  std::string shown;
  for (const char c : text.substr(0, most)) shown += c >= 0x20 && c < 0x7f ? c : '?';
  return text.size() > most ? shown + "..." : shown;
}

bool is_cloud_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
  });
}

std::optional<absl::Time> foreign_time(std::string_view text) {
  constexpr absl::Time last = absl::FromUnixSeconds(4'102'444'800);  // 2100
  absl::Time time;
  std::string error;
  if (text.size() > 40 || !absl::ParseTime(absl::RFC3339_full, absl_view(text), &time, &error) ||
      time < absl::UnixEpoch() || time > last)
    return std::nullopt;
  return time;
}

}  // namespace supercloud
