// Requests that take long, as actors see them: all that the two ends tell each other comes as turns.
#include "core/call.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/core/node_fixture.h"

namespace supercloud {
namespace {

class Calls : public NodeTest {
 protected:
  Calls() {
    spawn("server", {}, nullptr, [this](const Message<schema::Request>&, Answer answer) {
      if (answer.call() != nullptr)
        answer.call()->when_cancelled([this] { cancelled.push_back(in_turn()); });
      kept.push_back(std::move(answer));
    });
  }
  // Whether this runs as a turn: not inside a call of the test's.
  bool in_turn() const { return running; }
  void turn(Duration span = absl::Milliseconds(1)) {
    running = true;
    run(span);
    running = false;
  }
  std::shared_ptr<Call> ask(Context& client, Duration deadline = absl::Seconds(1)) {
    auto call = client.request(
        {"alpha", "server"}, Message<schema::Request>::build([](schema::Request::Builder request) {
          request.setPing();
        }),
        deadline, [this](const auto& response) { answers.push_back(response.status()); },
        [this](const Progress& progress) {
          EXPECT_TRUE(in_turn());
          heard.push_back(progress);
        });
    turn();
    return call;
  }
  void tell(std::uint64_t done) { kept.at(0).call()->tell({done, 3, "counting"}); }

  bool running = false;
  std::vector<Answer> kept;
  std::vector<bool> cancelled;  // whether each was told by a turn
  std::vector<Progress> heard;
  std::vector<absl::Status> answers;
};

TEST_F(Calls, how_far_it_is_comes_as_turns_and_of_what_comes_at_once_the_newest) {
  ask(spawn("client"));
  ASSERT_EQ(kept.size(), 1U);
  tell(1);
  EXPECT_TRUE(heard.empty()) << "not inside tell()";
  turn();
  EXPECT_EQ(heard, std::vector({Progress{1, 3, "counting"}}));
  tell(2);
  tell(3);
  turn();
  EXPECT_EQ(heard, std::vector({Progress{1, 3, "counting"}, Progress{3, 3, "counting"}}));
  kept.at(0)(Message<schema::Response>::build([](auto response) { response.setDone(); }));
  turn();
  EXPECT_EQ(answers, std::vector({absl::OkStatus()}));
  EXPECT_TRUE(cancelled.empty());
}

TEST_F(Calls, who_cancels_gets_cancelled_and_who_answers_is_told_in_a_turn) {
  const auto call = ask(spawn("client"));
  tell(1);
  call->cancel();
  EXPECT_TRUE(answers.empty()) << "not inside cancel()";
  EXPECT_TRUE(cancelled.empty());
  turn();
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_TRUE(absl::IsCancelled(answers[0])) << answers[0];
  EXPECT_EQ(cancelled, std::vector<bool>({true}));
  EXPECT_TRUE(heard.empty()) << "what is cancelled is not heard of";
  EXPECT_FALSE(kept.at(0).call()->wants_progress());
  kept.at(0)(Message<schema::Response>::build([](auto response) { response.setDone(); }));
  turn();
  EXPECT_EQ(answers.size(), 1U);
}

TEST_F(Calls, an_actor_that_fails_does_not_wait_any_more) {
  Context& client = spawn("client");
  ask(client, absl::Minutes(10));
  node->fail_actor("client", absl::InternalError("test"));
  turn();
  EXPECT_EQ(cancelled, std::vector<bool>({true}));
  tell(1);
  turn(absl::Seconds(10));
  EXPECT_TRUE(heard.empty()) << "the actor of today did not ask";
  EXPECT_TRUE(answers.empty());
}

TEST_F(Calls, an_actor_that_has_failed_is_not_told_of_what_it_answered_before) {
  const auto call = ask(spawn("client"), absl::Minutes(10));
  node->fail_actor("server", absl::InternalError("test"));
  turn();
  call->cancel();
  turn(absl::Seconds(10));
  EXPECT_TRUE(cancelled.empty());
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_TRUE(absl::IsCancelled(answers[0])) << answers[0];
}

TEST_F(Calls, who_asks_without_a_call_is_told_nothing) {
  std::string answer;
  bus->receiver->on_request(
      "server", std::string(Message<schema::Request>::build([](schema::Request::Builder request) {
                              request.setPing();
                            }).bytes()),
      Reply<std::string>(far_future, [&](absl::StatusOr<std::string> bytes) { answer = *bytes; }));
  turn();
  ASSERT_EQ(kept.size(), 1U);
  EXPECT_EQ(kept[0].call(), nullptr);
}

TEST_F(Calls, a_node_that_ends_with_one_open_ends) {
  const auto call = ask(spawn("client"), absl::Minutes(10));
  const std::shared_ptr<Call> served = kept.at(0).call();
  node.reset();
  EXPECT_TRUE(call->cancelled()) << "with the actor that asked";
  served->tell({1, 3, "too late"});
  turn();
  EXPECT_TRUE(answers.empty());
}

}  // namespace
}  // namespace supercloud
