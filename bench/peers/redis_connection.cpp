#include "bench/peers/redis_connection.h"

#include <poll.h>
#include <sys/time.h>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

constexpr timeval answer_within{.tv_sec = 10, .tv_usec = 0};
constexpr std::size_t words_few = 8;

}  // namespace

absl::StatusOr<RedisConnection> RedisConnection::open(const std::string& address) {
  RedisConnection connection(redisConnectUnixWithTimeout(address.c_str(), answer_within));
  if (connection.context_ == nullptr) return absl::ResourceExhaustedError("Redis: no memory");
  if (connection.context_->err != 0 ||
      redisSetTimeout(connection.context_.get(), answer_within) != REDIS_OK)
    return connection.wrong();
  return connection;
}

absl::Status RedisConnection::append(std::initializer_list<std::string_view> words) {
  absl::InlinedVector<const char*, words_few> texts;
  absl::InlinedVector<std::size_t, words_few> sizes;
  for (const std::string_view word : words) {
    texts.push_back(word.data());
    sizes.push_back(word.size());
  }
  return redisAppendCommandArgv(context_.get(), static_cast<int>(words.size()), texts.data(),
                                sizes.data()) == REDIS_OK
             ? absl::OkStatus()
             : wrong();
}

absl::Status RedisConnection::flush() {
  for (int done = 0; done == 0;)
    if (redisBufferWrite(context_.get(), &done) != REDIS_OK) return wrong();
  return absl::OkStatus();
}

absl::StatusOr<RedisReply> RedisConnection::answer() {
  void* said = nullptr;
  if (redisGetReply(context_.get(), &said) != REDIS_OK) return wrong();
  RedisReply reply(static_cast<redisReply*>(said));
  if (reply->type == REDIS_REPLY_ERROR)
    return absl::UnavailableError(absl::StrCat("Redis: ", std::string(reply->str, reply->len)));
  return reply;
}

absl::StatusOr<RedisReply> RedisConnection::next(int patience_ms) {
  for (;;) {
    void* said = nullptr;
    if (redisReaderGetReply(context_->reader, &said) != REDIS_OK)
      return absl::UnavailableError(absl::StrCat("Redis: ", context_->reader->errstr));
    if (said != nullptr) return RedisReply(static_cast<redisReply*>(said));
    pollfd readable{.fd = context_->fd, .events = POLLIN, .revents = 0};
    if (const int ready = ::poll(&readable, 1, patience_ms); ready == 0)
      return RedisReply();
    else if (ready > 0 && redisBufferRead(context_.get()) != REDIS_OK)
      return wrong();
  }
}

absl::Status RedisConnection::wrong() const {
  return absl::UnavailableError(absl::StrCat("Redis: ", context_->errstr));
}

}  // namespace supercloud
