// Redis's publish and subscribe. Who is subscribed may say nothing else, so that there are two connections.
#include <string>
#include <utility>

#include "bench/peers/peer_wire.h"
#include "bench/peers/redis_connection.h"

namespace supercloud {
namespace {

// Of commands: so many bytes leave together, and so many are on their way before their answers are looked at.
constexpr std::size_t leave_at_bytes = 64 * 1024;
constexpr int on_their_way_max = 2000;

std::string_view redis_text(const redisReply& reply) { return {reply.str, reply.len}; }

class RedisWire final : public PeerWire {
 public:
  RedisWire(RedisConnection commands, RedisConnection news)
      : commands_(std::move(commands)), news_(std::move(news)) {}

  absl::Status subscribe(const std::string& topic) override {
    if (absl::Status told = news_.append({"SUBSCRIBE", topic}); !told.ok()) return told;
    return news_.answer().status();
  }
  absl::Status publish(const std::string& topic, std::string_view body) override {
    if (absl::Status told = commands_.append({"PUBLISH", topic, body}); !told.ok()) return told;
    ++on_their_way_;
    waiting_bytes_ += body.size();
    if (waiting_bytes_ >= leave_at_bytes)
      if (absl::Status left = flush(); !left.ok()) return left;
    return look_at_answers(on_their_way_max);
  }
  absl::Status flush() override {
    waiting_bytes_ = 0;
    return commands_.flush();
  }
  absl::StatusOr<std::string_view> receive(absl::Duration patience) override {
    const int patience_ms = patience == absl::InfiniteDuration()
                                ? -1
                                : static_cast<int>(absl::ToInt64Milliseconds(patience));
    auto came = news_.next(patience_ms);
    if (!came.ok()) return came.status();
    message_ = *std::move(came);
    if (message_ == nullptr) return absl::DeadlineExceededError("Redis: nothing came");
    // Theirs are there by now: the server answers a command when it has passed the message on.
    if (absl::Status answered = look_at_answers(0); !answered.ok()) return answered;
    if (message_->type != REDIS_REPLY_ARRAY || message_->elements != 3 ||
        redis_text(*message_->element[0]) != "message")
      return absl::UnavailableError("Redis: what came is no message");
    return redis_text(*message_->element[2]);
  }

 private:
  // Until no more than so many are missing.
  absl::Status look_at_answers(int missing) {
    for (; on_their_way_ > missing; --on_their_way_)
      if (absl::Status answered = commands_.answer().status(); !answered.ok()) return answered;
    return absl::OkStatus();
  }

  RedisConnection commands_, news_;
  RedisReply message_;
  std::size_t waiting_bytes_ = 0;
  int on_their_way_ = 0;
};

}  // namespace

Connect redis_wires() {
  return [](const std::string& address, bool) -> absl::StatusOr<std::unique_ptr<PeerWire>> {
    auto commands = RedisConnection::open(address), news = RedisConnection::open(address);
    if (!commands.ok()) return commands.status();
    if (!news.ok()) return news.status();
    return std::make_unique<RedisWire>(*std::move(commands), *std::move(news));
  };
}

}  // namespace supercloud
