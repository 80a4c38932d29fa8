#include <gtest/gtest.h>
#include <unistd.h>
#include <zmq.h>

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bus/hub.h"
#include "bus/zmq_bus.h"
#include "core/event_loop.h"
#include "tests/bus/bus_world.h"
#include "tests/bus/test_keys.h"

namespace supercloud {
namespace {

// Lets in every key, as nobody in its context says which.
std::optional<CurveEnd> bound_as(const std::string& name, bool keys) {
  if (!keys) return std::nullopt;
  return CurveEnd{test_key(name), std::nullopt};
}
std::optional<CurveEnd> connected_as(const std::string& name, const std::string& to, bool keys) {
  if (!keys) return std::nullopt;
  return CurveEnd{test_key(name), test_key(to)->public_key().curve()};
}

// Stands between a publisher and its subscribers, with its key towards them, and forgets events while it is cut.
class LossyLink {
 public:
  LossyLink(EventLoop& loop, const std::string& bind, const std::string& of, bool keys)
      : subscribers_(context_, ZMQ_XPUB, {.curve = bound_as(of, keys)}, loop,
                     [this](ZmqSocket::Frames frames) { publisher_.send(frames); }),
        publisher_(context_, ZMQ_XSUB, {.curve = connected_as("link", of, keys)}, loop,
                   [this](ZmqSocket::Frames frames) {
                     if (!loses(frames)) subscribers_.send(frames);
                   }) {
    EXPECT_TRUE(subscribers_.bind(bind).ok());
  }
  void connect(const std::string& endpoint) {
    EXPECT_TRUE(publisher_.connect(endpoint).ok());
    publisher_.start();
    subscribers_.start();
  }
  std::string endpoint() const { return subscribers_.endpoint(); }

  bool cut = false;
  std::size_t lost() const { return lost_.size(); }

 private:
  // What is lost is lost in all its forms: while those of a subscription change, it comes in both.
  bool loses(ZmqSocket::Frames frames) {
    if (frames[0].starts_with(marker_lead)) return false;
    std::size_t kept = 0;
    for (std::string_view rest = frames[1]; !rest.empty();) {
      const auto event = take_event(rest);
      EXPECT_TRUE(event.ok()) << event.status();
      if (!event.ok()) return true;
      if (cut) lost_.emplace(*event);
      kept += lost_.count(std::string(*event)) == 0 ? 1 : 0;
    }
    return kept == 0;
  }

  std::set<std::string> lost_;
  std::shared_ptr<ZmqContext> context_ = std::make_shared<ZmqContext>();
  ZmqSocket subscribers_;
  ZmqSocket publisher_;
};

// Passes for a member, and publishes what no member would.
class Liar {
 public:
  Liar(EventLoop& loop, const std::string& requests, const std::string& publisher,
       const std::string& victim, const std::string& victim_name, bool keys)
      : hello_(context_, ZMQ_DEALER, {.curve = connected_as("liar", victim_name, keys)}, loop,
               [](ZmqSocket::Frames) {}),
        requests_(context_, ZMQ_ROUTER, {.curve = bound_as("liar", keys)}, loop,
                  [this](ZmqSocket::Frames frames) { welcome(frames); }),
        publisher_(context_, ZMQ_XPUB, {.curve = bound_as("liar", keys)}, loop,
                   [this](ZmqSocket::Frames frames) { publish(frames); }) {
    EXPECT_TRUE(requests_.bind(requests).ok());
    EXPECT_TRUE(publisher_.bind(publisher).ok());
    EXPECT_TRUE(hello_.connect(victim).ok());
    self_ = {"liar", 1, publisher_.endpoint(), requests_.endpoint()};
    hello_.start();
    requests_.start();
    publisher_.start();
    for (const std::string& garbage :
         {std::string("rubbish"), std::string("h\0\0", 3), std::string(2000, 'q'),
          encode(Control(Hello{1, self_, false}))}) {
      const std::string_view frames[] = {garbage};
      hello_.send(frames);
    }
    const std::string_view frames[] = {oversized_};
    hello_.send(frames);
  }

 private:
  void welcome(ZmqSocket::Frames frames) {
    const auto control = decode_control(frames[1]);
    if (!control.ok() || !std::holds_alternative<Hello>(*control)) return;
    const std::string frame = encode(Control(Welcome{std::get<Hello>(*control).beat, self_, {}}));
    const std::string_view answer[] = {frames[0], frame};
    requests_.send(answer);
  }
  void publish(ZmqSocket::Frames frames) {
    const std::string topic(frames[0].substr(1));
    const bool events = !topic.empty() && topic[0] != marker_lead[0];
    const std::string large(event_bytes_max + 1, 'l');
    const std::string_view message[] = {topic, large};
    if (events) publisher_.send(message);
    for (const std::string& garbage :
         {std::string(), std::string("x"), std::string(3000, '\xff')}) {
      const std::string_view two[] = {topic, garbage};
      publisher_.send(two);
      const std::string_view one[] = {topic};
      publisher_.send(one);
    }
    // Above what libzmq takes: it does not let the sender go on.
    const std::string_view last[] = {topic, oversized_};
    if (events) publisher_.send(last);
  }

  std::shared_ptr<ZmqContext> context_ = std::make_shared<ZmqContext>();
  const std::string oversized_ = std::string(ZmqSocket::message_bytes_max + 1, 'o');
  Member self_;
  ZmqSocket hello_;
  ZmqSocket requests_;
  ZmqSocket publisher_;
};

class ZmqWorld final : public BusWorld {
 public:
  // With hubs: process "a" is in the first cloud, all others are in the second.
  ZmqWorld(bool tcp, bool hubs) : tcp_(tcp) {
    std::string name = testing::TempDir() + "busXXXXXX";
    directory_ = mkdtemp(name.data());
    for (int cloud = 0; hubs && cloud < 2; ++cloud) {
      const std::string hub = hub_of(cloud);
      auto made = std::make_unique<HubProcess>();
      made->cloud = open_hub_bus(hub, clouds_[cloud], "", made->pool);
      made->wide = open_hub_bus(hub, wide_, ".wide", made->pool);
      made->hub = std::make_unique<Hub>(loop_, made->pool, *made->cloud, *made->wide,
                                        HubOptions{.name = hub});
      hubs_.push_back(std::move(made));
    }
  }
  ~ZmqWorld() override {
    hubs_.clear();
    liars_.clear();
    links_.clear();
    std::filesystem::remove_all(directory_);
  }

  using BusWorld::start;
  std::unique_ptr<BusProcess> start(std::string name, TestStreams logged) override {
    return open(name, "", std::move(logged));
  }
  std::unique_ptr<BusProcess> start_narrow(std::string name) override {
    // However long these take for what fills their queues, nobody is cut off.
    return open(name, "", TestStreams(name), 10, absl::Minutes(1));
  }
  std::unique_ptr<BusProcess> start_lossy(std::string name) override {
    auto link = std::make_unique<LossyLink>(loop_, endpoint(name + ".link"), name, tcp_);
    auto process = open(name, link->endpoint(), TestStreams(name));
    link->connect(dynamic_cast<ZmqBus&>(*process->bus).publish_endpoint_bound());
    links_.push_back(std::move(link));
    return process;
  }
  bool run_until(const std::function<bool()>& condition, Duration limit) override {
    return loop_.run_until(condition, limit);
  }
  // Each of them has the other's hub behind its own.
  bool meet(BusProcess& a, BusProcess& b) override {
    if (hubs_.empty()) return BusWorld::meet(a, b);
    return run_until(
        [&] {
          for (BusProcess* process : {&a, &b}) {
            const HubProcess& hub = *hubs_[cloud_of(process->name)];
            if (dynamic_cast<ZmqBus&>(*process->bus).relays().empty() ||
                !hub.cloud->has(process->name) || hub.wide->relays().empty())
              return false;
          }
          return true;
        },
        absl::Seconds(20));
  }
  Scheduler& scheduler() override { return loop_; }
  void cut(std::string_view, std::string_view) override {
    for (auto& link : links_) link->cut = true;
  }
  void mend(std::size_t lost) override {
    for (auto& link : links_) {
      EXPECT_TRUE(loop_.run_until([&] { return link->lost() >= lost; }, absl::Seconds(10)));
      link->cut = false;
    }
  }
  void send_garbage(BusProcess& to) override {
    liars_.push_back(std::make_unique<Liar>(loop_, endpoint("liar.req"), endpoint("liar.pub"),
                                            members_of(to.name)[to.name], to.name, tcp_));
  }

 private:
  std::string endpoint(const std::string& name) const {
    return tcp_ ? "tcp://127.0.0.1:*" : "ipc://" + directory_ + "/" + name;
  }
  std::unique_ptr<BusProcess> open(const std::string& name, const std::string& advertised,
                                   TestStreams logged,
                                   int high_water_mark = ZmqBusOptions().high_water_mark,
                                   Duration silence_max = absl::Seconds(1)) {
    auto process =
        std::make_unique<BusProcess>(name, std::make_unique<EventPool>(), std::move(logged));
    ZmqBusOptions options;
    options.name = name;
    options.publish_bind = endpoint(name + ".pub");
    options.request_bind = endpoint(name + ".req");
    options.publish_advertised = advertised;
    options.hello_interval = absl::Milliseconds(200);
    options.silence_max = silence_max;
    options.high_water_mark = high_water_mark;
    options.on_slow_subscriber = [p = process.get()](const std::string& slow,
                                                     std::uint64_t backlog) {
      p->slow[slow] += backlog;
    };
    options.on_fatal = [p = process.get()](absl::Status why) {
      p->fatal.push_back(std::move(why));
    };
    if (tcp_) {
      options.credentials = {test_key(name), trust()};
    }
    options.seeds = seeds(members_of(name));
    auto bus = ZmqBus::open(loop_, *process->pool, options);
    if (!tcp_ && absl::IsAlreadyExists(bus.status())) {  // a twin: let it come in elsewhere
      options.publish_bind += ".twin";
      options.request_bind += ".twin";
      bus = ZmqBus::open(loop_, *process->pool, options);
    }
    EXPECT_TRUE(bus.ok()) << bus.status();
    members_of(name)[name] = (*bus)->request_endpoint();
    process->bus = *std::move(bus);
    process->bus->start(*process, process->streams.past());
    return process;
  }

  using Members = std::map<std::string, std::string>;  // request endpoints, by name
  struct HubProcess {
    EventPool pool;
    std::unique_ptr<ZmqBus> cloud, wide;
    std::unique_ptr<Hub> hub;
  };

  static std::string hub_of(int cloud) { return cloud == 0 ? "hub-left" : "hub-right"; }
  std::size_t cloud_of(std::string_view process) const {
    return hubs_.empty() || process == "a" ? 0 : 1;
  }
  Members& members_of(const std::string& process) { return clouds_[cloud_of(process)]; }
  std::vector<std::string> seeds(const Members& members) const {
    std::vector<std::string> seeds;
    for (const auto& [other, seed] : members) seeds.push_back(tcp_ ? other + "@" + seed : seed);
    return seeds;
  }
  static std::shared_ptr<const Trust> trust() {
    Trust trust = test_trust({"a", "b", "c", "d", "link", "liar", "hub-left", "hub-right"});
    for (const char* relay : {"hub-left", "hub-right", "link"})
      trust.rights.grant(relay, all_rights(true));
    return std::make_shared<const Trust>(std::move(trust));
  }
  std::unique_ptr<ZmqBus> open_hub_bus(const std::string& hub, Members& members,
                                       const std::string& which, EventPool& pool) {
    ZmqBusOptions options;
    options.name = hub;
    options.gaps = hub_gap_options();
    options.publish_bind = endpoint(hub + which + ".pub");
    options.request_bind = endpoint(hub + which + ".req");
    options.hello_interval = absl::Milliseconds(200);
    options.silence_max = absl::Seconds(1);
    if (tcp_) options.credentials = {test_key(hub), trust()};
    options.seeds = seeds(members);
    auto bus = ZmqBus::open(loop_, pool, options);
    EXPECT_TRUE(bus.ok()) << bus.status();
    members[hub] = (*bus)->request_endpoint();
    return *std::move(bus);
  }

  bool tcp_;
  std::string directory_;
  EventLoop loop_;
  Members clouds_[2], wide_;
  std::vector<std::unique_ptr<HubProcess>> hubs_;
  std::vector<std::unique_ptr<LossyLink>> links_;
  std::vector<std::unique_ptr<Liar>> liars_;
};

}  // namespace

std::unique_ptr<BusWorld> make_ipc_world() { return std::make_unique<ZmqWorld>(false, false); }
std::unique_ptr<BusWorld> make_tcp_world() { return std::make_unique<ZmqWorld>(true, false); }
std::unique_ptr<BusWorld> make_ipc_hub_world() { return std::make_unique<ZmqWorld>(false, true); }
std::unique_ptr<BusWorld> make_tcp_hub_world() { return std::make_unique<ZmqWorld>(true, true); }

}  // namespace supercloud
