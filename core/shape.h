// Inside core only: what our schemas say of pointers, looked up once. The library's dynamic reader finds out the same anew for every
// field of every message, which takes ten times as long.
#pragma once

#include <capnp/common.h>
#include <capnp/schema.h>

#include "absl/types/span.h"

namespace supercloud::codec {

// Whether the segment, of which every pointer has been followed already, is plainly what the schema says: each field that it knows is
// null or has the encoding that builders write. False: it is not, or is written in one of the other ways that the encoding allows
// (lists of a newer or older element type), or the schema is none of ours; only the library can tell then. Thread-safe.
bool has_shape(absl::Span<const capnp::word> segment, capnp::StructSchema schema);

}  // namespace supercloud::codec
