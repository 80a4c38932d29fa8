// From one actor to the next in a process: draft, envelope, publish, queue, receive.
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "benchmark/benchmark.h"
#include "core/event_loop.h"
#include "core/node.h"

namespace supercloud {
namespace {

// Nobody else is on it.
class DeafBus final : public Bus {
 public:
  void start(BusReceiver& receiver, std::vector<OriginTail> past) override {
    (void)receiver;
    (void)past;
  }
  void publish(const Event& event) override { (void)event; }
  void subscribe(std::string prefix, Reply<Done> reply) override {
    (void)prefix;
    reply(Done{});
  }
  void unsubscribe(std::string prefix) override { (void)prefix; }
  void request(Address to, std::string bytes, Reply<std::string> reply) override {
    (void)bytes;
    reply(absl::UnavailableError(to.node));
  }
};

// Forgets at once.
class NullLog final : public EventLog {
 public:
  explicit NullLog(Scheduler& scheduler) : scheduler_(scheduler) {}
  void append(std::vector<Event> events, std::optional<Reservation> reserve,
              Reply<Done> reply) override {
    (void)events;
    (void)reserve;
    scheduler_.post([reply = std::move(reply)]() mutable { reply(Done{}); });
  }
  void read(std::uint64_t from, Pattern pattern, std::size_t limit, Reply<LogPage> reply) override {
    (void)from;
    (void)limit;
    reply(absl::UnimplementedError(pattern.text()));
  }
  void seek(LogBeginning, Pattern pattern, Reply<std::uint64_t> reply) override {
    reply(absl::UnimplementedError(pattern.text()));
  }
  void read_stream(StreamRange range, std::size_t, Reply<StreamPart> reply) override {
    reply(absl::UnimplementedError(range.origin));
  }
  OriginState origin(std::string_view name) const override {
    (void)name;
    return {};
  }
  std::vector<std::string> origins() const override { return {}; }

 private:
  Scheduler& scheduler_;
};

// Answers each event of the other side with one of its own, until `hops` is reached.
class Player final : public Actor {
 public:
  struct Game {
    std::size_t hops = 0;
    std::size_t target = 0;
  };

  Player(Context& context, Game& game, const char* listens, bool pings)
      : context_(context), game_(game), pings_(pings) {
    context_.subscribe(Pattern::of(listens));
  }
  void receive(const Event& event) override {
    (void)event;
    if (++game_.hops < game_.target) strike();
  }
  void strike() {
    Draft draft = context_.draft("web1");
    if (pings_) {
      draft.payload().initMigrationProgress().setPercent(1);
    } else {
      draft.payload().initVmDirtyRate().setPagesPerSecond(1);
    }
    context_.publish(std::move(draft));
  }

 private:
  Context& context_;
  Game& game_;
  bool pings_;
};

void actor_hop(benchmark::State& state) {
  constexpr std::size_t hops_per_iteration = 100;
  EventPool pool;
  EventLoop loop;
  DeafBus bus;
  NullLog log(loop);
  Node node({loop, bus, log, pool}, {.name = "alpha", .heartbeat_interval = absl::Hours(1)});
  Player::Game game;
  Player* first = nullptr;
  node.spawn("ping", [&](Context& context) {
    auto player = std::make_unique<Player>(context, game, "vm.dirty_rate.>", true);
    first = player.get();
    return player;
  });
  node.spawn("pong", [&](Context& context) {
    return std::make_unique<Player>(context, game, "migration.progress.>", false);
  });
  const auto play = [&](std::size_t hops) {
    game = {0, hops};
    first->strike();
    return loop.run_until([&] { return game.hops >= hops; }, absl::Seconds(10));
  };
  if (!play(2)) state.SkipWithError("no hop within ten seconds");
  std::size_t iterations = 0;
  for (auto unused : state) {
    (void)unused;
    if (!play(hops_per_iteration)) {
      state.SkipWithError("the ball was lost");
      break;
    }
    ++iterations;
  }
  if (game.hops != hops_per_iteration && iterations > 0)
    state.SkipWithError("hops were miscounted");
  state.counters["hop"] =
      benchmark::Counter(static_cast<double>(iterations * hops_per_iteration),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(actor_hop);

}  // namespace
}  // namespace supercloud
