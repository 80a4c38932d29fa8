// MQTT with quality 0: a message is passed on once, or not at all.
#include <string>

#include "bench/peers/mosquitto_client.h"
#include "bench/peers/peer_wire.h"

namespace supercloud {
namespace {

class MosquittoWire final : public PeerWire {
 public:
  absl::Status connect(const std::string& address) { return client_.connect(address); }
  absl::Status subscribe(const std::string& topic) override { return client_.subscribe(topic, 0); }
  absl::Status publish(const std::string& topic, std::string_view body) override {
    return client_.publish(topic, body, 0);
  }
  absl::Status flush() override { return client_.flush(); }
  absl::StatusOr<std::string_view> receive(absl::Duration patience) override {
    if (absl::Status came = client_.until([this] { return !client_.came.empty(); }, patience);
        !came.ok())
      return came;
    message_.swap(client_.came.front());
    client_.came.pop_front();
    return message_;
  }

 private:
  MosquittoClient client_{""};
  std::string message_;
};

}  // namespace

Connect mosquitto_wires() {
  return [](const std::string& address, bool) -> absl::StatusOr<std::unique_ptr<PeerWire>> {
    auto wire = std::make_unique<MosquittoWire>();
    if (absl::Status connected = wire->connect(address); !connected.ok()) return connected;
    return wire;
  };
}

}  // namespace supercloud
