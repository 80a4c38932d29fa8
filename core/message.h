// Requests, answers, worlds and decisions: Cap'n Proto messages that are not events.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "core/schema/request.capnp.h"
#include "core/schema/types.capnp.h"
#include "core/schema/world.capnp.h"

namespace supercloud {

// More than an event's: an answer may carry a page of them.
inline constexpr std::size_t message_bytes_max = 4 << 20;

// An immutable message of one schema struct; cheap to copy. Instantiated in message.cpp for Request, Response, World,
// Decision, VmSpec. Thread-safe to read and copy.
template <class Schema>
class Message {
 public:
  Message() = default;  // reads as a message of defaults; has no bytes
  static Message build(absl::FunctionRef<void(typename Schema::Builder)> fill);
  // Validates: size, depth, the whole structure walked.
  static absl::StatusOr<Message> parse(std::string_view bytes);
  static absl::StatusOr<Message> from_json(std::string_view json);

  typename Schema::Reader reader() const;
  std::string_view bytes() const;
  std::string to_json() const;

 private:
  struct Body;
  std::shared_ptr<const Body> body_;
};

}  // namespace supercloud
