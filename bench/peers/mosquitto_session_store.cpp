// MQTT with quality 1, for a session that is away: the server acknowledges what it has queued, in memory. It saves its sessions to a file once in a
// while, and never before it acknowledges, whatever it is told.
#include <string>

#include "bench/peers/mosquitto_client.h"
#include "bench/peers/peer_store.h"

namespace supercloud {
namespace {

constexpr const char* records_topic = "bench/records";
constexpr absl::Duration session_patience = absl::Seconds(10);

class MosquittoSessionStore final : public PeerStore {
 public:
  absl::Status open(const std::string& address) {
    address_ = address;
    absl::Status opened = publisher_.connect(address);
    if (opened.ok()) opened = reader_.connect(address);
    if (opened.ok()) opened = reader_.subscribe(records_topic, 1);
    if (opened.ok()) opened = reader_.disconnect();
    return opened;
  }
  absl::Status put(const std::vector<std::string>& records) override {
    const std::size_t all = publisher_.acknowledged + records.size();
    for (const std::string& record : records)
      if (absl::Status told = publisher_.publish(records_topic, record, 1); !told.ok()) return told;
    return publisher_.until([&] { return publisher_.acknowledged == all; }, session_patience);
  }
  absl::StatusOr<std::vector<std::string>> get(std::size_t count) override {
    if (absl::Status back = reader_.connect(address_); !back.ok()) return back;
    const absl::Status all =
        reader_.until([&] { return reader_.came.size() >= count; }, session_patience);
    if (!all.ok() && !absl::IsDeadlineExceeded(all)) return all;
    if (absl::Status gone = reader_.disconnect(); !gone.ok()) return gone;
    std::vector<std::string> records(reader_.came.begin(), reader_.came.end());
    reader_.came.clear();
    return records;
  }

 private:
  std::string address_;
  MosquittoClient publisher_{""}, reader_{"reader"};
};

}  // namespace

OpenStore mosquitto_session_stores() {
  return [](const std::string& address) -> absl::StatusOr<std::unique_ptr<PeerStore>> {
    auto store = std::make_unique<MosquittoSessionStore>();
    if (absl::Status opened = store->open(address); !opened.ok()) return opened;
    return store;
  };
}

}  // namespace supercloud
