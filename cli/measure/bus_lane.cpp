// The product's bus: events are built, numbered, validated and checked for gaps; an answer is an event too.
#include "cli/measure/bus_lane.h"

#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bus/zmq_bus.h"
#include "cli/measure/child.h"
#include "cli/measure/temporary_folder.h"
#include "core/event_loop.h"

namespace supercloud {
namespace {

constexpr const char* in_between = "more";
constexpr const char* at_the_end = "last";
constexpr Duration answer_patience = absl::Seconds(10);

// A member of the bus with one stream of events.
class Side : public BusReceiver {
 public:
  Side(std::string name, const std::string& topic, ZmqBusOptions options)
      : origin_(name + "/bench") {
    options.name = std::move(name);
    auto bus = ZmqBus::open(loop, pool, std::move(options));
    if (!bus.ok()) {
      failed = bus.status();
      return;
    }
    bus_ = *std::move(bus);
    bus_->start(*this, {});
    bus_->subscribe(topic, Reply<Done>(far_future, [this](absl::StatusOr<Done>) { ready = true; }));
  }
  ZmqBus& bus() { return *bus_; }

  void publish(Draft draft) {
    Envelope envelope;
    envelope.origin = origin_;
    envelope.incarnation = 1;
    for (std::uint64_t& previous : envelope.previous) previous = sequence_;
    envelope.sequence = ++sequence_;
    bus_->publish(*std::move(draft).seal(envelope));
  }
  void on_gap(const BusGap&) override { ++gaps; }
  void on_request(std::string, std::string, Reply<std::string> answer) override {
    answer(ready ? "ready" : "");
  }
  void on_rejected(std::string from, std::string why) override {
    failed = absl::PermissionDeniedError(absl::StrCat(from, ": ", why));
  }
  void on_peer(std::string name, bool alive) override { peers[std::move(name)] = alive; }

  EventPool pool;
  EventLoop loop;
  absl::Status failed;
  bool ready = false;
  std::map<std::string, bool> peers;
  std::uint64_t gaps = 0;

 private:
  std::string origin_;
  std::uint64_t sequence_ = 0;
  std::unique_ptr<ZmqBus> bus_;
};

class Far final : public Side {
 public:
  Far(std::string name, ZmqBusOptions options)
      : Side(std::move(name), "vm.failed.", std::move(options)) {}
  void on_event(Event event) override {
    ++count_;
    if (text(event.payload().getVmFailed().getNode()) != at_the_end) return;
    Draft draft = pool.draft("web1");
    draft.payload().initVmDirtyRate().setPagesPerSecond(std::exchange(count_, 0));
    publish(std::move(draft));
  }

 private:
  std::uint64_t count_ = 0;
};

class Near final : public Side {
 public:
  explicit Near(ZmqBusOptions options) : Side("near", "vm.dirty_rate.", std::move(options)) {}
  void on_event(Event event) override {
    counts.push_back(event.payload().getVmDirtyRate().getPagesPerSecond());
  }
  Draft message(const char* kind, std::size_t padding) {
    Draft draft = pool.draft("web1");
    auto body = draft.payload().initVmFailed();
    body.setNode(kind);
    body.initWhy(static_cast<unsigned>(padding));
    return draft;
  }
  std::vector<std::uint64_t> counts;
};

std::string far_name(int index) { return absl::StrCat("far", index); }

class BusLane final : public Lane {
 public:
  explicit BusLane(const LaneShape& shape) : shape_(shape) {
    enrol();
    for (int i = 0; i < shape.subscribers; ++i)
      far_.push_back(std::make_unique<Child>([this, i](const std::function<std::string()>& line) {
        ZmqBusOptions options = options_of(far_name(i));
        options.seeds = {line()};
        Far far(far_name(i), std::move(options));
        if (far.failed.ok()) far.loop.run();
      }));
  }
  ~BusLane() override {
    far_.clear();
    near_.reset();
  }

  absl::Status open() override {
    near_ = std::make_unique<Near>(options_of("near"));
    if (!near_->failed.ok()) return near_->failed;
    for (const auto& child : far_)
      child->tell(absl::StrCat(shape_.curve ? "near@" : "", near_->bus().request_endpoint()));
    for (int i = 0; i < shape_.subscribers; ++i)
      if (absl::Status met = meet(far_name(i)); !met.ok()) return met;
    Draft bare = near_->message(in_between, 0);
    const auto sealed =
        std::move(bare).seal({.origin = "near/bench", .incarnation = 1, .sequence = 1});
    if (!sealed.ok()) return sealed.status();
    const std::size_t least = sealed->bytes().size() + sealed->topic().size() + 1;
    padding_ = shape_.bytes > least ? shape_.bytes - least : 0;
    // Their subscriptions may have been ready before they knew of this one.
    for (int i = 0; i < 100; ++i)
      if (send(1, absl::Milliseconds(100)).ok()) return absl::OkStatus();
    return absl::DeadlineExceededError("the bus's subscribers were not there within 10 s");
  }

  absl::StatusOr<Burst> send(int messages) override { return send(messages, answer_patience); }

 private:
  void enrol() {
    if (!shape_.curve) return;
    Trust trust;
    const NameRights rights{{Pattern::of(">")}, {Pattern::of(">")}, true};
    for (int i = -1; i < shape_.subscribers; ++i) {
      const std::string name = i < 0 ? "near" : far_name(i);
      keys_[name] = KeyPair::generate();
      if (!trust.enrol(keys_[name]->public_key(), name).ok()) std::abort();
      trust.rights.grant(name, rights);
    }
    trust_ = std::make_shared<Trust>(std::move(trust));
  }
  ZmqBusOptions options_of(const std::string& name) const {
    ZmqBusOptions options;
    options.publish_bind = options.request_bind = "tcp://127.0.0.1:*";
    if (shape_.curve) {
      options.credentials = {keys_.at(name), trust_};
    } else {
      options.publish_bind = absl::StrCat("ipc://", folder_.path().string(), "/", name, ".pub");
      options.request_bind = absl::StrCat("ipc://", folder_.path().string(), "/", name, ".req");
    }
    return options;
  }
  // Until it has subscribed here.
  absl::Status meet(const std::string& name) {
    const Instant until = near_->loop.clock().now() + answer_patience;
    while (near_->loop.clock().now() < until) {
      std::optional<absl::StatusOr<std::string>> answer;
      near_->loop.run_until([&] { return near_->peers[name] && near_->ready; }, absl::Seconds(1));
      near_->bus().request({name, "bench"}, "",
                           Reply<std::string>(far_future, [&](absl::StatusOr<std::string> said) {
                             answer = std::move(said);
                           }));
      if (!near_->loop.run_until([&] { return answer.has_value(); }, answer_patience)) break;
      if (answer->ok() && **answer == "ready") return absl::OkStatus();
    }
    return absl::DeadlineExceededError(
        absl::StrCat(name, " is not there: ", near_->failed.message()));
  }
  absl::StatusOr<Burst> send(int messages, Duration patience) {
    near_->counts.clear();
    const std::uint64_t gaps = near_->gaps;
    Burst burst;
    for (const auto& child : far_) burst.subscribers_cpu_seconds -= child->cpu_seconds();
    burst.publisher_cpu_seconds = -own_cpu_seconds();
    const absl::Time start = absl::Now();
    for (int i = 1; i <= messages; ++i)
      near_->publish(near_->message(i < messages ? in_between : at_the_end, padding_));
    if (!near_->loop.run_until([&] { return near_->counts.size() >= far_.size(); }, patience))
      return absl::DeadlineExceededError("the bus: no answer");
    burst.seconds = absl::ToDoubleSeconds(absl::Now() - start);
    burst.publisher_cpu_seconds += own_cpu_seconds();
    for (const auto& child : far_) burst.subscribers_cpu_seconds += child->cpu_seconds();
    for (const std::uint64_t count : near_->counts)
      if (count != static_cast<std::uint64_t>(messages) || near_->gaps != gaps)
        return absl::DataLossError(absl::StrCat("the bus: ", count, " of ", messages));
    return burst;
  }

  const LaneShape shape_;
  std::map<std::string, std::shared_ptr<const KeyPair>> keys_;
  std::shared_ptr<const Trust> trust_;
  const TemporaryFolder folder_;
  std::size_t padding_ = 0;
  std::vector<std::unique_ptr<Child>> far_;
  std::unique_ptr<Near> near_;
};

}  // namespace

std::unique_ptr<Lane> bus_lane(const LaneShape& shape) { return std::make_unique<BusLane>(shape); }

}  // namespace supercloud
