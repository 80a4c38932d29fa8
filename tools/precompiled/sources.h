// Precompiled for every folder's library where the option precompile is on: what takes most of a compilation, parsed once.
// No source counts on it: make lint reads each without it.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/actor.h"
#include "core/event_log.h"
#include "core/lease_table.h"
