// What a person is told of a migration under way.
#include "cli/migration_follower.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace supercloud {
namespace {

using ::testing::HasSubstr;

const EventId id{"node-1/executor", 1, 10};

class Follower : public ::testing::Test {
 protected:
  std::string tell(const EventId& migration,
                   const std::function<void(schema::Payload::Builder)>& fill) {
    Draft draft = pool_.draft("web1");
    fill(draft.payload());
    draft.migration(migration);
    EXPECT_TRUE(draft.set_topic().ok());
    const auto event = std::move(draft).seal(
        {.origin = "node-1/executor", .incarnation = 1, .sequence = ++sequence_, .time = {1}});
    EXPECT_TRUE(event.ok());
    last_ = *event;
    return follower_.fold(*event);
  }

  EventPool pool_;
  MigrationFollower follower_{id};
  Event last_;
  std::uint64_t sequence_ = 10;
};

TEST_F(Follower, hears_only_of_its_own_migration) {
  EXPECT_EQ(tell({"node-1/executor", 1, 9}, [](auto payload) { payload.initMigrationAborted(); }),
            "");
  EXPECT_FALSE(follower_.outcome());
}

TEST_F(Follower, ends_with_what_was_reached_and_tells_an_event_once) {
  EXPECT_THAT(tell(id,
                   [](auto payload) {
                     auto accepted = payload.initMigrationAccepted();
                     accepted.setSource("node-1");
                     accepted.setTarget("node-2");
                     accepted.setDeadlineNs(30'000'000'000);
                   }),
              HasSubstr("from node-1 to node-2, within 30.0 s"));
  EXPECT_EQ(follower_.fold(last_), "");
  tell(id, [](auto payload) {
    auto progress = payload.initMigrationProgress();
    progress.setPercent(45);
    progress.setStage("pre-copy");
    progress.setEtaLowMs(2000);
    progress.setEtaHighMs(4500);
  });
  ASSERT_TRUE(follower_.step());
  EXPECT_EQ(progress_bar("web1", *follower_.step(), 79).substr(0, 7), "web1  [");
  EXPECT_THAT(progress_bar("web1", *follower_.step(), 79),
              HasSubstr("45 %  pre-copy, 2 to 5 s left"));
  EXPECT_LE(progress_bar("web1", *follower_.step(), 12).size(), 12U);
  tell(id, [](auto payload) {
    auto completed = payload.initMigrationCompleted();
    completed.setSource("node-1");
    completed.setTarget("node-2");
    completed.setTotalMs(1500);
    completed.setBlackoutMs(12.5);
  });
  ASSERT_TRUE(follower_.outcome());
  EXPECT_EQ(follower_.outcome()->how, "completed");
  EXPECT_THAT(follower_.outcome()->what,
              HasSubstr("from node-1 to node-2 in 1.5 s, the guest stood still for 12.5 ms"));
}

TEST_F(Follower,
       waits_no_longer_than_the_deadline_and_a_margin_first_of_the_proposal_then_of_the_move) {
  const Instant start{};
  const Duration margin = FollowLimit::margin;
  FollowLimit limit(start, absl::Seconds(60));
  limit.look(follower_, start + absl::Seconds(1));
  EXPECT_FALSE(limit.passed(start + absl::Seconds(59) + margin));
  EXPECT_TRUE(limit.passed(start + absl::Seconds(60) + margin));

  tell(id, [](auto payload) { payload.initMigrationAccepted().setDeadlineNs(100'000'000'000); });
  limit.look(follower_, start + absl::Seconds(10));
  limit.look(follower_, start + absl::Seconds(50));  // the first look counts
  EXPECT_FALSE(limit.passed(start + absl::Seconds(109) + margin));
  EXPECT_TRUE(limit.passed(start + absl::Seconds(110) + margin));
  EXPECT_THAT(follower_.last(), HasSubstr("accepted"));
}

TEST_F(Follower, says_every_check_of_a_refusal) {
  tell(id, [](auto payload) {
    auto failures = payload.initMigrationRefused().initFailures(2);
    failures[0].setName("room");
    failures[0].setDetail("64 MiB are free");
    failures[1].setName("labels");
    failures[1].setDetail("trust is low");
    failures[1].setCure("choose another place");
  });
  ASSERT_TRUE(follower_.outcome());
  EXPECT_EQ(follower_.outcome()->what,
            "room: 64 MiB are free\nlabels: trust is low; choose another place");
}

}  // namespace
}  // namespace supercloud
