// Inside core only: validation and framing that events and messages share. Exceptions of the Cap'n Proto library end here.
//
//   framed message = u32 0 (one segment)  u32 words  word*     all little-endian; `words` counts the segment's words
//
// A validated segment is read without further checks (capnp::readMessageUnchecked), which keeps no state and so may be done by
// any number of threads. That is sound because check_segment() has followed every pointer: within the segment, never twice
// over the same words, no far pointers, no capabilities; and has read every field that the schema knows.
#pragma once

#include <capnp/dynamic.h>
#include <capnp/message.h>
#include <capnp/schema.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace supercloud::codec {

inline constexpr std::size_t framing_bytes = 8;
inline constexpr int depth_max = 32;  // of pointers below the root

// Words of the one segment that `bytes` frame, or what is wrong with the framing.
absl::StatusOr<std::size_t> segment_words(absl::Span<const std::byte> bytes, std::size_t bytes_max);

// Writes the framing of a segment of `words` words.
void write_framing(std::size_t words, std::byte* out);

// Walks all of an (aligned) segment, whose root is a struct of `schema`.
absl::Status check_segment(absl::Span<const capnp::word> segment, capnp::StructSchema schema);

// The message of `builder` in one segment, framed.
kj::Array<capnp::word> flatten(capnp::MessageBuilder& builder);

// JSON in one line. In core/json.cpp.
std::string to_json(capnp::DynamicStruct::Reader value);
// The framed message that `json` says, not yet checked; fields that the schema does not know are an error.
absl::StatusOr<kj::Array<capnp::word>> from_json(std::string_view json, capnp::StructSchema schema);

// Runs `action`; what the library throws becomes InvalidArgument with the library's words.
absl::Status guarded(absl::FunctionRef<void()> action);

}  // namespace supercloud::codec
