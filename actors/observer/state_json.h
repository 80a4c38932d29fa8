// The state of a migration as JSON: for the observer's answers and for `--json`.
#pragma once

#include <string>

#include "actors/observer/migration_fold.h"

namespace supercloud {

// One object on one line; times are RFC 3339, ids are written in full, money is in nano-dollars.
std::string to_json(const MigrationState& state);

}  // namespace supercloud
