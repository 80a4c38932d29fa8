// A follower on one of a few nodes, and what it was given.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "actors/reading/follow.h"
#include "tests/actors/archive/archive_world.h"

namespace supercloud {

using Names = std::vector<std::string>;

// What a follower was given. It outlives the follower's node.
struct Given {
  std::vector<Event> events;
  std::vector<MissedEvents> missed;
  int live = 0;

  Names subjects() const {
    Names names;
    for (const Event& event : events) names.push_back(event.subject());
    return names;
  }
};

class FollowWorld : public ArchiveWorld {
 protected:
  class Follower final : public Actor {
   public:
    Follower(FollowWorld& world, Context& context, FollowOptions options, Given& given)
        : follow_(
              context, std::move(options),
              {.on_event = [&given](const Event& event) { given.events.push_back(event); },
               .on_gap = [&given](const MissedEvents& missed) { given.missed.push_back(missed); },
               .on_live = [&given] { ++given.live; }}) {
      world.follow = &follow_;
    }
    void receive(const Event& event) override { follow_.hear(event); }

   private:
    Follow follow_;
  };

  void follow_on(const std::string& name, FollowOptions options, Given& given) {
    nodes.at(name)->node->spawn("follower", [this, options, &given](Context& context) {
      return std::make_unique<Follower>(*this, context, options, given);
    });
  }
  // And lets it come live.
  Given& follow_on(const std::string& name, FollowOptions options) {
    follow_on(name, std::move(options), given);
    run(absl::Seconds(8));
    EXPECT_EQ(given.live, 1);
    return given;
  }
  static FollowOptions from(From from, std::string durable = {}) {
    return {.pattern = Pattern::of("instance.>"), .from = from, .durable = std::move(durable)};
  }

  Event say_returned(TestNode& node, const std::string& subject) {
    return publish(node, subject, [](schema::Payload::Builder payload) {
      payload.initInstanceReturned().setInstance("i");
    });
  }
  // Telemetry: in no log.
  Event say_rate(TestNode& node, const std::string& vm) {
    return publish(node, vm, [](schema::Payload::Builder payload) {
      payload.initVmDirtyRate().setPagesPerSecond(1);
    });
  }
  Event say_started(TestNode& node, const std::string& vm) {
    return publish(node, vm,
                   [](schema::Payload::Builder payload) { payload.initVmStarted().setNode("n"); });
  }
  // What `a` says meanwhile does not reach `b`.
  template <class Say>
  void unheard(const std::string& a, const std::string& b, Say say_it) {
    network.block(a, b);
    say_it();
    run(absl::Milliseconds(50));
    network.unblock(a, b);
  }

  Given given;
  Follow* follow = nullptr;
};

}  // namespace supercloud
