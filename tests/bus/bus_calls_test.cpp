// What every implementation of the Bus seam promises about requests that take long: how far they are, and that nobody waits any more.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "tests/bus/bus_conformance.h"

namespace supercloud {
namespace {

class BusCalls : public BusConformance {
 protected:
  // One request to "far" of b, and what its asker hears.
  struct Asked {
    std::vector<Progress> heard;
    std::vector<absl::StatusOr<std::string>> answers;
    std::shared_ptr<Call> call;
  };
  std::unique_ptr<Asked> ask_far(BusProcess& from, const std::string& to, const std::string& what,
                                 Instant deadline = far_future) {
    auto asked = std::make_unique<Asked>();
    asked->call = std::make_shared<Call>(
        [raw = asked.get()](const Progress& progress) { raw->heard.push_back(progress); });
    from.bus->request({to, "far"}, what,
                      Reply<std::string>(
                          deadline,
                          [raw = asked.get()](absl::StatusOr<std::string> answer) {
                            raw->answers.push_back(std::move(answer));
                          },
                          asked->call));
    return asked;
  }
  void tell(BusProcess& at, const std::string& what, std::uint64_t done) {
    const std::shared_ptr<Call> call = at.kept.at(what).call();
    ASSERT_NE(call, nullptr);
    call->tell({done, 10, "step " + std::to_string(done)});
  }
  bool is_kept(BusProcess& at, const std::string& what) {
    return run_until([&] { return at.kept.contains(what); });
  }
  // Whatever `from` said to `to` before has come.
  void settle(BusProcess& from, const std::string& to) {
    EXPECT_TRUE(ask(from, {to, "echo"}, "settled").ok());
  }

  std::unique_ptr<BusProcess> a_ = world_->start("a"), b_ = world_->start("b");
};

TEST_P(BusCalls, how_far_a_request_is_is_heard_in_order_and_the_newest_at_last) {
  meet(*a_, *b_);
  const auto asked = ask_far(*a_, "b", "x");
  ASSERT_TRUE(is_kept(*b_, "x"));
  for (std::uint64_t done = 1; done <= 5; ++done) tell(*b_, "x", done);
  const Progress fifth{5, 10, "step 5"};
  ASSERT_TRUE(run_until([&] { return !asked->heard.empty() && asked->heard.back() == fifth; }));
  tell(*b_, "x", 6);
  tell(*b_, "x", 7);
  const Progress seventh{7, 10, "step 7"};
  ASSERT_TRUE(run_until([&] { return asked->heard.back() == seventh; }));
  EXPECT_TRUE(std::ranges::is_sorted(asked->heard, {}, &Progress::done));
  EXPECT_TRUE(asked->answers.empty());
  b_->kept.at("x")("there");
  ASSERT_TRUE(run_until([&] { return !asked->answers.empty(); }));
  ASSERT_EQ(asked->answers.size(), 1U);
  ASSERT_TRUE(asked->answers[0].ok()) << asked->answers[0].status();
  EXPECT_EQ(*asked->answers[0], "there");
}

TEST_P(BusCalls, two_requests_hear_each_of_itself) {
  meet(*a_, *b_);
  const auto one = ask_far(*a_, "b", "one"), other = ask_far(*a_, "b", "other");
  ASSERT_TRUE(is_kept(*b_, "one"));
  ASSERT_TRUE(is_kept(*b_, "other"));
  tell(*b_, "one", 1);
  tell(*b_, "other", 2);
  ASSERT_TRUE(run_until([&] { return !one->heard.empty() && !other->heard.empty(); }));
  EXPECT_EQ(one->heard, std::vector({Progress{1, 10, "step 1"}}));
  EXPECT_EQ(other->heard, std::vector({Progress{2, 10, "step 2"}}));
}

TEST_P(BusCalls, who_cancels_is_answered_at_once_and_who_answers_is_told_once) {
  meet(*a_, *b_);
  const auto asked = ask_far(*a_, "b", "x"), other = ask_far(*a_, "b", "y");
  ASSERT_TRUE(is_kept(*b_, "x"));
  ASSERT_TRUE(is_kept(*b_, "y"));
  asked->call->cancel();
  ASSERT_EQ(asked->answers.size(), 1U) << "nobody is waited for";
  EXPECT_TRUE(absl::IsCancelled(asked->answers[0].status())) << asked->answers[0].status();
  ASSERT_TRUE(run_until([&] { return b_->cancelled["x"] > 0; }));
  asked->call->cancel();
  b_->kept.at("x")("too late");
  tell(*b_, "x", 1);
  settle(*a_, "b");
  EXPECT_EQ(b_->cancelled["x"], 1);
  EXPECT_EQ(b_->cancelled["y"], 0);
  EXPECT_EQ(asked->answers.size(), 1U);
  EXPECT_TRUE(asked->heard.empty());
  b_->kept.at("y")("y is there");
  ASSERT_TRUE(run_until([&] { return !other->answers.empty(); }));
  EXPECT_TRUE(other->answers[0].ok()) << other->answers[0].status();
}

TEST_P(BusCalls, what_is_cancelled_before_it_leaves_never_arrives) {
  meet(*a_, *b_);
  auto call = std::make_shared<Call>();
  call->cancel();
  std::optional<absl::Status> answer;
  a_->bus->request(
      {"b", "far"}, "x",
      Reply<std::string>(far_future, [&](const auto& value) { answer = value.status(); }, call));
  ASSERT_TRUE(run_until([&] { return answer.has_value(); }));
  EXPECT_TRUE(absl::IsCancelled(*answer)) << *answer;
  settle(*a_, "b");
  EXPECT_EQ(b_->served["x"], 0);
}

TEST_P(BusCalls, when_the_deadline_passes_who_answers_is_told_that_nobody_waits) {
  meet(*a_, *b_);
  const auto asked =
      ask_far(*a_, "b", "x", world_->scheduler().clock().now() + absl::Milliseconds(300));
  ASSERT_TRUE(is_kept(*b_, "x"));
  ASSERT_TRUE(run_until([&] { return !asked->answers.empty(); }));
  EXPECT_TRUE(absl::IsDeadlineExceeded(asked->answers[0].status())) << asked->answers[0].status();
  ASSERT_TRUE(run_until([&] { return b_->cancelled["x"] > 0; }));
  settle(*a_, "b");
  EXPECT_EQ(b_->cancelled["x"], 1);
  EXPECT_EQ(asked->answers.size(), 1U);
}

TEST_P(BusCalls, to_cancel_what_is_answered_does_nothing) {
  meet(*a_, *b_);
  const auto asked = ask_far(*a_, "b", "x");
  ASSERT_TRUE(is_kept(*b_, "x"));
  b_->kept.at("x")("there");
  ASSERT_TRUE(run_until([&] { return !asked->answers.empty(); }));
  asked->call->cancel();
  settle(*a_, "b");
  EXPECT_EQ(b_->cancelled["x"], 0);
  EXPECT_EQ(asked->answers.size(), 1U);
}

TEST_P(BusCalls, a_process_that_asks_itself_hears_how_far_it_is_and_cancels) {
  const auto asked = ask_far(*a_, "a", "x");
  ASSERT_TRUE(is_kept(*a_, "x"));
  tell(*a_, "x", 1);
  ASSERT_TRUE(run_until([&] { return !asked->heard.empty(); }));
  EXPECT_EQ(asked->heard.back().done, 1U);
  asked->call->cancel();
  ASSERT_TRUE(run_until([&] { return a_->cancelled["x"] > 0; }));
  EXPECT_EQ(a_->cancelled["x"], 1);
  ASSERT_EQ(asked->answers.size(), 1U);
  EXPECT_TRUE(absl::IsCancelled(asked->answers[0].status())) << asked->answers[0].status();
}

// Found by AddressSanitizer, where it is not so.
TEST_P(BusCalls, what_is_told_after_the_end_of_the_bus_that_asked_itself_goes_nowhere) {
  const auto asked = ask_far(*a_, "a", "x");
  ASSERT_TRUE(is_kept(*a_, "x"));
  tell(*a_, "x", 1);
  ASSERT_TRUE(run_until([&] { return !asked->heard.empty(); }));
  a_->bus.reset();
  tell(*a_, "x", 2);
  EXPECT_EQ(asked->heard, std::vector({Progress{1, 10, "step 1"}}));
}

TEST_P(BusCalls, who_wants_neither_is_answered_as_ever) {
  meet(*a_, *b_);
  std::optional<absl::StatusOr<std::string>> answer;
  a_->bus->request({"b", "far"}, "x",
                   Reply<std::string>(far_future, [&](const auto& value) { answer = value; }));
  ASSERT_TRUE(is_kept(*b_, "x"));
  tell(*b_, "x", 1);
  b_->kept.at("x")("there");
  ASSERT_TRUE(run_until([&] { return answer.has_value(); }));
  EXPECT_TRUE(answer->ok()) << answer->status();
}

INSTANTIATE_TEST_SUITE_P(Simulated, BusCalls, testing::Values(MakeBusWorld(make_simulated_world)));
INSTANTIATE_TEST_SUITE_P(SimulatedHub, BusCalls,
                         testing::Values(MakeBusWorld(make_simulated_hub_world)));
INSTANTIATE_TEST_SUITE_P(Ipc, BusCalls, testing::Values(MakeBusWorld(make_ipc_world)));
INSTANTIATE_TEST_SUITE_P(Tcp, BusCalls, testing::Values(MakeBusWorld(make_tcp_world)));
INSTANTIATE_TEST_SUITE_P(IpcHub, BusCalls, testing::Values(MakeBusWorld(make_ipc_hub_world)));
INSTANTIATE_TEST_SUITE_P(TcpHub, BusCalls, testing::Values(MakeBusWorld(make_tcp_hub_world)));

}  // namespace
}  // namespace supercloud
