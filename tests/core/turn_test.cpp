// How long the runtime keeps the loop, on the live clock.
#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "core/event_loop.h"
#include "core/node.h"
#include "core/topic.h"
#include "tests/core/loopback_bus.h"
#include "tests/core/memory_log.h"

namespace supercloud {
namespace {

// Works for a while on each event.
class Worker final : public Actor {
 public:
  Worker(EventLoop& loop, Duration work, int& events, int& turns)
      : loop_(loop), work_(work), events_(events), turns_(turns) {}
  void receive(const Event&) override {
    ++events_;
    if (!turn_open_) {
      turn_open_ = true;
      ++turns_;
      loop_.at_turn_end([this] { turn_open_ = false; });
    }
    const Instant until = loop_.clock().now() + work_;
    while (loop_.clock().now() < until) {
    }
  }

 private:
  EventLoop& loop_;
  const Duration work_;
  int& events_;
  int& turns_;
  bool turn_open_ = false;
};

class Speaker final : public Actor {
 public:
  void receive(const Event&) override {}
};

TEST(TurnTest, ends_soon_whatever_waits) {
  constexpr int said = 64;  // as many as one turn takes
  EventLoop loop;
  EventPool pool;
  LoopbackBus bus(loop, "alpha");
  MemoryLog log(loop);
  NodeOptions options;
  options.name = "alpha";
  Node node(NodeSeams{loop, bus, log, pool}, options);
  int events = 0, turns = 0;
  Context* speaker = nullptr;
  node.spawn("worker", [&](Context& context) {
    context.subscribe(Pattern::of("migration.progress.>"));
    return std::make_unique<Worker>(loop, absl::Microseconds(20), events, turns);
  });
  node.spawn("speaker", [&](Context& context) {
    speaker = &context;
    return std::make_unique<Speaker>();
  });
  for (int i = 0; i < said; ++i) {
    Draft draft = speaker->draft("web1");
    draft.payload().initMigrationProgress();
    speaker->publish(std::move(draft));
  }
  ASSERT_TRUE(loop.run_until([&] { return events == said; }, absl::Seconds(20)));
  EXPECT_GE(turns, 12) << "of 1.3 ms of work, in pieces of 20 µs";
}

}  // namespace
}  // namespace supercloud
