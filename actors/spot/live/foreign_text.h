// Text that others wrote, before it is believed or shown.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace supercloud {

// As it may stand in a message: printable, and not longer than `most`.
std::string shown_text(std::string_view text, std::size_t most = 60);

// A region, zone or instance type: 1 to 64 of A-Z a-z 0-9 . _ -
bool is_cloud_name(std::string_view text);

// RFC 3339, from 1970 to 2100.
std::optional<absl::Time> foreign_time(std::string_view text);

}  // namespace supercloud
