// Redis's streams, by a server that syncs its file before it answers (appendfsync always).
#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/peers/peer_store.h"
#include "bench/peers/redis_connection.h"

namespace supercloud {
namespace {

constexpr const char* stream_key = "bench";
constexpr const char* record_field = "r";

class RedisStreamStore final : public PeerStore {
 public:
  explicit RedisStreamStore(RedisConnection connection) : connection_(std::move(connection)) {}

  // A server that does not sync is another measurement.
  absl::Status check_syncs() {
    if (absl::Status asked = connection_.append({"CONFIG", "GET", "appendfsync"}); !asked.ok())
      return asked;
    const auto answer = connection_.answer();
    if (!answer.ok()) return answer.status();
    const redisReply& setting = **answer;
    if (setting.type != REDIS_REPLY_ARRAY || setting.elements != 2 ||
        std::string(setting.element[1]->str, setting.element[1]->len) != "always")
      return absl::FailedPreconditionError("Redis does not sync what it acknowledges");
    return absl::OkStatus();
  }
  absl::Status put(const std::vector<std::string>& records) override {
    for (const std::string& record : records)
      if (absl::Status told = connection_.append({"XADD", stream_key, "*", record_field, record});
          !told.ok())
        return told;
    for (std::size_t i = 0; i < records.size(); ++i)
      if (absl::Status answered = connection_.answer().status(); !answered.ok()) return answered;
    return absl::OkStatus();
  }
  // They come newest first.
  absl::StatusOr<std::vector<std::string>> get(std::size_t count) override {
    const std::string most = absl::StrCat(count);
    if (absl::Status asked = connection_.append({"XREVRANGE", stream_key, "+", "-", "COUNT", most});
        !asked.ok())
      return asked;
    const auto answer = connection_.answer();
    if (!answer.ok()) return answer.status();
    std::vector<std::string> records;
    for (std::size_t i = 0; i < (*answer)->elements; ++i) {
      const redisReply& entry = *(*answer)->element[i];  // its id, and its fields
      if (entry.elements != 2 || entry.element[1]->elements != 2)
        return absl::UnavailableError("Redis: what came is no entry of a stream");
      const redisReply& record = *entry.element[1]->element[1];
      records.emplace_back(record.str, record.len);
    }
    std::reverse(records.begin(), records.end());
    return records;
  }

 private:
  RedisConnection connection_;
};

}  // namespace

OpenStore redis_stream_stores() {
  return [](const std::string& address) -> absl::StatusOr<std::unique_ptr<PeerStore>> {
    auto connection = RedisConnection::open(address);
    if (!connection.ok()) return connection.status();
    auto store = std::make_unique<RedisStreamStore>(*std::move(connection));
    if (absl::Status syncs = store->check_syncs(); !syncs.ok()) return syncs;
    return store;
  };
}

}  // namespace supercloud
