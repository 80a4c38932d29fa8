// How long a log keeps what it has, as a node's file says it: `keep`, `keep_mib`, `keep_events`.
#pragma once

#include <string>

#include "cli/toml_table.h"
#include "storage/retention.h"

namespace supercloud {

// However low the limits are, what a node's logs have of the time before it starts, if it was not down for as long.
inline constexpr Duration kept_surely = absl::Hours(24);

// Of the table of a log or of an archive. Limits that are too low for the actors are mistakes.
Retention read_retention(TomlTable& table);
// As lines that read as the same.
std::string to_toml(const Retention& retention);

}  // namespace supercloud
