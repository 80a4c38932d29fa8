#include "actors/migration/node_directory.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace supercloud {
namespace {

using schema::Payload;

class NodeDirectoryTest : public testing::Test {
 protected:
  // Published `second`s after the beginning.
  Event event(int second, const std::function<void(Payload::Builder)>& fill) {
    Draft draft = pool.draft("subject");
    fill(draft.payload());
    EXPECT_TRUE(draft.set_topic().ok());
    Envelope envelope;
    envelope.origin = "n/test";
    envelope.incarnation = 1;
    envelope.sequence = ++sequence;
    envelope.time = HybridTime::at(absl::FromUnixSeconds(1'800'021'600 + second));
    return std::move(draft).seal(envelope).value();
  }
  Event beat(int second, const std::string& node, const std::string& instance = "") {
    return event(second, [&](Payload::Builder payload) {
      auto capacity = payload.initNodeCapacity();
      capacity.setNode(node);
      auto joined = capacity.initJoined();
      joined.setNode(node);
      joined.setInstance(instance);
      joined.initPlace().setId("here");
    });
  }
  Event left(int second, const std::string& node) {
    return event(second, [&](Payload::Builder payload) { payload.initNodeLeft().setNode(node); });
  }
  Event launched(int second, const std::string& instance, const std::string& node) {
    return event(second, [&](Payload::Builder payload) {
      auto launched = payload.initInstanceLaunched();
      launched.setInstance(instance);
      launched.setNode(node);
      launched.setLaunchedNs(second + 1);
    });
  }
  Event noticed(int second, const std::string& instance) {
    return event(second, [&](Payload::Builder payload) {
      payload.initSpotInterruptionNotice().setInstance(instance);
    });
  }
  Event revoked(int second, const std::string& instance) {
    return event(second, [&](Payload::Builder payload) {
      payload.initInstanceRevoked().setInstance(instance);
    });
  }
  Event returned(int second, const std::string& instance, const std::string& node = "") {
    return event(second, [&](Payload::Builder payload) {
      payload.initInstanceReturned().setInstance(instance);
      payload.getInstanceReturned().setNode(node);
    });
  }
  // "left", "noticed", "there": whatever order the events come in.
  static std::string state(std::vector<Event> events, const std::string& name) {
    const auto by_id = [](const Event& a, const Event& b) { return a.id() < b.id(); };
    std::sort(events.begin(), events.end(), by_id);
    std::string found;
    do {
      NodeDirectory nodes;
      for (const Event& event : events) EXPECT_TRUE(nodes.fold(event));
      const NodeFacts* node = nodes.find(name);
      const std::string now = node == nullptr ? "unknown"
                              : node->left    ? "left"
                              : node->noticed ? "noticed"
                                              : "there";
      if (found.empty()) found = now;
      EXPECT_EQ(now, found) << "depends on the order";
      EXPECT_EQ(nodes.at_place("here").size(), found == "there" ? 1U : 0U);
    } while (std::next_permutation(events.begin(), events.end(), by_id));
    return found;
  }

  EventPool pool;
  std::uint64_t sequence = 0;
};

TEST_F(NodeDirectoryTest, ANodeSharesTheFateOfTheInstanceThatItSaysItIsOn) {
  EXPECT_EQ(state({beat(1, "a", "i-1")}, "a"), "there");
  EXPECT_EQ(state({beat(1, "a", "i-1"), noticed(2, "i-1"), noticed(3, "i-2")}, "a"), "noticed");
  EXPECT_EQ(state({beat(1, "a", "i-1"), noticed(2, "i-1"), revoked(3, "i-1")}, "a"), "left");
  EXPECT_EQ(state({beat(1, "a", "i-1"), returned(3, "i-1")}, "a"), "left");
  EXPECT_EQ(state({beat(1, "a", "i-1"), revoked(3, "i-2")}, "a"), "there");
}

TEST_F(NodeDirectoryTest, ANodeThatWasThereFirstSharesTheFateOfTheInstanceLaunchedForIt) {
  EXPECT_EQ(state({beat(1, "a"), launched(2, "i-1", "a")}, "a"), "there");
  EXPECT_EQ(state({beat(1, "a"), launched(2, "i-1", "a"), noticed(3, "i-1")}, "a"), "noticed");
  EXPECT_EQ(state({beat(1, "a"), launched(2, "i-1", "a"), revoked(3, "i-1")}, "a"), "left");
  EXPECT_EQ(state({beat(1, "a"), launched(2, "i-1", "b"), revoked(3, "i-1")}, "a"), "there");
}

TEST_F(NodeDirectoryTest, AnEndSaysOnWhichNodeItWasForThoseWhoHeardOfNoLaunch) {
  EXPECT_EQ(state({beat(1, "a"), returned(3, "i-1", "a")}, "a"), "left");
  EXPECT_EQ(state({beat(1, "a"), returned(3, "i-1", "b")}, "a"), "there");
  EXPECT_EQ(state({beat(1, "a"), returned(2, "i-1", "a"), launched(3, "i-2", "a")}, "a"), "there");
}

TEST_F(NodeDirectoryTest, ALateBeatDoesNotBringBackWhatTheCloudHasTaken) {
  EXPECT_EQ(state({beat(1, "a"), launched(2, "i-1", "a"), revoked(3, "i-1"), beat(4, "a")}, "a"),
            "left");
  EXPECT_EQ(state({beat(1, "a", "i-1"), revoked(3, "i-1"), beat(4, "a", "i-1")}, "a"), "left");
}

TEST_F(NodeDirectoryTest, AHostThatIsRentedAgainIsBack) {
  EXPECT_EQ(
      state({beat(1, "a"), launched(2, "i-1", "a"), returned(3, "i-1"), launched(4, "i-2", "a")},
            "a"),
      "there");
}

TEST_F(NodeDirectoryTest, ANodeThatLeftAndJoinedAgainIsBack) {
  EXPECT_EQ(state({beat(1, "a"), left(2, "a")}, "a"), "left");
  EXPECT_EQ(state({beat(1, "a"), left(2, "a"), beat(3, "a")}, "a"), "there");
}

TEST_F(NodeDirectoryTest, KnowsWhetherWhatWasRentedIsTakenBack) {
  NodeDirectory directory;
  const auto rent = [&](const std::string& instance, const std::string& token) {
    directory.fold(event(1, [&](Payload::Builder payload) {
      auto launched = payload.initInstanceLaunched();
      launched.setInstance(instance);
      launched.setClientToken(token);
    }));
  };
  rent("i-1", "one");
  rent("i-2", "two");
  EXPECT_EQ(directory.taken_back("one"), std::nullopt);
  directory.fold(noticed(2, "i-1"));
  directory.fold(revoked(2, "i-2"));
  EXPECT_EQ(directory.taken_back("one"), "i-1");
  EXPECT_EQ(directory.taken_back("two"), "i-2");
  EXPECT_EQ(directory.taken_back("three"), std::nullopt);
}

TEST_F(NodeDirectoryTest, KnowsWhatOutlivesANodeUnderNotice) {
  NodeDirectory directory;
  const auto give_notice = [&](int second, const std::string& instance, const std::string& node) {
    directory.fold(event(second, [&](Payload::Builder payload) {
      auto launched = payload.initInstanceLaunched();
      launched.setInstance(instance);
      launched.setNode(node);
      launched.setClientToken("for " + node);
    }));
    directory.fold(beat(second, node, instance));
    directory.fold(event(second, [&](Payload::Builder payload) {
      auto notice = payload.initSpotInterruptionNotice();
      notice.setInstance(instance);
      notice.setNoticeNs(120'000'000'000);
    }));
  };
  directory.fold(beat(1, "calm"));
  give_notice(10, "i-1", "first");
  give_notice(11, "i-2", "second");
  const NodeFacts &calm = *directory.find("calm"), &first = *directory.find("first"),
                  &second = *directory.find("second");
  EXPECT_TRUE(calm.outlives(first));
  EXPECT_TRUE(second.outlives(first));
  EXPECT_FALSE(first.outlives(second));
  EXPECT_FALSE(second.outlives(calm)) << "who may stay goes to nothing that is taken";
  EXPECT_EQ(directory.rented("for second"), &second);
  EXPECT_EQ(directory.rented(""), nullptr);
  EXPECT_EQ(directory.taken_back("for second", &first), std::nullopt);
  EXPECT_EQ(directory.taken_back("for second", &calm), "i-2");
  EXPECT_EQ(directory.taken_back("for first", &second), "i-1");
  directory.fold(revoked(12, "i-2"));
  EXPECT_FALSE(second.outlives(first));
  EXPECT_EQ(directory.taken_back("for second", &first), "i-2");
}

}  // namespace
}  // namespace supercloud
