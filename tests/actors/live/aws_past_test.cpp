// The two weeks before the first price, which policies reckon with.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/actors/live/aws_world.h"

namespace supercloud {
namespace {

constexpr int days = 14;
constexpr int polls = 15;  // of a day each, which overlap by 15 minutes

class AwsPastTest : public AwsFeedTest {
 protected:
  AwsPastTest() { options.history = AwsFeedOptions().history; }

  // An hour after poll `i` begins, zone a has this price.
  absl::Time begin_of(int i) const {
    return start - absl::Hours(24 * days) + i * (options.window_max - options.overlap);
  }
  absl::Time change_of(int i) const { return begin_of(i) + absl::Hours(1); }
  static std::string usd(int i) { return absl::StrCat("0.", 100 + i); }
  static Money money(int i) { return Money{(100 + i) * std::int64_t{1'000'000}}; }

  // As AWS does: newest first, and last what was in force as the poll begins. Zone b has never changed.
  std::vector<AwsItem> items_of(int i) const {
    std::vector<AwsItem> items = {{"us-east-1a", usd(i), change_of(i)}};
    if (i > 0) items.push_back({"us-east-1a", usd(i - 1), change_of(i - 1)});
    items.push_back({"us-east-1b", "0.5", begin_of(0) - absl::Hours(5)});
    return items;
  }
  void answer_poll(int i) { server.answer(http_answer(200, aws_xml(items_of(i)))); }
  // The present, and then the past of both zones.
  void expect_all() {
    EXPECT_EQ(next_text(),
              "aws/us-east-1/us-east-1b/r3.large/spot 500000000 @" +
                  absl::StrCat(absl::ToInt64Seconds(begin_of(0) - absl::Hours(5) - start)));
    const auto newest = next();
    ASSERT_TRUE(newest.ok()) << newest.status();
    EXPECT_EQ(newest->usd_per_hour, money(polls - 1));
    EXPECT_EQ(newest->since, change_of(polls - 1));
    const auto past = feed->take_past(newest->place);
    ASSERT_TRUE(past.has_value());
    EXPECT_FALSE(feed->take_past(newest->place).has_value()) << "once";
    const std::vector<Money> marks = past->until(start);
    // The first is at the first change; each change is at a quarter of an hour, so that its price has the next mark.
    ASSERT_EQ(marks.size(), 24U * days);
    for (std::size_t i = 0; i < marks.size(); ++i) {
      const absl::Time mark = start - absl::Hours(i);
      int holds = 0;
      while (holds + 1 < polls && change_of(holds + 1) <= mark) ++holds;
      EXPECT_EQ(marks[i], money(holds)) << i << " hours ago";
    }
    PlaceName b = newest->place;
    b.zone = "us-east-1b";
    const auto constant = feed->take_past(b);
    ASSERT_TRUE(constant.has_value());
    EXPECT_EQ(constant->until(start),
              std::vector<Money>(HourlyPrices::marks_max, Money{500'000'000}));
  }
};

TEST_F(AwsPastTest, IsAskedForADayAtATimeAndIsNoNews) {
  make();
  EXPECT_TRUE(feed->looks_back());
  // A day of two pages.
  const std::vector<AwsItem> first = items_of(0);
  server.answer(http_answer(200, aws_xml({first[0]}, "two")));
  server.answer(http_answer(200, aws_xml({first[1]})));
  for (int i = 1; i < polls; ++i) answer_poll(i);
  expect_all();
  ASSERT_EQ(server.seen().size(), polls + 1U);
  EXPECT_EQ(field_of(0, "StartTime"), "2025-12-18T00%3A00%3A00Z");
  EXPECT_EQ(field_of(1, "NextToken"), "two");
  EXPECT_EQ(field_of(2, "StartTime"), "2025-12-18T23%3A45%3A00Z");
  EXPECT_EQ(field("EndTime"), "2026-01-01T00%3A00%3A00Z");
  ask();
  time.run_for(options.poll.every - absl::Seconds(1));
  EXPECT_EQ(sent.size(), polls + 1U) << "too early";
  poll(aws_xml({{"us-east-1a", "0.9", at(100)}}));
  EXPECT_EQ(text_of(*told), a(900'000'000, 100)) << "news, as ever";
}

TEST_F(AwsPastTest, GoesOnAfterThrottlingAndOutagesWhereItWas) {
  make();
  for (int i = 0; i < 5; ++i) answer_poll(i);
  server.answer(http_answer(503, aws_error("RequestLimitExceeded", "Request limit exceeded.")));
  EXPECT_TRUE(absl::IsUnavailable(next().status()));
  for (int i = 5; i < 9; ++i) answer_poll(i);
  // Half an answer, and nobody there for an hour.
  server.answer_and_close(http_answer(200, aws_xml(items_of(9))).substr(0, 200));
  ask();
  time.run_for(options.poll.pause);
  ASSERT_TRUE(settle());
  EXPECT_TRUE(absl::IsUnavailable(told->status())) << told->status();
  const std::string where = field("StartTime");
  server.stop();
  for (int i = 0; i < 8; ++i) {
    ask();
    time.run_for(options.poll.pause_max);
    ASSERT_TRUE(settle());
    ASSERT_TRUE(absl::IsUnavailable(told->status())) << told->status();
  }
  server.start();
  const std::size_t seen = server.seen().size();
  for (int i = 9; i < polls; ++i) answer_poll(i);
  ask();
  time.run_for(options.poll.pause_max);
  ASSERT_TRUE(settle());
  EXPECT_EQ(field_of(seen, "StartTime"), where);
  EXPECT_EQ(told->value().place.zone, "us-east-1b");
  const auto newest = next();
  ASSERT_TRUE(newest.ok()) << newest.status();
  EXPECT_EQ(newest->since, change_of(polls - 1));
  EXPECT_EQ(feed->take_past(newest->place)->until(start).size(), 24U * days);
}

TEST_F(AwsPastTest, IsAskedForAgainByWhoStartsAnew) {
  make();
  for (int i = 0; i < 5; ++i) answer_poll(i);
  ask();
  ASSERT_TRUE(loop.run_until([&] { return server.seen().size() == 6; }, patience));
  feed.reset();
  EXPECT_FALSE(told);
  make();
  const std::size_t seen = server.seen().size();
  for (int i = 0; i < polls; ++i) answer_poll(i);
  expect_all();
  EXPECT_EQ(field_of(seen, "StartTime"), "2025-12-18T00%3A00%3A00Z");
}

TEST_F(AwsPastTest, ThatIsEmptyIsNoMistakeWhereThePresentIsNot) {
  make();
  for (int i = 0; i + 1 < polls; ++i) server.answer(http_answer(200, aws_xml({})));
  answer_poll(polls - 1);
  EXPECT_EQ(next()->place.zone, "us-east-1b");
  make();
  for (int i = 0; i < polls; ++i) server.answer(http_answer(200, aws_xml({})));
  EXPECT_TRUE(absl::IsFailedPrecondition(next().status())) << "nothing at all is one";
}

}  // namespace
}  // namespace supercloud
