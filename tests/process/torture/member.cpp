#include "tests/process/torture/member.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/zmq_bus.h"
#include "core/event_loop.h"
#include "core/node.h"
#include "storage/rocks_event_log.h"
#include "tests/process/torture/plan.h"
#include "tests/process/torture/record.h"

namespace supercloud::torture {
namespace {

constexpr Duration pulse = absl::Milliseconds(5);
constexpr Duration disk_delay = absl::Milliseconds(8);
constexpr std::size_t outstanding_max = 2000;
constexpr std::size_t filler_max = 600;

// Between the node and its bus: sees who is there, which gaps are told and what the log is asked for.
class ObservedBus final : public Bus, private BusReceiver {
 public:
  ObservedBus(Bus& bus, const Clock& clock, const RecordWriter& records, const Plan& plan)
      : bus_(bus), clock_(clock), records_(records), plan_(plan), origins_(plan.origins()) {}

  void start(BusReceiver& receiver, std::vector<OriginTail> past) override {
    receiver_ = &receiver;
    bus_.start(static_cast<BusReceiver&>(*this), std::move(past));
  }
  void publish(const Event& event) override { bus_.publish(event); }
  void subscribe(std::string prefix, Reply<Done> reply) override {
    bus_.subscribe(std::move(prefix), std::move(reply));
  }
  void unsubscribe(std::string prefix) override { bus_.unsubscribe(std::move(prefix)); }
  void request(Address to, std::string bytes, Reply<std::string> reply) override {
    bus_.request(std::move(to), std::move(bytes), std::move(reply));
  }

  // Another number each time that a publisher comes; 0: it is not there.
  std::size_t there(std::size_t publisher) const { return there_[publisher]; }
  std::function<void()> on_change;

 private:
  void on_event(Event event) override { receiver_->on_event(std::move(event)); }
  void on_gap(const BusGap& gap) override {
    Record record{.note = Note::gap, .at_ns = clock_.now().ns};
    for (std::size_t i = 0; i < origins_.size(); ++i)
      if (origins_[i] == gap.origin) record.origin = static_cast<std::uint8_t>(i);
    for (std::size_t i = 0; i < kinds; ++i)
      if (topic(static_cast<Kind>(i)).starts_with(gap.prefix))
        record.kinds_mask |= static_cast<std::uint8_t>(1U << i);
    record.incarnation = gap.incarnation;
    record.sequence = gap.after;
    record.previous = gap.up_to;
    // Gaps of what nobody judges, as of a node's own events, are not written.
    if (record.kinds_mask != 0 && gap.origin == origins_[record.origin]) {
      records_.write(record);
      std::fprintf(stderr, "gap after %s:%llu to %llu under \"%s\": %s\n", gap.origin.c_str(),
                   static_cast<unsigned long long>(gap.after),
                   static_cast<unsigned long long>(gap.up_to), gap.prefix.c_str(), gap.why.c_str());
    }
    receiver_->on_gap(gap);
  }
  void on_request(std::string actor, std::string bytes, Reply<std::string> answer) override {
    receiver_->on_request(std::move(actor), std::move(bytes), std::move(answer));
  }
  void on_history(StreamRange range, Reply<StreamPart> reply) override {
    auto shared = std::make_shared<Reply<StreamPart>>(std::move(reply));
    receiver_->on_history(
        std::move(range),
        Reply<StreamPart>(shared->deadline(), [this, shared](absl::StatusOr<StreamPart> part) {
          if (part.ok())
            records_.write({.note = Note::history,
                            .count = static_cast<std::uint32_t>(part->events.size()),
                            .at_ns = clock_.now().ns});
          (*shared)(std::move(part));
        }));
  }
  void on_rejected(std::string from, std::string why) override {
    receiver_->on_rejected(std::move(from), std::move(why));
  }
  void on_peer(std::string node, bool alive) override {
    ++changes_;
    for (std::size_t i = 0; i < plan_.publishers; ++i)
      if (plan_.name(i) == node) there_[i] = alive ? changes_ : 0;
    if (on_change) on_change();
    receiver_->on_peer(std::move(node), alive);
  }

  Bus& bus_;
  const Clock& clock_;
  const RecordWriter& records_;
  const Plan& plan_;
  const std::vector<std::string> origins_;
  BusReceiver* receiver_ = nullptr;
  std::size_t changes_ = 0;
  std::vector<std::size_t> there_ = std::vector<std::size_t>(plan_.publishers);
};

// A log on a slow disk: what is appended is nowhere but in memory for a while, and lost with a process that is killed meanwhile.
class SlowLog final : public EventLog {
 public:
  SlowLog(EventLog& log, Scheduler& scheduler) : log_(log), scheduler_(scheduler) {}

  void append(std::vector<Event> events, std::optional<Reservation> reserve,
              Reply<Done> reply) override {
    scheduler_.at(scheduler_.clock().now() + disk_delay,
                  [this, events = std::move(events), reserve = std::move(reserve),
                   reply = std::move(reply)]() mutable {
                    log_.append(std::move(events), std::move(reserve), std::move(reply));
                  });
  }
  void read(std::uint64_t from, Pattern pattern, std::size_t limit, Reply<LogPage> reply) override {
    log_.read(from, std::move(pattern), limit, std::move(reply));
  }
  void seek(LogBeginning beginning, Pattern pattern, Reply<std::uint64_t> reply) override {
    log_.seek(std::move(beginning), std::move(pattern), std::move(reply));
  }
  void read_stream(StreamRange range, std::size_t bytes_max, Reply<StreamPart> reply) override {
    log_.read_stream(std::move(range), bytes_max, std::move(reply));
  }
  OriginState origin(std::string_view name) const override { return log_.origin(name); }
  std::vector<std::string> origins() const override { return log_.origins(); }

 private:
  EventLog& log_;
  Scheduler& scheduler_;
};

// Publishes in bursts, and writes down what is acknowledged, after it is.
class PublishingActor final : public Actor {
 public:
  PublishingActor(Context& context, const RecordWriter& records, std::uint8_t origin, bool mixed,
                  double per_pulse, std::function<void(PublishingActor*)> made)
      : context_(context),
        records_(records),
        origin_(origin),
        mixed_(mixed),
        per_pulse_(per_pulse) {
    made(this);
    arm();
  }
  void receive(const Event&) override {}
  void finish() { finishing_ = true; }

 private:
  void arm() {
    context_.after(pulse, [this] { beat(); });
  }
  void beat() {
    if (!finishing_) {
      // A burst of more than a subscriber holds, and more than a queue of the bus, now and then.
      owing_ += per_pulse_ * 2 * static_cast<double>(context_.random().below(1000)) / 1000;
      if (context_.random().below(400) == 0) owing_ += per_pulse_ * 200;
      for (; owing_ >= 1 && outstanding_.size() < outstanding_max; owing_ -= 1)
        publish(next_kind());
    } else if (outstanding_.empty()) {
      if (std::exchange(said_last_, true)) {
        records_.write({.note = Note::finished, .origin = origin_, .at_ns = context_.now().ns});
        return;
      }
      publish(mixed_ ? Kind::started : Kind::price);  // what is missed before it is known by it
    }
    arm();
  }
  Kind next_kind() {
    if (!mixed_) return Kind::price;
    return static_cast<Kind>(1 + context_.random().below(3));
  }
  void publish(Kind kind) {
    Draft draft = context_.draft(absl::StrCat("of", context_.random().below(5)));
    const std::string filler(context_.random().below(filler_max), 'x');
    switch (kind) {
      case Kind::price:
        draft.payload().initSpotPriceChanged().setSource(filler);
        break;
      case Kind::started:
        draft.payload().initVmStarted().setWhy(filler);
        break;
      case Kind::paused:
        draft.payload().initVmPaused().setWhy(filler);
        break;
      case Kind::dirty_rate:
        draft.payload().initVmDirtyRate().setPagesPerSecond(filler.size());
        break;
    }
    const std::int64_t now = context_.now().ns;
    if (!durable(kind)) {
      context_.publish(std::move(draft));
      return;
    }
    // Completions come in the order of publishing.
    const Event event = context_.publish(std::move(draft), [this](const absl::Status& logged) {
      Record record = outstanding_.front();
      outstanding_.pop_front();
      record.note = logged.ok() ? Note::acknowledged : Note::refused;
      record.at_ns = context_.now().ns;
      records_.write(record);
    });
    if (!event) std::abort();
    outstanding_.push_back({.note = Note::acknowledged,
                            .origin = origin_,
                            .kind = kind,
                            .incarnation = event.incarnation(),
                            .sequence = event.sequence(),
                            .digest = digest(event),
                            .published_ns = now});
  }

  Context& context_;
  const RecordWriter& records_;
  const std::uint8_t origin_;
  const bool mixed_;
  const double per_pulse_;
  double owing_ = 0;
  std::deque<Record> outstanding_;
  bool finishing_ = false;
  bool said_last_ = false;
};

// Writes down what it receives, and from when on it is owed everything.
class ReceivingActor final : public Actor {
 public:
  ReceivingActor(Context& context, const RecordWriter& records, ObservedBus& bus,
                 std::vector<std::string> origins, std::size_t tokens)
      : context_(context),
        records_(records),
        bus_(bus),
        origins_(std::move(origins)),
        tokens_(tokens),
        ready_(origins_.size() / 2) {
    std::set<std::string> patterns;
    for (std::size_t i = 0; i < kinds; ++i) {
      const std::string_view whole = topic(static_cast<Kind>(i));
      patterns.insert(tokens == 0   ? ">"
                      : tokens == 1 ? std::string(topic_token(whole, 0)) + ".>"
                                    : std::string(whole) + ">");
    }
    for (const std::string& pattern : patterns) context_.subscribe(Pattern::of(pattern));
    bus_.on_change = [this] { begin(); };
    begin();
  }
  ~ReceivingActor() override { bus_.on_change = nullptr; }

  void receive(const Event& event) override {
    Record record{.note = Note::received, .at_ns = context_.now().ns};
    if (!describe(event, origins_, record)) return;
    record.previous = event.previous(tokens_);
    records_.write(record);
  }

 private:
  // A subscription that is made while a publisher is there, which neither comes nor goes until the reply, is in effect at it, and with it those
  // that were made before.
  void begin() {
    std::vector<std::size_t> there(ready_.size());
    bool any = false;
    for (std::size_t i = 0; i < ready_.size(); ++i) {
      there[i] = ready_[i] ? 0 : bus_.there(i);
      any = any || there[i] != 0;
    }
    if (!any) return;
    const Pattern pattern = Pattern::of(absl::StrCat("torture.ready", ++tries_, ".>"));
    context_.subscribe(pattern, [this, pattern, there] {
      context_.unsubscribe(pattern);
      for (std::size_t i = 0; i < ready_.size(); ++i) {
        if (ready_[i] || there[i] == 0 || there[i] != bus_.there(i)) continue;
        ready_[i] = true;
        for (const std::size_t origin : {2 * i, 2 * i + 1})
          records_.write({.note = Note::ready,
                          .origin = static_cast<std::uint8_t>(origin),
                          .at_ns = context_.now().ns});
      }
    });
  }

  Context& context_;
  const RecordWriter& records_;
  ObservedBus& bus_;
  const std::vector<std::string> origins_;
  const std::size_t tokens_;
  std::size_t tries_ = 0;
  std::vector<bool> ready_;  // of each publisher
};

int failed(const absl::Status& why) {
  std::fprintf(stderr, "%s\n", why.ToString().c_str());
  return 1;
}

}  // namespace

int run_member(const std::vector<std::string>& arguments) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::size_t member = 0;
  unsigned life = 0;
  const Plan plan = Plan::parse(arguments, member, life);
  const std::string name = plan.name(member);
  const RecordWriter records(plan.records(member, life));
  EventPool pool;  // what the loop still has at the end is of it
  EventLoop loop;
  auto log = RocksEventLog::open(loop, pool, {.path = plan.file(member, "log"), .node = name});
  if (!log.ok()) return failed(log.status());

  int exit_code = 0;
  ZmqBusOptions options;
  options.name = name;
  options.publish_bind = plan.bound(member, false);
  options.request_bind = plan.bound(member, true);
  options.publish_advertised = plan.reached(member, false);
  options.request_advertised = plan.reached(member, true);
  for (std::size_t i = 0; i < plan.publishers; ++i)
    options.seeds.push_back((plan.address.empty() ? "" : plan.name(i) + "@") +
                            plan.reached(i, true));
  options.hello_interval = absl::Milliseconds(200);
  options.silence_max = absl::Seconds(1);
  if (plan.short_queues) options.high_water_mark = 300;
  options.gaps.repair = plan.repair;
  std::unique_ptr<Node> node;
  options.on_slow_subscriber = [&](const std::string& slow, std::uint64_t backlog) {
    if (node != nullptr) node->on_slow_subscriber(slow, backlog);
  };
  options.on_fatal = [&](const absl::Status& why) {
    exit_code = failed(why);
    loop.stop();
  };
  if (!plan.address.empty()) {
    auto credentials = plan.credentials(member);
    if (!credentials.ok()) return failed(credentials.status());
    options.credentials = *std::move(credentials);
  }
  auto bus = ZmqBus::open(loop, pool, std::move(options));
  if (!bus.ok()) return failed(bus.status());
  ObservedBus observed(**bus, loop.clock(), records, plan);
  SlowLog slow(**log, loop);
  node = std::make_unique<Node>(
      NodeSeams{loop, observed, slow, pool},
      NodeOptions{.name = name, .random_seed = plan.seed * 1000 + member * 100 + life});

  std::vector<PublishingActor*> publishing(2);
  if (plan.publishes(member)) {
    for (const bool mixed : {false, true}) {
      const double per_second = plan.rate * (mixed ? 0.3 : 0.7);
      node->spawn(mixed ? "mixed" : "durable", [&, mixed, per_second](Context& context) {
        return std::make_unique<PublishingActor>(
            context, records, static_cast<std::uint8_t>(2 * member + (mixed ? 1 : 0)), mixed,
            per_second * absl::ToDoubleSeconds(pulse),
            [&, mixed](PublishingActor* made) { publishing[mixed ? 1 : 0] = made; });
      });
    }
  } else {
    node->spawn("receiver", [&](Context& context) {
      return std::make_unique<ReceivingActor>(context, records, observed, plan.origins(),
                                              plan.tokens(member));
    });
  }
  const absl::Status watched = loop.watch_fd(STDIN_FILENO, EPOLLIN, [&](std::uint32_t) {
    char byte = 0;
    if (::read(STDIN_FILENO, &byte, 1) != 1) return loop.stop();
    for (PublishingActor* actor : publishing)
      if (byte == finish_byte && actor != nullptr) actor->finish();
  });
  if (!watched.ok()) return failed(watched);
  loop.run();
  loop.unwatch_fd(STDIN_FILENO);
  node.reset();
  bus->reset();
  log->reset();
  return exit_code;
}

}  // namespace supercloud::torture
