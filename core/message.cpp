#include "core/message.h"

#include <capnp/compat/json.h>
#include <capnp/message.h>
#include <capnp/schema.h>

#include <cstring>
#include <iterator>

#include "core/codec.h"

namespace supercloud {

template <class Schema>
struct Message<Schema>::Body {
  kj::Array<capnp::word> framed;
};

template <class Schema>
Message<Schema> Message<Schema>::build(absl::FunctionRef<void(typename Schema::Builder)> fill) {
  // As large as the builder's own would be: nearly all fit, and need no other.
  capnp::word first[capnp::SUGGESTED_FIRST_SEGMENT_WORDS];
  std::memset(static_cast<void*>(first), 0, sizeof first);
  capnp::MallocMessageBuilder builder(kj::arrayPtr(first, std::size(first)));
  fill(builder.initRoot<Schema>());
  Message message;
  message.body_ = std::make_shared<const Body>(Body{codec::flatten(builder)});
  return message;
}

template <class Schema>
absl::StatusOr<Message<Schema>> Message<Schema>::parse(std::string_view bytes) {
  const absl::Span<const std::byte> span(reinterpret_cast<const std::byte*>(bytes.data()),
                                         bytes.size());
  const absl::StatusOr<std::size_t> words = codec::segment_words(span, message_bytes_max);
  if (!words.ok()) return words.status();
  auto framed = kj::heapArray<capnp::word>(*words + 1);
  std::memcpy(framed.begin(), bytes.data(), bytes.size());
  absl::Status status =
      codec::check_segment({framed.begin() + 1, *words}, capnp::Schema::from<Schema>());
  if (!status.ok()) return status;
  Message message;
  message.body_ = std::make_shared<const Body>(Body{kj::mv(framed)});
  return message;
}

template <class Schema>
absl::StatusOr<Message<Schema>> Message<Schema>::from_json(std::string_view json) {
  const absl::StatusOr<kj::Array<capnp::word>> framed =
      codec::from_json(json, capnp::Schema::from<Schema>());
  if (!framed.ok()) return framed.status();
  const kj::ArrayPtr<const char> bytes = framed->asChars();
  return parse({bytes.begin(), bytes.size()});
}

template <class Schema>
typename Schema::Reader Message<Schema>::reader() const {
  if (body_ == nullptr) return {};
  return capnp::readMessageUnchecked<Schema>(body_->framed.begin() + 1);
}

template <class Schema>
std::string_view Message<Schema>::bytes() const {
  if (body_ == nullptr) return {};
  const kj::ArrayPtr<const char> bytes = body_->framed.asChars();
  return {bytes.begin(), bytes.size()};
}

template <class Schema>
std::string Message<Schema>::to_json() const {
  return codec::to_json(capnp::DynamicStruct::Reader(reader()));
}

template class Message<schema::Request>;
template class Message<schema::Response>;
template class Message<schema::World>;
template class Message<schema::Decision>;
template class Message<schema::VmSpec>;

}  // namespace supercloud
