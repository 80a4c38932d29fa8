// The fold of events into what policies see, and the policies that come with the project.
#include "actors/policy/world.h"

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/policy/policies.h"
#include "actors/spot/place.h"
#include "core/virtual_scheduler.h"
#include "gtest/gtest.h"

namespace supercloud {
namespace {

using schema::Payload;

class WorldTest : public testing::Test {
 protected:
  static constexpr std::int64_t cent = 10'000'000;

  Event event(const std::string& subject, const std::function<void(Payload::Builder)>& fill,
              const EventId& migration = {}) {
    Draft draft = pool.draft(subject);
    fill(draft.payload());
    if (!migration.empty()) draft.migration(migration);
    EXPECT_TRUE(draft.set_topic().ok());
    Envelope envelope;
    envelope.origin = "n/test";
    envelope.incarnation = 1;
    envelope.sequence = ++sequence;
    envelope.time = HybridTime::at(start + absl::Milliseconds(static_cast<std::int64_t>(sequence)));
    return std::move(draft).seal(envelope).value();
  }
  static PlaceName zone(const std::string& letter, bool spot = true) {
    return {"aws", "us-east-1", "us-east-1" + letter, "r3.large", spot};
  }
  Event price(const PlaceName& place, std::int64_t nano, int minute) {
    return event(place_subject(place.id()), [&](Payload::Builder payload) {
      auto change = payload.initSpotPriceChanged();
      write_place(place, {{"aws/us-east-1/us-east-1b", "trust", "low"}}, change.initPlace());
      change.setPriceNanoUsdPerHour(nano);
      change.setSinceNs(absl::ToUnixNanos(at(minute)));
    });
  }
  Event launched(const std::string& id, const PlaceName& place, const std::string& node,
                 int minute) {
    return event(id, [&](Payload::Builder payload) {
      auto body = payload.initInstanceLaunched();
      body.setInstance(id);
      write_place(place, {}, body.initPlace());
      body.setBidNanoUsdPerHour(17 * cent);
      body.setPriceNanoUsdPerHour(3 * cent);
      body.setLaunchedNs(absl::ToUnixNanos(at(minute)));
      body.setNode(node);
    });
  }
  Event joined(const std::string& node, const PlaceName& place, std::uint64_t memory) {
    return event(node, [&](Payload::Builder payload) {
      auto body = payload.initNodeJoined();
      body.setNode(node);
      write_place(place, {}, body.initPlace());
      body.setMemoryBytes(memory);
    });
  }
  Event notice(const std::string& id, int minute) {
    return event(id, [&](Payload::Builder payload) {
      auto body = payload.initSpotInterruptionNotice();
      body.setInstance(id);
      body.setDeadlineNs(absl::ToUnixNanos(at(minute)));
    });
  }
  absl::Time at(int minute) const { return start + absl::Minutes(minute); }

  // The VM web1 on node-a in zone a, launched at minute 0; prices 3, 2 and 1 cents in a, b, c; on-demand 17.5.
  void furnish() {
    for (const Event& each :
         {price(zone("a"), 3 * cent, 0), price(zone("b"), 2 * cent, 0), price(zone("c"), cent, 0),
          price(zone("a", false), 17 * cent + cent / 2, 0), launched("i-1", zone("a"), "node-a", 0),
          joined("node-a", zone("a"), 1 << 30)}) {
      state.apply(each);
    }
  }
  Message<schema::World> world(int minute,
                               const std::function<void(schema::VmSpec::Builder)>& more = nullptr) {
    const auto spec = Message<schema::VmSpec>::build([&](schema::VmSpec::Builder builder) {
      builder.setName("web1");
      builder.setMemoryBytes(256 << 20);
      if (more) more(builder);
    });
    return state.world(spec.reader(), "node-a", at(minute), options);
  }
  std::string choice(int minute,
                     const std::function<void(schema::VmSpec::Builder)>& more = nullptr) {
    const auto decision = decide_cheapest(world(minute, more).reader());
    reason = std::string(text(decision.reader().getReason()));
    const std::string place(text(decision.reader().getChoice()));
    return place.empty()                   ? "stay"
           : PlaceName::parse(place)->spot ? PlaceName::parse(place)->zone.substr(9)
                                           : "on-demand";
  }

  const absl::Time start = absl::FromUnixSeconds(1'440'201'600);
  EventPool pool;
  std::uint64_t sequence = 0;
  WorldState state;
  WorldOptions options;
  std::string reason;
};

TEST_F(WorldTest, ShowsEveryPlaceSortedWithItsPriceAndEvidence) {
  furnish();
  const auto message = world(10);
  const auto reader = message.reader();
  ASSERT_EQ(reader.getCandidates().size(), 4U);
  EXPECT_EQ(text(reader.getCurrentPlace()), zone("a").id());
  EXPECT_EQ(text(reader.getCurrentInstance()), "i-1");
  EXPECT_EQ(text(reader.getCandidates()[0].getPlace().getId()), zone("a", false).id());
  const auto here = reader.getCandidates()[1];
  EXPECT_EQ(here.getPriceNanoUsdPerHour(), 3 * cent);
  EXPECT_EQ(here.getOnDemandNanoUsdPerHour(), 17 * cent + cent / 2);
  EXPECT_EQ(here.getPriceEvent().getSequence(), 1U);
  ASSERT_EQ(here.getInstances().size(), 1U);
  EXPECT_EQ(here.getInstances()[0].getPaidUntilNs(), absl::ToUnixNanos(at(60)));
  EXPECT_TRUE(here.getInstances()[0].getRoomForVm());
}

TEST_F(WorldTest, AllowsAVmThatNeedsDevicesOnlyWhereANodeOffersThem) {
  furnish();
  state.apply(event("node-c", [&](Payload::Builder payload) {
    auto body = payload.initNodeJoined();
    body.setNode("node-c");
    write_place(zone("c"), {}, body.initPlace());
    body.setMemoryBytes(1 << 20);  // no room: another would be rented, and is like it
    body.initDevices(1).set(0, "gpu/t4");
  }));
  const auto allowed = [this](const std::string& device) {
    const auto message =
        world(10, [&](schema::VmSpec::Builder vm) { vm.initDevices(1).set(0, device); });
    std::vector<std::string> zones;
    for (const auto candidate : message.reader().getCandidates()) {
      if (candidate.getAllowed())
        zones.push_back(std::string(text(candidate.getPlace().getId())));
      else
        EXPECT_EQ(text(candidate.getWhyNot()),
                  "no node here is known to offer the devices that the VM needs");
    }
    return zones;
  };
  EXPECT_EQ(allowed("gpu/t4"), (std::vector<std::string>{zone("a").id(), zone("c").id()}));
  EXPECT_EQ(allowed("tpm"), (std::vector<std::string>{zone("a").id()})) << "it runs there";
}

TEST_F(WorldTest, IsTheSameHoweverOftenAndInWhichOrderEventsCome) {
  std::vector<Event> events = {price(zone("a"), 3, 0), price(zone("a"), 5, 20),
                               launched("i-1", zone("a"), "node-a", 0), notice("i-1", 50),
                               joined("node-a", zone("a"), 1 << 30)};
  for (const Event& each : events) state.apply(each);
  const std::string once = world(30).to_json();
  for (const Event& each : events) state.apply(each);
  EXPECT_EQ(world(30).to_json(), once);
  state = WorldState();
  for (auto each = events.rbegin(); each != events.rend(); ++each) state.apply(*each);
  EXPECT_EQ(world(30).to_json(), once);
}

TEST_F(WorldTest, ForgetsAnInstanceThatEndedEvenIfItsLaunchComesLate) {
  state.apply(event(
      "i-1", [](Payload::Builder payload) { payload.initInstanceRevoked().setInstance("i-1"); }));
  EXPECT_FALSE(state.apply(launched("i-1", zone("a"), "node-a", 0)));
  EXPECT_TRUE(text(world(1).reader().getCurrentInstance()).empty());
}

// The first machines join before the provider has numbered them; who comes later has not heard of their launch.
TEST_F(WorldTest, HasNoRoomWhereAnInstanceWasGivenBackThoughItsLaunchWasNeverHeard) {
  furnish();
  WorldOptions fixed;
  fixed.can_rent = false;
  const auto allowed_at_c = [&] {
    const auto vm = Message<schema::VmSpec>::build([](schema::VmSpec::Builder spec) {
      spec.setName("web1");
      spec.setMemoryBytes(1 << 20);
    });
    const auto seen = state.world(vm.reader(), "node-a", absl::UnixEpoch(), fixed);
    for (const auto place : seen.reader().getCandidates())
      if (text(place.getPlace().getId()) == zone("c").id()) return place.getAllowed();
    return false;
  };
  state.apply(joined("node-c", zone("c"), 1 << 30));
  ASSERT_TRUE(allowed_at_c());
  EXPECT_TRUE(state.apply(event("i-9", [](Payload::Builder payload) {
    auto returned = payload.initInstanceReturned();
    returned.setInstance("i-9");
    returned.setNode("node-c");
  })));
  EXPECT_FALSE(allowed_at_c());
  state.apply(launched("i-10", zone("c"), "node-c", 0));
  EXPECT_TRUE(allowed_at_c()) << "a host that is lent again";
}

TEST_F(WorldTest, CountsNoVmThatWasOnAMachineWhenThatEnded) {
  furnish();
  state.apply(launched("i-9", zone("c"), "node-c", 0));
  state.apply(joined("node-c", zone("c"), 1 << 30));
  state.apply(
      event("web2", [](Payload::Builder payload) { payload.initVmResumed().setNode("node-c"); }));
  EXPECT_EQ(world(1).reader().getCandidates()[3].getVms(), 1U);
  state.apply(event("i-9", [](Payload::Builder payload) {
    auto revoked = payload.initInstanceRevoked();
    revoked.setInstance("i-9");
    revoked.setNode("node-c");
  }));
  EXPECT_EQ(world(1).reader().getCandidates()[3].getVms(), 0U);
}

TEST_F(WorldTest, HasClosedPlacesThatAreNoChoice) {
  furnish();
  const auto vm =
      Message<schema::VmSpec>::build([](schema::VmSpec::Builder spec) { spec.setName("web1"); });
  const auto seen = state.world(vm.reader(), "node-a", at(1), options,
                                {{zone("c").id(), "a flight there has just failed"}});
  EXPECT_TRUE(seen.reader().getCandidates()[2].getAllowed());
  EXPECT_FALSE(seen.reader().getCandidates()[3].getAllowed());
  EXPECT_EQ(text(seen.reader().getCandidates()[3].getWhyNot()), "a flight there has just failed");
}

TEST_F(WorldTest, RemembersTheMovesOfAVm) {
  furnish();
  const Event proposed = event("web1", [&](Payload::Builder payload) {
    auto body = payload.initMigrationProposed();
    body.setTargetPlace(zone("b").id());
    body.setSourceNode("node-a");
    body.setReason("because");
  });
  state.apply(proposed);
  EXPECT_EQ(world(1).reader().getRecentMoves().size(), 0U) << "a proposal is no move";
  state.apply(event(
      "web1", [](Payload::Builder payload) { payload.initMigrationAccepted(); }, proposed.id()));
  state.apply(event(
      "web1", [](Payload::Builder payload) { payload.initMigrationCompleted().setTotalMs(90'000); },
      proposed.id()));
  const auto message = world(1);
  ASSERT_EQ(message.reader().getRecentMoves().size(), 1U);
  const auto move = message.reader().getRecentMoves()[0];
  EXPECT_EQ(text(move.getTo()), zone("b").id());
  EXPECT_TRUE(move.getCompleted());
  EXPECT_EQ(message.reader().getCosts().getMigrationNs(), 90'000'000'000);
}

TEST_F(WorldTest, KeepsAVmToPlacesThatItsLabelsAllow) {
  furnish();
  const auto why = [&](const char* name, const char* value, bool requires_it) {
    const auto message = world(1, [&](schema::VmSpec::Builder spec) {
      auto list = requires_it ? spec.initRequires(1) : spec.initRefuses(1);
      list[0].setName(name);
      list[0].setValue(value);
    });
    std::string result;
    for (const auto candidate : message.reader().getCandidates())
      result += candidate.getAllowed() ? 'y' : 'n';
    return result;  // on-demand a, spot a, b, c
  };
  EXPECT_EQ(why("trust", "low", false), "yyny");
  EXPECT_EQ(why("trust", "low", true), "nnyn");
  EXPECT_EQ(why("market", "on-demand", true), "ynnn");
  EXPECT_EQ(why("zone", "us-east-1c", false), "yyyn");
}

TEST_F(WorldTest, NeedsRoomWhereNothingCanBeRented) {
  furnish();
  options.can_rent = false;
  EXPECT_EQ(choice(58), "stay");
  state.apply(joined("node-c", zone("c"), 100));
  EXPECT_EQ(choice(58), "stay");
  state.apply(joined("node-b", zone("b"), 1 << 30));
  EXPECT_EQ(choice(58), "b");
  EXPECT_EQ(choice(58, [](schema::VmSpec::Builder spec) { spec.initNodes(1).set(0, "node-c"); }),
            "stay");
}

TEST_F(WorldTest, CheapestMovesOnlyAsThePaidHourEnds) {
  furnish();
  EXPECT_EQ(choice(10), "stay");
  EXPECT_NE(reason.find("is paid until 2015-08-22 01:00"), std::string::npos) << reason;
  EXPECT_EQ(decide_cheapest(world(10).reader()).reader().getWakeAtNs(), absl::ToUnixNanos(at(57)));
  EXPECT_EQ(choice(57), "c");
  EXPECT_EQ(decide_cheapest(world(57).reader()).reader().getWakeAtNs(), absl::ToUnixNanos(at(117)));
  const auto decision = decide_cheapest(world(57).reader());
  EXPECT_EQ(decision.reader().getGainNanoUsd(), 2 * cent);
  EXPECT_EQ(decision.reader().getEvidence().size(), 2U);
}

TEST_F(WorldTest, CheapestStaysAtEqualPriceAndBreaksOtherTiesById) {
  furnish();
  state.apply(price(zone("a"), cent, 30));
  EXPECT_EQ(choice(58), "stay");
  state.apply(price(zone("a"), 5 * cent, 40));
  state.apply(price(zone("b"), cent, 40));
  EXPECT_EQ(choice(58), "b");
}

TEST_F(WorldTest, CheapestFleesAtOnceFromANoticeAndWhenOutbid) {
  furnish();
  state.apply(price(zone("a"), 18 * cent, 20));
  EXPECT_EQ(choice(20), "c");
  EXPECT_NE(reason.find("exceeds the bid"), std::string::npos) << reason;
  state.apply(price(zone("a"), cent / 2, 21));
  EXPECT_EQ(choice(21), "stay");
  state.apply(notice("i-1", 23));
  EXPECT_EQ(choice(21), "c") << "the cheapest of all is where it must leave";
}

TEST_F(WorldTest, CheapestGoesToOnDemandWhenEverySpotPlaceIsDearer) {
  furnish();
  for (const char* letter : {"a", "b", "c"}) state.apply(price(zone(letter), 20 * cent, 30));
  EXPECT_EQ(choice(30), "on-demand");
}

TEST_F(WorldTest, CheapestSaysThatPricesAreStale) {
  furnish();
  state.apply(event("feed", [](Payload::Builder payload) { payload.initSpotFeedLost(); }));
  choice(10);
  EXPECT_NE(reason.find("prices are stale"), std::string::npos);
  state.apply(event("feed", [](Payload::Builder payload) { payload.initSpotFeedRestored(); }));
  choice(10);
  EXPECT_EQ(reason.find("prices are stale"), std::string::npos);
}

TEST_F(WorldTest, DecisionsAreTheSameByteForByte) {
  furnish();
  const auto here = world(57);
  EXPECT_EQ(decide_cheapest(here.reader()).bytes(), decide_cheapest(here.reader()).bytes());
  const auto stay = decide_stay(here.reader());
  EXPECT_TRUE(text(stay.reader().getChoice()).empty());
  EXPECT_EQ(stay.reader().getCandidates().size(), 4U);
}

TEST_F(WorldTest, KeepsWhatIsToldOfAPlaceOfWhichANewerPriceCameBeforeTheAnswer) {
  const auto answer = Message<schema::Response>::build([&](schema::Response::Builder response) {
    auto known = response.initPrices(1)[0];
    write_place(zone("a"), {}, known.initPlace());
    known.setPriceNanoUsdPerHour(3 * cent);
    known.setSinceNs(absl::ToUnixNanos(at(-30)));
    known.initEvent().setOrigin("watcher");
    known.setHour(HourlyPrices::mark(at(0)));
    auto marks = known.initHourlyNanoUsd(3);
    for (unsigned i = 0; i < 3; ++i) marks.set(i, (3 + i) * cent);
  });
  const auto marks_after = [&](WorldState& told) {
    std::vector<std::int64_t> marks;
    const auto spec = Message<schema::VmSpec>::build([](schema::VmSpec::Builder) {});
    const auto seen = told.world(spec.reader(), "node-a", at(130), options);
    const auto place = seen.reader().getCandidates()[0];
    for (const std::int64_t mark : place.getHourlyNanoUsd()) marks.push_back(mark / cent);
    EXPECT_EQ(place.getPriceNanoUsdPerHour(), 7 * cent);
    EXPECT_EQ(str(place.getPriceEvent().getOrigin()), "n/test");
    return marks;
  };
  const Event newer = price(zone("a"), 7 * cent, 70);
  WorldState before, after;
  before.apply(newer);
  before.learn(answer.reader().getPrices()[0]);
  after.learn(answer.reader().getPrices()[0]);
  after.apply(newer);
  EXPECT_EQ(marks_after(before), (std::vector<std::int64_t>{7, 3, 3, 4, 5}));
  EXPECT_EQ(marks_after(after), marks_after(before));
}

TEST_F(WorldTest, RemembersTheNodesHeardOfLastAndNoMore) {
  WorldState remembered;
  const Event first = joined("node-first", zone("a"), 1);
  remembered.apply(first);
  for (std::size_t i = 0; i < world_entries_max; ++i) {
    if (i == world_entries_max / 2) remembered.apply(joined("node-often", zone("a"), 1));
    remembered.apply(joined(absl::StrCat("node-", i), zone("a"), 1));
  }
  EXPECT_EQ(remembered.nodes().size(), world_entries_max);
  EXPECT_FALSE(remembered.nodes().contains("node-first"));
  EXPECT_FALSE(remembered.nodes().contains("node-0"));
  EXPECT_TRUE(remembered.nodes().contains("node-often"));
  EXPECT_TRUE(remembered.nodes().contains(absl::StrCat("node-", world_entries_max - 1)));
}

}  // namespace
}  // namespace supercloud
