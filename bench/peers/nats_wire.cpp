// Core NATS: a server that keeps nothing.
#include <nats/nats.h>

#include "bench/peers/nats_connection.h"
#include "bench/peers/peer_wire.h"

namespace supercloud {
namespace {

class NatsWire final : public PeerWire {
 public:
  absl::Status connect(const std::string& address, bool singly) {
    buffers_ = !singly;
    return connect_nats(address, singly, connection_);
  }
  absl::Status subscribe(const std::string& topic) override {
    natsSubscription* made = nullptr;
    const natsStatus status = natsConnection_SubscribeSync(&made, connection_.get(), topic.c_str());
    subscription_.reset(made);
    if (absl::Status said = nats_said(status); !said.ok()) return said;
    // A burst may be longer than what it would keep by default.
    if (absl::Status said = nats_said(natsSubscription_SetPendingLimits(made, -1, -1)); !said.ok())
      return said;
    return nats_said(natsConnection_FlushTimeout(connection_.get(), nats_patience_ms));
  }
  absl::Status publish(const std::string& topic, std::string_view body) override {
    return nats_said(natsConnection_Publish(connection_.get(), topic.c_str(), body.data(),
                                            static_cast<int>(body.size())));
  }
  absl::Status flush() override {
    if (!buffers_) return absl::OkStatus();
    return nats_said(natsConnection_FlushTimeout(connection_.get(), nats_patience_ms));
  }
  absl::StatusOr<std::string_view> receive(absl::Duration patience) override {
    const bool for_ever = patience == absl::InfiniteDuration();
    natsMsg* came = nullptr;
    natsStatus status = NATS_TIMEOUT;
    do
      status = natsSubscription_NextMsg(
          &came, subscription_.get(),
          for_ever ? nats_patience_ms : absl::ToInt64Milliseconds(patience));
    while (status == NATS_TIMEOUT && for_ever);
    message_.reset(came);
    if (absl::Status said = nats_said(status); !said.ok()) return said;
    return std::string_view(natsMsg_GetData(came),
                            static_cast<std::size_t>(natsMsg_GetDataLength(came)));
  }

 private:
  const NatsLibrary library_;
  bool buffers_ = false;
  NatsConnection connection_;
  Handle<natsSubscription, natsSubscription_Destroy> subscription_;
  NatsMessage message_;
};

}  // namespace

Connect nats_wires() {
  return [](const std::string& address, bool singly) -> absl::StatusOr<std::unique_ptr<PeerWire>> {
    auto wire = std::make_unique<NatsWire>();
    if (absl::Status connected = wire->connect(address, singly); !connected.ok()) return connected;
    return wire;
  };
}

}  // namespace supercloud
