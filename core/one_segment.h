// A Cap'n Proto message as other programs write it, made one of ours, which has one segment.
//
//   stream = u32 segments - 1  (u32 words)*  [u32 0, to a multiple of 8 bytes]  word*     all little-endian
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace supercloud {

// The framed message of one segment that Message::parse() takes, with the same content. InvalidArgument: not such a stream, more
// than message_bytes_max, deeper than what is allowed. Reentrant.
absl::StatusOr<std::string> one_segment(std::string_view stream);

}  // namespace supercloud
