// Worlds for policies to decide about, and a loop to wait in for what they say.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "actors/policy/policy.h"
#include "core/event_loop.h"
#include "core/message.h"
#include "core/text.h"

namespace supercloud {

inline constexpr std::int64_t hour_ns = 3'600'000'000'000;
inline constexpr std::int64_t cent = 10'000'000;

inline std::string place_in(const std::string& zone) {
  return "aws/us-east-1/us-east-1" + zone + "/r3.large/spot";
}

struct WorldFigures {
  std::int64_t minute = 58;  // of the hour that is paid
  std::int64_t cents_a = 3, cents_b = 1, cents_c = 2;
  bool notice = false;
  bool b_allowed = true;
};

// The VM web1 runs in zone a; zones b and c are other places.
inline Message<schema::World> world_of(const WorldFigures& figures = {}) {
  return Message<schema::World>::build([&](schema::World::Builder world) {
    const std::int64_t began = 400'000 * hour_ns;
    world.setNowNs(began + figures.minute * 60'000'000'000);
    world.initVm().setName("web1");
    world.setCurrentPlace(place_in("a"));
    world.setCurrentInstance("i-1");
    world.initMarket().setLeadNs(180'000'000'000);
    if (figures.notice) world.setNoticeDeadlineNs(world.getNowNs() + 120'000'000'000);
    auto places = world.initCandidates(3);
    const auto fill = [&](unsigned at, const std::string& zone, std::int64_t cents) {
      places[at].initPlace().setId(place_in(zone));
      places[at].getPlace().setZone("us-east-1" + zone);
      places[at].setPriceNanoUsdPerHour(cents * cent);
      places[at].setPriceKnown(true);
      places[at].setAllowed(true);
    };
    fill(0, "a", figures.cents_a);
    fill(1, "b", figures.cents_b);
    fill(2, "c", figures.cents_c);
    places[1].setAllowed(figures.b_allowed);
    if (!figures.b_allowed) places[1].setWhyNot("it lacks trust=high");
    auto instance = places[0].initInstances(1)[0];
    instance.setInstance("i-1");
    instance.setPaidUntilNs(began + hour_ns);
    instance.setBidNanoUsdPerHour(17 * cent);
  });
}

using Decided = absl::StatusOr<Message<schema::Decision>>;

// The answer, filled in when it comes.
using Slot = std::shared_ptr<std::optional<Decided>>;

inline Slot ask(Policy& policy, const Message<schema::World>& world = world_of()) {
  auto slot = std::make_shared<std::optional<Decided>>();
  policy.decide(world, Reply<Message<schema::Decision>>(
                           far_future, [slot](Decided decided) { *slot = std::move(decided); }));
  return slot;
}

inline Decided answer_of(EventLoop& loop, const Slot& slot) {
  EXPECT_TRUE(loop.run_until([&] { return slot->has_value(); }, absl::Seconds(60)));
  return slot->value_or(absl::InternalError("it was never answered"));
}

inline std::string choice_of(const Decided& decided) {
  return decided.ok() ? std::string(text(decided->reader().getChoice()))
                      : decided.status().ToString();
}

}  // namespace supercloud
