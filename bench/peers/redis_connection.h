// What the two ways of Redis share: one connection, whose errors are Status values.
#pragma once

#include <hiredis/hiredis.h>

#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/peers/handle.h"

namespace supercloud {

using RedisReply = Handle<redisReply, freeReplyObject>;

// Thread-bound.
class RedisConnection {
 public:
  static absl::StatusOr<RedisConnection> open(const std::string& address);

  // Into the buffer.
  absl::Status append(std::initializer_list<std::string_view> words);
  absl::Status flush();
  // The answer to the first that has none yet; what is in the buffer leaves before. Within ten seconds. An error of the server's is one of ours.
  absl::StatusOr<RedisReply> answer();
  // What comes without being asked for; null: nothing has within that time (negative: for ever).
  absl::StatusOr<RedisReply> next(int patience_ms);

 private:
  explicit RedisConnection(redisContext* context) : context_(context) {}
  absl::Status wrong() const;

  Handle<redisContext, redisFree> context_;
};

}  // namespace supercloud
