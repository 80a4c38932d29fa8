// Links in memory: order, delay, blocked ways, closing.
#include "core/memory_link.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/random.h"
#include "core/virtual_scheduler.h"

namespace supercloud {
namespace {

class MemoryLinkTest : public testing::Test {
 protected:
  void listen() {
    ASSERT_TRUE(b_->listen("pages", [this](std::unique_ptr<Link> link) {
                    accepted_ = std::move(link);
                    accepted_->set_handler(
                        {[this](std::string frame) { got_.push_back(std::move(frame)); },
                         [this](absl::Status why) { accepted_closed_ = std::move(why); }});
                  }).ok());
  }
  std::unique_ptr<Link> connect(const std::string& service = "pages") {
    auto link = a_->connect(b_->endpoint(), service);
    link->set_handler({[](std::string) {}, [this](absl::Status why) { closed_ = std::move(why); }});
    return link;
  }
  void run(Duration span) { scheduler_.run_for(span); }

  VirtualScheduler scheduler_;
  Random random_{7};  // ahead of the hub, which asks for delays as long as it lives
  MemoryLinkHub hub_{scheduler_};
  std::unique_ptr<LinkNetwork> a_ = hub_.network("a", scheduler_);
  std::unique_ptr<LinkNetwork> b_ = hub_.network("b", scheduler_);
  std::unique_ptr<Link> accepted_;
  std::vector<std::string> got_;
  absl::Status closed_, accepted_closed_;
};

TEST_F(MemoryLinkTest, frames_arrive_in_order_though_their_delays_differ) {
  listen();
  hub_.set_delay([this](const std::string&, const std::string&, std::size_t) {
    return absl::Microseconds(random_.between(10, 5000));
  });
  auto link = connect();
  std::vector<std::string> sent;
  for (int i = 0; i < 50; ++i) {
    sent.push_back(std::to_string(i));
    link->send(sent.back());
  }
  EXPECT_GT(link->backlog(), 0U);
  run(absl::Seconds(1));
  EXPECT_EQ(got_, sent);
  EXPECT_EQ(link->backlog(), 0U);
}

TEST_F(MemoryLinkTest, frames_wait_until_a_handler_is_set) {
  std::unique_ptr<Link> early;
  ASSERT_TRUE(
      b_->listen("pages", [&](std::unique_ptr<Link> link) { early = std::move(link); }).ok());
  auto link = connect();
  link->send("first");
  run(absl::Seconds(1));
  ASSERT_NE(early, nullptr);
  early->set_handler(
      {[this](std::string frame) { got_.push_back(std::move(frame)); }, [](absl::Status) {}});
  run(absl::Milliseconds(1));
  EXPECT_EQ(got_, std::vector<std::string>{"first"});
}

TEST_F(MemoryLinkTest, a_connection_to_nobody_is_closed_with_the_reason) {
  auto link = connect("blocks");
  run(absl::Seconds(1));
  EXPECT_TRUE(absl::IsUnavailable(closed_)) << closed_;
  EXPECT_NE(closed_.message().find("blocks"), std::string::npos);
}

TEST_F(MemoryLinkTest, an_endpoint_of_another_kind_is_refused) {
  auto link = a_->connect("tcp://127.0.0.1:1", "pages");
  link->set_handler({nullptr, [this](absl::Status why) { closed_ = std::move(why); }});
  run(absl::Milliseconds(1));
  EXPECT_TRUE(absl::IsInvalidArgument(closed_)) << closed_;
}

TEST_F(MemoryLinkTest, a_short_blockade_only_delays) {
  listen();
  bool blocked = true;
  hub_.set_blocked(
      [&](const std::string& from, const std::string&) { return blocked && from == "a"; });
  auto link = connect();
  link->send("late");
  run(absl::Seconds(3));
  EXPECT_TRUE(got_.empty());
  blocked = false;
  run(absl::Seconds(1));
  EXPECT_EQ(got_, std::vector<std::string>{"late"});
  EXPECT_TRUE(closed_.ok());
}

TEST_F(MemoryLinkTest, a_long_blockade_closes_both_ends) {
  listen();
  bool blocked = false;
  hub_.set_blocked(
      [&](const std::string& from, const std::string&) { return blocked && from == "b"; });
  auto link = connect();
  run(absl::Seconds(1));
  ASSERT_NE(accepted_, nullptr);
  blocked = true;
  accepted_->send("never");
  run(absl::Seconds(10));
  EXPECT_TRUE(absl::IsUnavailable(closed_)) << closed_;
  EXPECT_TRUE(absl::IsUnavailable(accepted_closed_)) << accepted_closed_;
}

TEST_F(MemoryLinkTest, destroying_one_end_closes_the_other_after_what_was_sent) {
  listen();
  auto link = connect();
  link->send("last words");
  link.reset();
  run(absl::Seconds(1));
  EXPECT_EQ(got_, std::vector<std::string>{"last words"});
  EXPECT_TRUE(absl::IsUnavailable(accepted_closed_));
}

TEST_F(MemoryLinkTest, a_reset_closes_both_ends_and_nothing_arrives_after) {
  listen();
  auto link = connect();
  run(absl::Seconds(1));
  link->send("lost");
  hub_.reset("b", "a");
  run(absl::Seconds(1));
  EXPECT_TRUE(got_.empty());
  EXPECT_TRUE(absl::IsUnavailable(closed_));
  EXPECT_TRUE(absl::IsUnavailable(accepted_closed_));
}

TEST_F(MemoryLinkTest, a_handler_may_destroy_its_own_link) {
  std::unique_ptr<Link> echo;
  ASSERT_TRUE(b_->listen("pages", [&](std::unique_ptr<Link> link) {
                  echo = std::move(link);
                  echo->set_handler({[&](std::string) { echo.reset(); }, nullptr});
                }).ok());
  auto link = connect();
  link->send("go");
  link->send("away");
  run(absl::Seconds(1));
  EXPECT_EQ(echo, nullptr);
  EXPECT_TRUE(absl::IsUnavailable(closed_));
}

TEST_F(MemoryLinkTest, a_node_that_ended_can_come_back_under_its_name) {
  listen();
  b_.reset();
  auto link = a_->connect("memory:b", "pages");
  link->set_handler({nullptr, [this](absl::Status why) { closed_ = std::move(why); }});
  run(absl::Seconds(1));
  EXPECT_TRUE(absl::IsUnavailable(closed_));
  b_ = hub_.network("b", scheduler_);
  listen();
  auto again = connect();
  again->send("hello");
  run(absl::Seconds(1));
  EXPECT_EQ(got_, std::vector<std::string>{"hello"});
}

}  // namespace
}  // namespace supercloud
