// Who is named, where the test says whose queue is full.
#include "bus/slow_subscribers.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bus/zmq_wire.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::uint64_t queue = 100;

class SlowSubscribersTest : public testing::Test {
 protected:
  static std::string marker_of(const std::string& name) {
    return absl::StrCat(absl_view(marker_lead), name, "/1/1/");
  }
  void join(const std::string& name) { slow_.answered(marker_of(name), ""); }
  // What was looked at when nobody was found.
  std::set<std::string> looked_at() {
    sent_.clear();
    slow_.denied(1);
    return sent_;
  }
  // What has been told by then; it is told at once the first time.
  std::map<std::string, std::uint64_t> told() {
    loop_.run_until([this] { return !told_.empty(); }, absl::Seconds(20));
    return told_;
  }

  EventLoop loop_;
  std::set<std::string, std::less<>> full_;
  std::size_t looks_ = 0;
  std::vector<std::string> losers_;  // who were told
  bool news_ = false;
  std::set<std::string> sent_;
  std::map<std::string, std::uint64_t> told_;
  SlowSubscribers slow_{
      loop_,
      queue,
      {.send =
           [this](std::string_view topic, std::string_view message) {
             if (topic == marker_lead) ++looks_;
             sent_.emplace(topic);
             const bool room = full_.count(topic) == 0;
             if (room && message == loss_sign) losers_.emplace_back(topic);
             return room;
           },
       .send_lossy = [](std::string_view, std::string_view) {},
       .had_news = [this] { return std::exchange(news_, false); }},
      [this](const std::string& name, std::uint64_t backlog) { told_[name] += backlog; }};
};

TEST_F(SlowSubscribersTest, who_is_full_is_named_with_its_backlog_and_nobody_else) {
  join("a");
  join("b");
  full_ = {marker_of("b")};
  EXPECT_TRUE(slow_.denied(3));
  EXPECT_TRUE(slow_.denied(4));
  EXPECT_EQ(told(), (std::map<std::string, std::uint64_t>{{"b", queue + 7}}));
}

TEST_F(SlowSubscribersTest, who_has_room_again_is_not_taken_for_somebody_without_a_name) {
  join("a");
  EXPECT_FALSE(slow_.denied(3));
  full_ = {marker_of("a")};
  EXPECT_TRUE(slow_.denied(3)) << "it was sent again";
  EXPECT_EQ(told(), (std::map<std::string, std::uint64_t>{{"a", queue + 3}}));
}

TEST_F(SlowSubscribersTest,
       who_has_lost_something_is_told_when_it_may_have_room_until_it_has_asked) {
  const std::string next = absl::StrCat(absl_view(marker_lead), "a/1/2/");
  const auto told_with_news = [this] {
    losers_.clear();
    news_ = true;
    const bool nobody = slow_.tell_losers();
    EXPECT_EQ(nobody, losers_.empty());
    return losers_;
  };
  join("a");
  join("b");
  EXPECT_TRUE(slow_.tell_losers());
  full_ = {marker_of("a")};
  EXPECT_TRUE(slow_.denied(1));
  full_.clear();
  EXPECT_FALSE(slow_.tell_losers());
  EXPECT_TRUE(losers_.empty()) << "nothing is new";
  EXPECT_EQ(told_with_news(), std::vector<std::string>{marker_of("a")});
  slow_.answered(next, "");
  EXPECT_EQ(told_with_news(), std::vector<std::string>{marker_of("a")}) << "it may not have come";
  slow_.let_go(marker_of("a"), "");
  EXPECT_TRUE(told_with_news().empty());
}

TEST_F(SlowSubscribersTest, who_has_no_marker_is_told_without_a_name) {
  join("a");
  EXPECT_FALSE(slow_.denied(3));
  slow_.lost(3);
  EXPECT_EQ(told(), (std::map<std::string, std::uint64_t>{{"", 3}}));
}

TEST_F(SlowSubscribersTest, what_was_lost_while_nobody_was_found_is_of_who_lost_something_before) {
  join("a");
  join("b");
  full_ = {marker_of("a")};
  EXPECT_TRUE(slow_.denied(3));
  full_.clear();
  EXPECT_FALSE(slow_.denied(4));
  slow_.lost(4);
  EXPECT_EQ(told(), (std::map<std::string, std::uint64_t>{{"a", queue + 7}}));
}

TEST_F(SlowSubscribersTest, who_subscribes_everything_hides_nobody) {
  join("a");
  full_ = {std::string(marker_lead), marker_of("a")};
  EXPECT_TRUE(slow_.denied(3));
  EXPECT_EQ(told(), (std::map<std::string, std::uint64_t>{{"", 3}, {"a", queue + 3}}));
}

TEST_F(SlowSubscribersTest, more_than_can_be_looked_at_is_of_those_who_were_full_then) {
  join("a");
  join("b");
  full_ = {marker_of("a")};
  constexpr std::uint64_t many = 4 * SlowSubscribers::messages_max;
  for (std::uint64_t i = 0; i < many; ++i) ASSERT_TRUE(slow_.denied(1));
  EXPECT_LT(looks_, many);
  EXPECT_EQ(told(), (std::map<std::string, std::uint64_t>{{"a", queue + many}}));
}

TEST_F(SlowSubscribersTest, a_marker_is_looked_at_when_it_is_known_to_be_answered) {
  join("a");
  const std::string next = absl::StrCat(absl_view(marker_lead), "a/1/2/");
  full_ = {marker_of("a")};
  EXPECT_TRUE(slow_.denied(1));
  full_.clear();
  slow_.answered(next, "");
  EXPECT_TRUE(looked_at().contains(marker_of("a")));
  EXPECT_FALSE(looked_at().contains(next)) << "its answer may have found no room";
  slow_.let_go(marker_of("a"), "");
  EXPECT_TRUE(looked_at().contains(next)) << "it has come: the one before was let go";
}

TEST_F(SlowSubscribersTest, so_is_the_first_of_somebody_when_it_was_not_asked_for_again) {
  full_ = {marker_of("a")};
  join("a");
  EXPECT_TRUE(slow_.denied(1));
  const Instant before = loop_.clock().now();
  join("late");
  EXPECT_FALSE(looked_at().contains(marker_of("late")));
  ASSERT_TRUE(
      loop_.run_until([&] { return looked_at().contains(marker_of("late")); }, absl::Seconds(20)));
  EXPECT_GE(loop_.clock().now() - before, SlowSubscribers::sure_after);
}

TEST_F(SlowSubscribersTest, what_somebody_lost_who_is_gone_is_told_without_a_name) {
  join("a");
  full_ = {marker_of("a")};
  EXPECT_TRUE(slow_.denied(3));
  slow_.let_go(marker_of("a"), "");
  EXPECT_EQ(told(), (std::map<std::string, std::uint64_t>{{"", 3}}));
}

}  // namespace
}  // namespace supercloud
