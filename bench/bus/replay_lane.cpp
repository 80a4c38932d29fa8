#include "bench/bus/replay_lane.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bus/history.h"
#include "bus/zmq_bus.h"
#include "cli/measure/child.h"
#include "cli/measure/temporary_folder.h"
#include "core/event_loop.h"
#include "core/node.h"
#include "storage/rocks_event_log.h"

namespace supercloud {
namespace {

constexpr Duration replay_patience = absl::Seconds(60);
constexpr unsigned padding = 40;  // about 256 bytes with topic and envelope

constexpr int waiting_max = 1000;  // for the log at a time

// Says what it has to say, and then tells how much that was.
class Annalist final : public Actor {
 public:
  Annalist(Context& context, int events) : context_(context), events_(events) { say_more(); }
  void receive(const Event&) override {}
  void serve(Message<schema::Request>, Answer answer) override {
    if (stored_ < events_) return answer(absl::UnavailableError("it is being written"));
    answer(Message<schema::Response>::build([&](schema::Response::Builder response) {
      last_.id().write(response.initAccepted().initMigration());
    }));
  }

 private:
  void say_more() {
    for (int i = 0; i < waiting_max && said_ < events_; ++i) {
      ++said_;
      Draft draft = context_.draft("web1");
      auto body = draft.payload().initVmFailed();
      body.setNode(context_.node());
      body.initWhy(padding);
      last_ = context_.publish(std::move(draft), [this](const absl::Status& status) {
        if (status.ok() && ++stored_ == said_) say_more();
      });
    }
  }

  Context& context_;
  const int events_;
  int said_ = 0, stored_ = 0;
  Event last_;
};

class Asker final : public BusReceiver {
 public:
  void on_event(Event) override {}
  void on_gap(const BusGap&) override {}
  void on_request(std::string, std::string, Reply<std::string>) override {}
  void on_rejected(std::string, std::string) override {}
  void on_peer(std::string, bool) override {}
};

class LogReplay final : public ReplayLane {
 public:
  explicit LogReplay(int events)
      : events_(events), child_([this](const std::function<std::string()>&) { tell(); }) {}
  ~LogReplay() override { bus_.reset(); }

  absl::Status open() override {
    ZmqBusOptions options;
    options.name = "asker";
    options.client = true;
    options.seeds = {endpoint("req")};
    auto bus = ZmqBus::open(loop_, pool_, std::move(options));
    if (!bus.ok()) return bus.status();
    bus_ = *std::move(bus);
    bus_->start(asker_, {});
    const Instant until = loop_.clock().now() + replay_patience;
    const auto ping = Message<schema::Request>::build(
        [](schema::Request::Builder request) { request.setPing(); });
    while (loop_.clock().now() < until) {
      const auto answer = ask("annalist", std::string(ping.bytes()));
      const auto response =
          answer.ok() ? Message<schema::Response>::parse(*answer) : answer.status();
      if (response.ok() && response->reader().isAccepted()) {
        last_ = EventId::from(response->reader().getAccepted().getMigration());
        return absl::OkStatus();
      }
      loop_.run_until([] { return false; }, absl::Milliseconds(50));
    }
    return absl::DeadlineExceededError("the log was not written in time");
  }

  absl::StatusOr<double> replay() override {
    StreamRange range{.origin = last_.origin,
                      .incarnation = last_.incarnation,
                      .prefixes = {"vm.failed.main."},
                      .after = 0,
                      .up_to = last_.sequence};
    int came = 0;
    std::uint64_t newest = 0;
    const absl::Time start = absl::Now();
    while (range.after < range.up_to) {
      const auto bytes = ask(std::string(history_actor), encode_question(range));
      if (!bytes.ok()) return bytes.status();
      const auto part = decode_answer(*bytes, range);
      if (!part.ok()) return part.status();
      for (const std::string_view each : part->events) {
        const auto event =
            pool_.parse({reinterpret_cast<const std::byte*>(each.data()), each.size()});
        if (!event.ok()) return event.status();
        if (event->sequence() <= newest) return absl::DataLossError("the log: out of order");
        newest = event->sequence();
        ++came;
      }
      range.after = part->through;
    }
    const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
    if (came != events_)
      return absl::DataLossError(absl::StrCat("the log: ", came, " of ", events_, " events"));
    return seconds;
  }
  double publisher_cpu_seconds() const override { return child_.cpu_seconds(); }

 private:
  std::string endpoint(const char* kind) const {
    return absl::StrCat("ipc://", (folder_.path() / kind).string());
  }
  absl::StatusOr<std::string> ask(const std::string& actor, std::string bytes) {
    std::optional<absl::StatusOr<std::string>> answer;
    bus_->request(
        {"annals", actor}, std::move(bytes),
        Reply<std::string>(loop_.clock().now() + replay_patience,
                           [&](absl::StatusOr<std::string> said) { answer = std::move(said); }));
    loop_.run_until([&] { return answer.has_value(); }, replay_patience + absl::Seconds(10));
    // The reply would come to what is gone: it does not, for the bus answers each request by its deadline.
    return answer ? *std::move(answer) : absl::DeadlineExceededError("no answer");
  }
  // The other process.
  void tell() {
    EventPool pool;
    EventLoop loop;
    auto log = RocksEventLog::open(loop, pool, {.path = folder_.path() / "log", .node = "annals"});
    ZmqBusOptions options;
    options.name = "annals";
    options.publish_bind = endpoint("pub");
    options.request_bind = endpoint("req");
    auto bus = ZmqBus::open(loop, pool, std::move(options));
    if (!log.ok() || !bus.ok()) return;
    Node node(NodeSeams{loop, **bus, **log, pool}, NodeOptions{.name = "annals"});
    node.spawn("annalist",
               [this](Context& context) { return std::make_unique<Annalist>(context, events_); });
    loop.run();
  }

  const int events_;
  const TemporaryFolder folder_;
  const Child child_;
  EventPool pool_;
  EventLoop loop_;
  Asker asker_;
  EventId last_;
  std::unique_ptr<ZmqBus> bus_;
};

}  // namespace

std::unique_ptr<ReplayLane> replay_lane(int events) { return std::make_unique<LogReplay>(events); }

}  // namespace supercloud
