// Text on its way between libraries: the fields of a schema, std::string_view, and Abseil's own view, which Debian builds apart.
#pragma once

#include <capnp/blob.h>

#include <string>
#include <string_view>

#include "absl/strings/string_view.h"

namespace supercloud {

// Valid as long as the field's message.
inline std::string_view text(capnp::Text::Reader field) { return {field.begin(), field.size()}; }

inline std::string str(capnp::Text::Reader field) { return std::string(text(field)); }
inline std::string str(std::string_view view) { return std::string(view); }

inline capnp::Text::Reader capnp_text(std::string_view view) { return {view.data(), view.size()}; }
inline absl::string_view absl_view(std::string_view view) { return {view.data(), view.size()}; }
inline std::string_view std_view(absl::string_view view) { return {view.data(), view.size()}; }

}  // namespace supercloud
