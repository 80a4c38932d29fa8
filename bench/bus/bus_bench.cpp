// The ZeroMQ bus beside raw ZeroMQ over ipc: round trip of an event between two processes, and events per second from one to another.

#include <benchmark/benchmark.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "bus/zmq_bus.h"
#include "core/event_loop.h"

namespace supercloud {
namespace {

constexpr std::uint64_t burst = 1000;

std::string make_directory() {
  std::string name = (std::filesystem::temp_directory_path() / "busbenchXXXXXX").string();
  return mkdtemp(name.data());
}

// Runs `body` in another process, which ends with this one.
template <class Body>
pid_t in_child(Body body) {
  const pid_t child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  body();
  _exit(0);
}

void end(pid_t child, const std::string& directory) {
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  std::filesystem::remove_all(directory);
}

// Publishes one stream; counts what comes.
class Side final : public BusReceiver {
 public:
  Side(const std::string& directory, std::string name, const std::string& other)
      : origin_(name + "/bench") {
    ZmqBusOptions options;
    options.name = name;
    options.publish_bind = "ipc://" + directory + "/" + name + ".pub";
    options.request_bind = "ipc://" + directory + "/" + name + ".req";
    options.seeds = {"ipc://" + directory + "/" + other + ".req"};
    bus = *ZmqBus::open(loop, pool_, options);
    bus->start(*this, {});
    bus->subscribe("vm.", Reply<Done>(far_future, [this](absl::StatusOr<Done>) { ready = true; }));
  }
  void publish() {
    Draft draft = pool_.draft("web1");
    draft.payload().initVmDirtyRate();
    Envelope envelope;
    envelope.origin = origin_;
    envelope.incarnation = 1;
    for (std::uint64_t& previous : envelope.previous) previous = sequence_;
    envelope.sequence = ++sequence_;
    bus->publish(*std::move(draft).seal(envelope));
  }
  void on_event(Event) override {
    ++received;
    if (echo_every != 0 && received % echo_every == 0) publish();
  }
  void on_gap(const BusGap&) override { ++gaps; }
  void on_request(std::string, std::string, Reply<std::string> answer) override {
    answer(ready ? "ready" : "");
  }
  void on_rejected(std::string, std::string) override {}
  void on_peer(std::string, bool alive) override { peer = alive; }

  EventLoop loop;

 private:
  EventPool pool_;
  std::string origin_;
  std::uint64_t sequence_ = 0;

 public:
  std::unique_ptr<ZmqBus> bus;
  bool ready = false;
  bool peer = false;
  std::uint64_t received = 0;
  std::uint64_t echo_every = 0;
  std::uint64_t gaps = 0;
};

// The other process answers every `every`th event; `each` is how many are sent before an answer is waited for.
void over_bus(benchmark::State& state, std::uint64_t each) {
  const std::string directory = make_directory();
  const pid_t child = in_child([&] {
    Side far(directory, "far", "near");
    far.echo_every = each;
    far.loop.run();
  });
  Side near(directory, "near", "far");
  bool both = near.loop.run_until([&] { return near.peer && near.ready; }, absl::Seconds(10));
  bool far_ready = false;
  while (both && !far_ready) {  // until the other has subscribed here
    bool answered = false;
    near.bus->request({"far", "bench"}, "",
                      Reply<std::string>(far_future, [&](absl::StatusOr<std::string> answer) {
                        answered = true;
                        far_ready = answer.ok() && *answer == "ready";
                      }));
    both = near.loop.run_until([&] { return answered; }, absl::Seconds(10));
  }
  // Its subscription may have been ready before it knew of us: go on when an answer comes.
  std::uint64_t wanted = 1;
  for (int i = 0; both && near.received < wanted && i < 100; ++i) {
    for (std::uint64_t n = 0; n < each; ++n) near.publish();
    near.loop.run_until([&] { return near.received >= wanted; }, absl::Milliseconds(100));
  }
  wanted = near.received;
  for (auto _ : state) {
    for (std::uint64_t n = 0; n < each; ++n) near.publish();
    ++wanted;
    if (!near.loop.run_until([&] { return near.received >= wanted; }, absl::Seconds(10))) break;
  }
  if (wanted == 0 || near.received < wanted || near.gaps != 0)
    state.SkipWithError("events were lost");
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(each));
  end(child, directory);
}

void over_raw(benchmark::State& state, std::uint64_t each) {
  const std::string directory = make_directory();
  const std::string to_far = "ipc://" + directory + "/far";
  const std::string to_near = "ipc://" + directory + "/near";
  const auto socket = [](void* context, int type, const std::string& endpoint) {
    void* s = zmq_socket(context, type);
    const int none = 0;
    const int patience = 10'000;
    zmq_setsockopt(s, ZMQ_SNDHWM, &none, sizeof none);
    zmq_setsockopt(s, ZMQ_RCVHWM, &none, sizeof none);
    zmq_setsockopt(s, ZMQ_LINGER, &none, sizeof none);
    if (type == ZMQ_SUB) {
      zmq_setsockopt(s, ZMQ_SUBSCRIBE, "", 0);
      zmq_setsockopt(s, ZMQ_RCVTIMEO, &patience, sizeof patience);
    }
    if (type == ZMQ_SUB)
      zmq_connect(s, endpoint.c_str());
    else
      zmq_bind(s, endpoint.c_str());
    return s;
  };
  char topic[] = "vm.dirty_rate.main.web1.";
  char body[232] = {};
  char buffer[256];
  const auto send = [&](void* s) {
    zmq_send(s, topic, sizeof topic - 1, ZMQ_SNDMORE);
    zmq_send(s, body, sizeof body, 0);
  };
  const auto receive = [&](void* s) {
    return zmq_recv(s, buffer, sizeof buffer, 0) >= 0 && zmq_recv(s, buffer, sizeof buffer, 0) >= 0;
  };
  const pid_t child = in_child([&] {
    void* context = zmq_ctx_new();
    void* out = socket(context, ZMQ_PUB, to_near);
    void* in = socket(context, ZMQ_SUB, to_far);
    for (std::uint64_t n = 1;; ++n) {
      while (!receive(in)) {
      }
      if (n % each == 0) send(out);
    }
  });
  void* context = zmq_ctx_new();
  void* out = socket(context, ZMQ_PUB, to_far);
  void* in = socket(context, ZMQ_SUB, to_near);
  const int short_wait = 20;
  const int patience = 10'000;
  // Until both are connected and all that was sent so far is answered.
  zmq_setsockopt(in, ZMQ_RCVTIMEO, &short_wait, sizeof short_wait);
  bool good = false;
  for (int i = 0; i < 500 && !good; ++i) {
    for (std::uint64_t n = 0; n < each; ++n) send(out);
    good = receive(in);
  }
  while (receive(in)) {
  }
  zmq_setsockopt(in, ZMQ_RCVTIMEO, &patience, sizeof patience);
  for (auto _ : state) {
    for (std::uint64_t n = 0; n < each && good; ++n) send(out);
    good = good && receive(in);
  }
  if (!good) state.SkipWithError("messages were lost");
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(each));
  zmq_close(in);
  zmq_close(out);
  zmq_ctx_term(context);
  end(child, directory);
}

void bus_round_trip(benchmark::State& state) { over_bus(state, 1); }
void bus_round_trip_raw_zeromq(benchmark::State& state) { over_raw(state, 1); }
void bus_throughput(benchmark::State& state) { over_bus(state, burst); }
void bus_throughput_raw_zeromq(benchmark::State& state) { over_raw(state, burst); }
BENCHMARK(bus_round_trip)->UseRealTime();
BENCHMARK(bus_round_trip_raw_zeromq)->UseRealTime();
BENCHMARK(bus_throughput)->UseRealTime();
BENCHMARK(bus_throughput_raw_zeromq)->UseRealTime();

}  // namespace
}  // namespace supercloud
