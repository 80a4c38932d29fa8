// JetStream: the streams of NATS. Its server writes a file for each and says so; when the disk has it is the kernel's affair, and once in a while
// the server's.
#include <nats/nats.h>

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "bench/peers/nats_connection.h"
#include "bench/peers/peer_store.h"

namespace supercloud {
namespace {

constexpr const char* stream_name = "bench";
constexpr const char* stream_topic = "bench.records";

absl::Status jetstream_said(natsStatus status, int code) {
  const absl::Status said = nats_said(status);
  return said.ok() || code == 0
             ? said
             : absl::Status(said.code(), absl::StrCat(said.message(), ", JetStream's ", code));
}

class JetStreamStore final : public PeerStore {
 public:
  absl::Status open(const std::string& address) {
    if (absl::Status connected = connect_nats(address, false, connection_); !connected.ok())
      return connected;
    jsCtx* made = nullptr;
    const natsStatus status = natsConnection_JetStream(&made, connection_.get(), nullptr);
    context_.reset(made);
    if (absl::Status said = nats_said(status); !said.ok()) return said;
    jsStreamConfig stream;
    jsStreamConfig_Init(&stream);
    const char* topic = stream_topic;
    stream.Name = stream_name;
    stream.Subjects = &topic;
    stream.SubjectsLen = 1;
    stream.Storage = js_FileStorage;
    jsErrCode code{};
    return jetstream_said(js_AddStream(nullptr, made, &stream, nullptr, &code), code);
  }
  absl::Status put(const std::vector<std::string>& records) override {
    put_ += records.size();
    if (records.size() == 1) {
      jsErrCode code{};
      return jetstream_said(js_Publish(nullptr, context_.get(), stream_topic, records[0].data(),
                                       static_cast<int>(records[0].size()), nullptr, &code),
                            code);
    }
    for (const std::string& record : records)
      if (absl::Status said = nats_said(js_PublishAsync(context_.get(), stream_topic, record.data(),
                                                        static_cast<int>(record.size()), nullptr));
          !said.ok())
        return said;
    // They leave at once, rather than with the library's timer.
    if (absl::Status said =
            nats_said(natsConnection_FlushTimeout(connection_.get(), nats_patience_ms));
        !said.ok())
      return said;
    jsPubOptions patience;
    jsPubOptions_Init(&patience);
    patience.MaxWait = nats_patience_ms;
    return nats_said(js_PublishAsyncComplete(context_.get(), &patience));
  }
  absl::StatusOr<std::vector<std::string>> get(std::size_t count) override {
    std::vector<std::string> records;
    for (std::uint64_t sequence = put_ - count + 1; sequence <= put_; ++sequence) {
      natsMsg* found = nullptr;
      jsErrCode code{};
      const natsStatus status =
          js_GetMsg(&found, context_.get(), stream_name, sequence, nullptr, &code);
      const NatsMessage message(found);
      if (status == NATS_NOT_FOUND) break;
      if (absl::Status said = jetstream_said(status, code); !said.ok()) return said;
      records.emplace_back(natsMsg_GetData(found),
                           static_cast<std::size_t>(natsMsg_GetDataLength(found)));
    }
    return records;
  }

 private:
  const NatsLibrary library_;
  NatsConnection connection_;
  Handle<jsCtx, jsCtx_Destroy> context_;
  std::uint64_t put_ = 0;
};

}  // namespace

OpenStore jetstream_stores() {
  return [](const std::string& address) -> absl::StatusOr<std::unique_ptr<PeerStore>> {
    auto store = std::make_unique<JetStreamStore>();
    if (absl::Status opened = store->open(address); !opened.ok()) return opened;
    return store;
  };
}

}  // namespace supercloud
