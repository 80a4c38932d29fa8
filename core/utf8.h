// Whether text from outside is UTF-8, as JSON, XML and people's terminals want it.
#pragma once

#include <string_view>

namespace supercloud {

// As RFC 3629 has it: no more bytes than it takes, no surrogates, nothing beyond U+10FFFF.
bool is_utf8(std::string_view said);

}  // namespace supercloud
