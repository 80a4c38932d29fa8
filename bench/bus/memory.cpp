#include "bench/bus/memory.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "bus/zmq_bus.h"
#include "cli/measure/child.h"
#include "cli/measure/temporary_folder.h"
#include "core/event_loop.h"

namespace supercloud {
namespace {

constexpr Duration settle_patience = absl::Seconds(20);

// A member that says of itself how many peers it has ("peers") and subscribes as much as it is told to (a number): that is answered when
// all of it is in effect.
class Idler final : public BusReceiver {
 public:
  Idler(const std::string& name, const TemporaryFolder& folder, const std::string& seed) {
    ZmqBusOptions options;
    options.name = name;
    options.publish_bind = absl::StrCat("ipc://", (folder.path() / (name + ".pub")).string());
    options.request_bind = absl::StrCat("ipc://", (folder.path() / (name + ".req")).string());
    if (!seed.empty()) options.seeds = {seed};
    auto bus = ZmqBus::open(loop_, pool_, std::move(options));
    if (!bus.ok()) return;
    bus_ = *std::move(bus);
    bus_->start(*this, {});
    loop_.run();
  }
  void on_event(Event) override {}
  void on_gap(const BusGap&) override {}
  void on_rejected(std::string, std::string) override {}
  void on_peer(std::string, bool alive) override { peers_ += alive ? 1 : -1; }
  void on_request(std::string, std::string wish, Reply<std::string> answer) override {
    int count = 0;
    if (!absl::SimpleAtoi(wish, &count) || count < 1) return answer(absl::StrCat(peers_));
    auto open = std::make_shared<std::pair<int, Reply<std::string>>>(count, std::move(answer));
    for (int i = 0; i < count; ++i)
      bus_->subscribe(absl::StrCat("vm.failed.tenant-", i, "."),
                      Reply<Done>(far_future, [open](const absl::StatusOr<Done>&) {
                        if (--open->first == 0) open->second("done");
                      }));
  }

 private:
  EventPool pool_;
  EventLoop loop_;
  std::unique_ptr<ZmqBus> bus_;
  int peers_ = 0;
};

// Who asks them: a client, which is a peer of nobody.
class Asking final : public BusReceiver {
 public:
  absl::Status open(const std::string& seed) {
    ZmqBusOptions options;
    options.name = "asking";
    options.client = true;
    options.seeds = {seed};
    auto bus = ZmqBus::open(loop_, pool_, std::move(options));
    if (!bus.ok()) return bus.status();
    bus_ = *std::move(bus);
    bus_->start(*this, {});
    return absl::OkStatus();
  }
  // Until it answers with `expected`.
  absl::Status until(const std::string& name, const std::string& wish,
                     const std::function<bool(const std::string&)>& expected) {
    const Instant end = loop_.clock().now() + settle_patience;
    while (loop_.clock().now() < end) {
      auto answer = std::make_shared<std::optional<absl::StatusOr<std::string>>>();
      bus_->request(
          {name, "idler"}, wish,
          Reply<std::string>(end, [answer](absl::StatusOr<std::string> said) { *answer = said; }));
      loop_.run_until([&] { return answer->has_value(); }, settle_patience);
      if (answer->has_value() && (*answer)->ok() && expected(***answer)) return absl::OkStatus();
      loop_.run_until([] { return false; }, absl::Milliseconds(50));
    }
    return absl::DeadlineExceededError(absl::StrCat(name, " did not settle"));
  }
  void on_event(Event) override {}
  void on_gap(const BusGap&) override {}
  void on_rejected(std::string, std::string) override {}
  void on_peer(std::string, bool) override {}
  void on_request(std::string, std::string, Reply<std::string>) override {}

 private:
  EventPool pool_;
  EventLoop loop_;
  std::unique_ptr<ZmqBus> bus_;
};

}  // namespace

absl::StatusOr<BusMemory> measure_bus_memory(int peers, int subscriptions) {
  const TemporaryFolder folder;
  const std::string seed = absl::StrCat("ipc://", (folder.path() / "publisher.req").string());
  const auto member = [&](const std::string& name, const std::string& known) {
    return std::make_unique<Child>(
        [&folder, name, known](const std::function<std::string()>& line) {
          line();  // when it is to come
          const Idler idler(name, folder, known);
        });
  };
  const auto publisher = member("publisher", ""), subscriber = member("subscriber", seed);
  std::vector<std::unique_ptr<Child>> others;
  for (int i = 0; i < peers; ++i) others.push_back(member(absl::StrCat("peer-", i), seed));

  Asking asking;
  if (absl::Status open = asking.open(seed); !open.ok()) return open;
  const auto peers_of_publisher = [&](int count) {
    return asking.until("publisher", "peers", [count](const std::string& said) {
      int has = 0;
      return absl::SimpleAtoi(said, &has) && has >= count;
    });
  };
  const auto done = [](const std::string& said) { return said == "done"; };
  publisher->tell("come");
  subscriber->tell("come");
  if (absl::Status there = peers_of_publisher(1); !there.ok()) return there;
  // What the first subscription costs besides, is none of the others'.
  if (absl::Status ready = asking.until("subscriber", "1", done); !ready.ok()) return ready;
  BusMemory memory;
  double published = publisher->resident_bytes();
  const double subscribed = subscriber->resident_bytes();
  const auto all = absl::StrCat(subscriptions);
  if (absl::Status ready = asking.until("subscriber", all, done); !ready.ok()) return ready;
  memory.per_subscription_publisher = (publisher->resident_bytes() - published) / subscriptions;
  memory.per_subscription_subscriber = (subscriber->resident_bytes() - subscribed) / subscriptions;

  published = publisher->resident_bytes();
  for (const auto& other : others) other->tell("come");
  if (absl::Status there = peers_of_publisher(1 + peers); !there.ok()) return there;
  memory.per_peer = (publisher->resident_bytes() - published) / peers;
  return memory;
}

}  // namespace supercloud
