#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bus/checkpoint.h"
#include "bus/key.h"
#include "bus/zmq_bus.h"
#include "cli/measure/disk_lane.h"
#include "cli/measure/temporary_folder.h"
#include "core/event_loop.h"
#include "core/node.h"
#include "storage/rocks_event_log.h"

namespace supercloud {
namespace {

constexpr Duration stored_within = absl::Seconds(30);

class Teller final : public Actor {
 public:
  explicit Teller(Context& context) : context_(context) {}
  void receive(const Event&) override {}
  void tell(std::function<void(absl::Status)> stored) {
    Draft draft = context_.draft("web1");
    draft.payload().initMigrationCleaned().setNode(context_.node());
    context_.publish(std::move(draft), std::move(stored));
  }

 private:
  Context& context_;
};

class LogLane final : public DiskLane {
 public:
  LogLane(const std::filesystem::path& parent, bool signs) : folder_(parent) {
    if (signs) notary_.emplace(pool_, "bench", KeyPair::generate());
  }
  absl::Status open() {
    if (folder_.path().empty())
      return absl::PermissionDeniedError("no folder can be made for the log that is measured");
    auto log = RocksEventLog::open(loop_, pool_, {.path = folder_.path() / "log", .node = "bench"});
    if (!log.ok()) return log.status();
    log_ = *std::move(log);
    ZmqBusOptions options;
    options.name = "bench";
    options.publish_bind = absl::StrCat("ipc://", (folder_.path() / "pub").string());
    options.request_bind = absl::StrCat("ipc://", (folder_.path() / "req").string());
    auto bus = ZmqBus::open(loop_, pool_, std::move(options));
    if (!bus.ok()) return bus.status();
    bus_ = *std::move(bus);
    NodeSeams seams{loop_, *bus_, *log_, pool_};
    if (notary_) seams.notary = &*notary_;
    node_ = std::make_unique<Node>(seams, NodeOptions{.name = "bench"});
    node_->spawn("teller", [this](Context& context) {
      auto made = std::make_unique<Teller>(context);
      teller_ = made.get();
      return made;
    });
    return store(1).status();  // the first one reserves its block of numbers
  }
  absl::StatusOr<double> store(int together) override {
    int stored = 0;
    const absl::Time start = absl::Now();
    for (int i = 0; i < together; ++i)
      teller_->tell([&stored](const absl::Status& status) { stored += status.ok() ? 1 : 0; });
    if (!loop_.run_until([&] { return stored == together; }, stored_within))
      return absl::DeadlineExceededError(absl::StrCat("the log: ", stored, " of ", together));
    return absl::ToDoubleSeconds(absl::Now() - start);
  }

 private:
  const TemporaryFolder folder_;
  EventPool pool_;  // outlives the loop, which may hold a log's answer with its events to the end
  EventLoop loop_;
  std::optional<KeyNotary> notary_;
  std::unique_ptr<EventLog> log_;
  std::unique_ptr<ZmqBus> bus_;
  std::unique_ptr<Node> node_;
  Teller* teller_ = nullptr;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DiskLane>> log_lane(const std::filesystem::path& parent,
                                                   bool signs) {
  auto lane = std::make_unique<LogLane>(parent, signs);
  if (absl::Status opened = lane->open(); !opened.ok()) return opened;
  return lane;
}

}  // namespace supercloud
