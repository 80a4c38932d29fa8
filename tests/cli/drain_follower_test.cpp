// What a person is told of a drain.
#include "cli/drain_follower.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace supercloud {
namespace {

using ::testing::HasSubstr;

class DrainFollowerTest : public ::testing::Test {
 protected:
  Event event(const std::string& subject, std::uint64_t time,
              const std::function<void(schema::Payload::Builder)>& fill,
              const EventId& migration = {}) {
    Draft draft = pool_.draft(subject);
    fill(draft.payload());
    if (!migration.empty()) draft.migration(migration);
    EXPECT_TRUE(draft.set_topic().ok());
    const auto sealed = std::move(draft).seal(
        {.origin = "b/executor", .incarnation = 1, .sequence = ++sequence_, .time = {time}});
    EXPECT_TRUE(sealed.ok());
    return *sealed;
  }
  Event draining(std::uint64_t time, std::uint32_t guests = 2) {
    return event("b", time, [&](auto payload) {
      auto said = payload.initNodeDraining();
      said.setNode("b");
      said.setGuests(guests);
    });
  }
  Event drained(std::uint64_t time) {
    return event("b", time, [](auto payload) { payload.initNodeDrained().setNode("b"); });
  }
  Event proposed(const std::string& from) {
    return event("web1", 20, [&](auto payload) {
      auto said = payload.initMigrationProposed();
      said.setSourceNode(from);
      said.setTargetNode("c");
    });
  }

  EventPool pool_;
  DrainFollower follower_{"b"};
  std::uint64_t sequence_ = 0;
};

TEST_F(DrainFollowerTest, ends_when_the_node_is_empty) {
  EXPECT_THAT(follower_.fold(draining(10)), HasSubstr("b is to be empty"));
  EXPECT_FALSE(follower_.outcome());
  follower_.fold(drained(11));
  ASSERT_TRUE(follower_.outcome());
  EXPECT_TRUE(follower_.outcome()->drained);
}

TEST_F(DrainFollowerTest, what_was_said_before_it_began_is_of_another_drain) {
  const Event old_drained = drained(5);
  const Event old_end =
      event("b", 6, [](auto payload) { payload.initNodeUndrained().setNode("b"); });
  const Event begins = draining(10);
  follower_.fold(begins);
  // As the logs tell it, in their order.
  for (const Event& said : {old_drained, old_end, begins}) follower_.fold(said);
  EXPECT_FALSE(follower_.outcome());
}

TEST_F(DrainFollowerTest, a_node_that_has_to_move_guests_again_is_not_empty_any_more) {
  follower_.fold(draining(10));
  follower_.fold(drained(11));
  follower_.fold(draining(12, 1));
  EXPECT_FALSE(follower_.outcome());
}

TEST_F(DrainFollowerTest, a_restart_of_the_node_does_not_end_it_and_undrain_does) {
  follower_.fold(draining(10));
  EXPECT_NE(
      follower_.fold(event("b", 11, [](auto payload) { payload.initNodeLeft().setNode("b"); })),
      "");
  EXPECT_FALSE(follower_.outcome());
  follower_.fold(event("b", 12, [](auto payload) { payload.initNodeUndrained().setNode("b"); }));
  ASSERT_TRUE(follower_.outcome());
  EXPECT_FALSE(follower_.outcome()->drained);
}

TEST_F(DrainFollowerTest, tells_who_is_on_the_way_from_that_node_and_how_far) {
  follower_.fold(draining(10, 3));
  EXPECT_EQ(follower_.fold(proposed("a")), "");
  EXPECT_FALSE(follower_.any_on_the_way());
  const Event begun = proposed("b");
  EXPECT_NE(follower_.fold(begun), "");
  follower_.fold(event(
      "web1", 21, [](auto payload) { payload.initMigrationProgress().setPercent(45); },
      begun.id()));
  EXPECT_EQ(follower_.status(79), "1 guest on the way: main/web1 45 %; 2 more");
  EXPECT_EQ(follower_.status(10), "1 guest on");
  EXPECT_NE(follower_.fold(event(
                "web1", 22, [](auto payload) { payload.initMigrationCompleted(); }, begun.id())),
            "");
  EXPECT_FALSE(follower_.any_on_the_way());
}

TEST_F(DrainFollowerTest, who_cannot_leave_is_told_with_the_cure) {
  follower_.fold(event("b", 10, [](auto payload) {
    auto said = payload.initNodeDraining();
    said.setNode("b");
    auto check = said.initStays(1)[0];
    check.setName("main/web1");
    check.setDetail("c: it has no room");
    check.setCure("make room");
  }));
  EXPECT_EQ(follower_.stays(), "main/web1: c: it has no room; make room");
}

}  // namespace
}  // namespace supercloud
