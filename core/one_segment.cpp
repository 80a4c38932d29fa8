#include "core/one_segment.h"

#include <capnp/any.h>
#include <capnp/message.h>
#include <capnp/serialize.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "core/codec.h"
#include "core/message.h"

namespace supercloud {

absl::StatusOr<std::string> one_segment(std::string_view stream) {
  if (stream.size() > message_bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("a message of ", stream.size(), " bytes, more than ", message_bytes_max));
  }
  if (stream.empty() || stream.size() % sizeof(capnp::word) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(stream.size(), " bytes are no message: not a whole number of words"));
  }
  auto words = kj::heapArray<capnp::word>(stream.size() / sizeof(capnp::word));
  std::memcpy(words.begin(), stream.data(), stream.size());
  std::string framed;
  const absl::Status read = codec::guarded([&] {
    capnp::ReaderOptions limits;
    limits.traversalLimitInWords = words.size() + 64;  // no words are read twice
    limits.nestingLimit = codec::depth_max;
    capnp::FlatArrayMessageReader reader(words, limits);
    capnp::MallocMessageBuilder builder;
    builder.setRoot(reader.getRoot<capnp::AnyPointer>());
    const auto flat = codec::flatten(builder);
    framed.assign(flat.asChars().begin(), flat.asChars().size());
  });
  if (!read.ok()) return read;
  return framed;
}

}  // namespace supercloud
